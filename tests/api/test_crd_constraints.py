"""Every constraint of the committed CRDs, kept and broken on a real apiserver."""

from __future__ import annotations

import pytest

from .cases import Case, cases_of
from .conftest import Answer, Api
from .constraints import Constraint, constraints
from .manifests import MINIMAL, VARIANTS, Manifest
from .patterns import PATTERNS
from .rules import RULES

CONSTRAINTS = constraints()
WHOLE_OBJECT = "<nil>"


def test_every_constraint_has_cases_that_keep_it_and_cases_that_break_it() -> None:
    lacking = []
    for constraint in CONSTRAINTS:
        cases = cases_of(constraint)
        if not any(case.accepted for case in cases) or all(case.accepted for case in cases):
            lacking.append(constraint.id)
    assert not lacking


def test_no_example_stands_for_a_pattern_or_rule_that_is_gone() -> None:
    assert set(PATTERNS) == {c.value for c in CONSTRAINTS if c.keyword == "pattern"}
    assert set(RULES) == {c.value for c in CONSTRAINTS if c.keyword == "rule"}


@pytest.mark.parametrize("constraint", CONSTRAINTS, ids=lambda constraint: constraint.id)
def test_constraint(api: Api, live: dict[str, Manifest], constraint: Constraint) -> None:
    for case in cases_of(constraint):
        _check(case, _write(api, live, constraint, case))


@pytest.mark.parametrize("kind", VARIANTS)
def test_base_manifests_are_accepted(api: Api, kind: str) -> None:
    for manifest in (*VARIANTS[kind], MINIMAL[kind]):
        answer = api.create(manifest)
        assert answer.accepted, answer.body["message"]


def _write(api: Api, live: dict[str, Manifest], constraint: Constraint, case: Case) -> Answer:
    if constraint.in_status:
        status = case.manifest.get("status")
        return api.update_status(live[constraint.kind], status)
    if case.old is not None:
        return api.update(live[constraint.kind], case.manifest)
    return api.create(case.manifest)


def _check(case: Case, answer: Answer) -> None:
    if case.accepted:
        assert answer.accepted, answer.body["message"]
        return
    assert answer.code == 422, f"accepted: {case.manifest}"
    assert any(field == case.field and case.message in message for field, message in answer.causes), answer.causes
    assert all(case.field.startswith(field) or field == WHOLE_OBJECT for field, _ in answer.causes), answer.causes
