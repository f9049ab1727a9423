"""The files of one proposal for a pull request: patches, a kustomize component, and the request's text."""

from __future__ import annotations

import json
import shlex
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import jsonpatch

from spillway.act.approval.patches import RESOURCES, applied, steps_of, words
from spillway.act.approval.read import Proposal
from spillway.act.approval.sound import key_of, named
from spillway.api.lanechange import ObjectChange
from spillway.api.tracking import Tracker, tracker_of
from spillway.cli.approval.gitform import git_steps, snippet, target, to_yaml
from spillway.cli.approval.show import effect_words, plain

JSON = dict[str, Any]


def files_of(proposal: Proposal) -> dict[str, str]:
    """Name to text, the same for the same proposal: no time of writing stands in them."""
    found = {_patch_name(change): to_yaml(git_steps(steps_of(change))) for change in proposal.open()}
    return found | {"kustomization.yaml": _component(proposal), "README.md": _readme(proposal)}


def _patch_name(change: ObjectChange) -> str:
    return f"{change.kind.value.lower()}.{change.namespace}.{change.name}.yaml"


def _component(proposal: Proposal) -> str:
    changes = proposal.open()
    names = Counter((change.kind, change.name) for change in changes)
    patches = []
    for change in changes:
        selected = target(key_of(change))
        if names[(change.kind, change.name)] > 1:
            selected["namespace"] = change.namespace
        patches.append({"path": _patch_name(change), "target": selected})
    document = {"apiVersion": "kustomize.config.k8s.io/v1alpha1", "kind": "Component", "patches": patches}
    return f"{marker(proposal)} include it by `components:` of the kustomization of these objects\n{to_yaml(document)}"


def marker(proposal: Proposal) -> str:
    """What the component's file begins with: by that it is known again."""
    return f"# {proposal.subject}:"


def _readme(proposal: Proposal) -> str:
    return "\n".join(_paragraphs(proposal)) + "\n"


def _paragraphs(proposal: Proposal) -> Iterator[str]:
    spec, meta = proposal.change.spec, proposal.change.metadata
    yield f"# {spec.reason.value}: plan {meta.namespace}/{spec.plan_ref.name}\n"
    yield f"{plain(spec.message)}\n"
    yield "## What changes\n"
    for change in proposal.open():
        origin = _origin(tracker_of(proposal.live[key_of(change)]))
        yield f"- {named(key_of(change))}{origin}"
        for line in words(change):
            yield f"  - `{plain(line)}`"
    yield f"\n## Effect\n\n{effect_words(spec)}. An estimate, not a bill.\n"
    yield "## Good until\n"
    yield f"{spec.expires_at}, and until the plan, a lane or a class of it changes: hash `{spec.plan_hash}`, over"
    yield "the generations that it was worked out on. `spillway propose` leaves it out once it is stale.\n"
    yield "## How to merge it\n"
    yield "With kustomize: put this folder under `components:` of the kustomization that has these objects, and look at"
    yield "`kubectl kustomize` before and after: a patch whose target is elsewhere changes nothing, without an error."
    yield "Or change the manifests by hand:\n"
    for change in proposal.open():
        yield f"```yaml\n{snippet(key_of(change), proposal.live[key_of(change)], steps_of(change))}```\n"
    yield "## How to undo it\n"
    yield "`git revert` of the merge. Where the objects do not come from Git:\n"
    yield "```"
    yield from (_revert(proposal, change) for change in proposal.open())
    yield "```"


def _origin(tracker: Tracker | None) -> str:
    return f", which comes from Git by {tracker.text}" if tracker else ""


def _revert(proposal: Proposal, change: ObjectChange) -> str:
    before = proposal.live[key_of(change)]
    back = revert_steps(before, change)
    plural = RESOURCES[change.kind.value].plural
    patch = shlex.quote(json.dumps(back, separators=(",", ":")))
    return f"kubectl patch {plural}.spillway.dev {change.name} -n {change.namespace} --type=json -p {patch}"


def revert_steps(before: Mapping[str, Any], change: ObjectChange) -> list[JSON]:
    """A JSON Patch from the object as proposed back to the object as it is. Raises PatchError."""
    after = applied(before, steps_of(change))
    return list(jsonpatch.make_patch({"spec": after["spec"]}, {"spec": before["spec"]}).patch)
