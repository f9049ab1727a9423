"""``spillway doctor``: facts, checks, report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from rich.text import Text

from spillway.cli.connection import Connection
from spillway.cli.doctor.checks import exit_status, run_checks
from spillway.cli.doctor.gather import Request, gather
from spillway.cli.doctor.result import Check, Verdict
from spillway.cli.output import STYLES, Form, console, print_json, styled, table
from spillway.report.logs import redact

__all__ = ["Request", "doctor_command"]


async def doctor_command(connection: Connection, request: Request, form: Form) -> int:
    """Look, print, and return the exit status."""
    async with await connection.connect() as kube:
        checks = run_checks(await gather(kube, request))
    if form.as_json:
        print_json(document(checks))
    else:
        _print(checks, form)
    return exit_status(checks)


def document(checks: Sequence[Check]) -> dict[str, object]:
    """The report for programs."""
    return {
        "checks": [{**asdict(check), "message": redact(check.message)} for check in checks],
        "summary": counts(checks),
    }


def counts(checks: Sequence[Check]) -> dict[str, int]:
    """Number of checks by verdict."""
    return {verdict.value: sum(check.verdict is verdict for check in checks) for verdict in Verdict}


def _print(checks: Sequence[Check], form: Form) -> None:
    out = console(form)
    out.print(table(("RESULT", "AREA", "FINDING"), [_row(check) for check in checks], fixed=2))
    number = counts(checks)
    said = (
        f"{number['pass']} passed, {number['warn']} warnings, {number['fail']} failed, {number['skip']} not looked at"
    )
    out.print(f"\n{said}")


def _row(check: Check) -> tuple[Text, str, Text]:
    text = Text(redact(check.message))
    if check.fix:
        text.append(f"\n-> {redact(check.fix)}", style=STYLES.get("fix", "cyan"))
    return styled(check.verdict.value), check.area, text
