"""Reading a ConfigMap back, telling what would change, and holding a proxy's own account against it."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from spillway.act.litellm.compare import diff, read_back, unconfirmed
from spillway.act.litellm.render import config_map, entry
from spillway.act.litellm.values import Decided, Limits, Rendered, Sending
from support.proxied import hosted, own, rendered, workload

CHAT = "team-a/chat"


def at(share: int, **more: Any) -> Rendered:
    decided = Decided(Sending.SPLIT, {CHAT: {"gpu": 100 - share, "hosted": share}}, armed={"hosted": Limits(5000, 100)})
    return rendered(decided, **more)


def shown(result: Rendered) -> dict[str, Any]:
    """What /model/info says of a proxy with this configuration: without keys, with much of its own."""
    data = []
    for made in result.deployments:
        item = entry(made, result.content_hash)
        item["litellm_params"].pop("api_key", None)
        item["litellm_params"]["use_in_pass_through"] = False
        item["model_info"] |= {"db_model": False, "max_tokens": None}
        data.append(item)
    return {"data": data}


def test_what_was_written_is_read_back() -> None:
    result = at(30, lanes=[own(), hosted(), hosted("flex", kind="Flex")])
    written = read_back(config_map(result))
    assert written.deployments == result.deployments
    assert (written.plan, written.content_hash, written.intact) == ("ai/main", result.content_hash, True)


@pytest.mark.parametrize(
    ("file", "before", "after"),
    [
        ("config.yaml", "weight: 30", "weight: 31"),
        ("config.yaml", "num_retries: 0", "num_retries: 5"),
        ("spillway.json", '"hosted": false', '"hosted": true'),
        ("spillway_guard.py", "compare_digest", "compare_digesT"),
    ],
)
def test_an_edit_by_hand_is_seen(file: str, before: str, after: str) -> None:
    body = config_map(at(30))
    assert before in body["data"][file]
    body["data"][file] = body["data"][file].replace(before, after, 1)
    written = read_back(body)
    assert not written.intact
    assert "an edit by hand is undone" in diff(written, at(30))


@pytest.mark.parametrize(
    "config", ["", "[]", "model_list: 3", "model_list: [{}]", "\t{", "model_list: [{model_info: 1}]"]
)
def test_what_is_no_configuration_is_told_in_one_sentence(config: str) -> None:
    body = config_map(at(30))
    body["data"]["config.yaml"] = config
    with pytest.raises(ValueError, match=r"^ConfigMap ai/litellm can't be read: .*delete it to have it anew$"):
        read_back(body)


def test_somebody_elses_config_map_is_not_read() -> None:
    body = config_map(at(30))
    del body["metadata"]["annotations"]["spillway.dev/plan"]
    with pytest.raises(ValueError, match="ai/litellm is not Spillway's"):
        read_back(body)


def test_a_difference_is_told_in_words() -> None:
    before = read_back(config_map(at(30)))
    assert diff(before, at(30)) == ()
    assert diff(before, at(40)) == (
        "chat on lane gpu: weight 70 -> 60",
        "chat on lane hosted: weight 30 -> 40",
    )
    assert diff(before, at(0)) == ("chat on lane gpu: weight 70 -> 100", "chat on lane hosted: removed")
    spill = rendered(Decided(Sending.SPILL, in_flight={"gpu": 8}))
    assert "chat on lane gpu: requests in flight none -> 8" in diff(before, spill)
    first = diff(None, at(30))
    assert first[0] == "ConfigMap ai/litellm is new"
    assert "chat on lane hosted: added (openai/gpt-4o-mini, weight 30, tokens a minute 5000" in first[2]


def test_a_proxy_that_shows_what_was_rendered_confirms_it() -> None:
    assert unconfirmed(at(30), shown(at(30))) == ()


def test_a_proxy_before_its_rollout_does_not() -> None:
    told = unconfirmed(at(40), shown(at(30)))
    assert "chat@hosted: weight is 30, not 40" in told
    assert f"chat@gpu is of content {at(30).content_hash}, not {at(40).content_hash}" in told


def test_more_or_fewer_deployments_are_told() -> None:
    assert unconfirmed(at(0), shown(at(30)))[0] == "chat@hosted is loaded and should not be"
    assert unconfirmed(at(30), shown(at(0)))[0] == "chat@hosted is not loaded"


def test_an_answer_to_another_name_is_told() -> None:
    other = rendered(Decided(Sending.SPLIT), [workload()])
    info = shown(other)
    info["data"][0]["model_name"] = "else"
    assert unconfirmed(other, info) == ("chat@gpu answers for else",)


@pytest.mark.parametrize("info", [None, [], {}, {"data": None}, {"data": [3]}, {"data": [{"model_name": "x"}]}, "x"])
def test_nonsense_confirms_nothing(info: object) -> None:
    assert unconfirmed(at(30), info)


def test_an_id_that_is_there_twice_confirms_nothing() -> None:
    info = shown(at(30))
    info["data"].append(copy.deepcopy(info["data"][0]))
    assert unconfirmed(at(30), info)
