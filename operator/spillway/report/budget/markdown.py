"""Budget reports in Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from spillway.advise.budget import BudgetReport
from spillway.report.budget.sections import Row, Section, sections
from spillway.report.budget.trace import trace_lines


def markdown(reports: Sequence[BudgetReport], *, explain: bool, total: str = "") -> str:
    """All of them, a heading each."""
    lines: list[str] = []
    for report in reports:
        lines += [f"## {report.subject.name}", ""]
        for section in sections(report):
            lines += _section(section)
        if explain:
            lines += ["### where the figures come from", "", "```", *trace_lines(report), "```", ""]
    if total:
        lines += [total, ""]
    return "\n".join(lines)


def _section(section: Section) -> Iterator[str]:
    yield f"### {section.title}"
    yield ""
    yield from (f"- {_escaped(line)}" for line in section.lines)
    if section.lines:
        yield ""
    if section.rows:
        yield _row(section.headings)
        yield _row(["---:" if i in section.right else "---" for i in range(len(section.headings))])
        yield from (_row(row) for row in section.rows)
        yield ""


def _row(cells: Row | Sequence[str]) -> str:
    return f"| {' | '.join(_escaped(cell) for cell in cells)} |"


def _escaped(text: str) -> str:
    """Text that Markdown would take for something else; a dollar may start a formula."""
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("*", "\\*").replace("_", "\\_").replace("$", "\\$")
