"""Markdown that holds whatever a manifest says, and a table of 80 columns."""

from __future__ import annotations

import re
from dataclasses import replace

from advise.review.builders import ALL, CHAT, CHAT_FIGURES, GPU, Document, effect, made, pair_of, swapped, with_spec
from spillway.advise.review.effect import Effect
from spillway.advise.review.limits import Limits
from spillway.advise.review.review import Review, review_plan
from spillway.report.diff.markdown import MAX_CHARACTERS, escaped, markdown
from spillway.report.diff.terminal import terminal
from spillway.report.diff.textdiff import text_diff

LOWERED = swapped(with_spec(GPU, {"selfHosted.replicas.min": 1}))


def review(found: Effect | None, head: tuple[Document, ...] = LOWERED) -> Review:
    return Review((review_plan(pair_of(head), found, "No traffic was given to replay", Limits()),))


def diffs(head: tuple[Document, ...]) -> dict[str, str]:
    def by_key(documents: tuple[Document, ...]) -> dict[tuple[str, str], Document]:
        return {(d["kind"], f"{d['metadata']['namespace']}/{d['metadata']['name']}"): d for d in documents}

    return {"inference/main": text_diff(pair_of(head).pairs, by_key(ALL), by_key(head))}


def test_the_layout_of_a_comment() -> None:
    text = markdown(review(effect()), diffs(LOWERED), "default")
    lines = text.splitlines()
    assert lines[0] == "<!-- spillway-diff: inference/main tag=default -->"
    assert lines[1] == "### Monthly estimate decreases by \\$1,000 (-10%): \\$10,000 → \\$9,000; SLO held"
    for row in (
        "| Lane | Usage | Change | Monthly estimate |",
        "| gpu | GPU reserved: 1.4 → 1.2 replicas on average, 4 at peak | -\\$1,000 (-13%) | \\$8,000 → \\$7,000 |",
        "| **total** |  | **-\\$1,000 (-10%)** | **\\$10,000 → \\$9,000** |",
        "| chat | 99% | 99.42% | held | 10% | \\$10,000 |",
        "| ✅ pass | Cost increase | no increase |",
        "-      min: 2",
        "+      min: 1",
    ):
        assert row in lines
    assert text.count("<details>") == text.count("</details>") == 2
    sentence = "fewest replicas 2 → 1: up to \\$7.70 less an hour where there is little traffic"
    assert f"- **GPU lane gpu**: {sentence} *(loosens)*" in lines


def test_several_changes_of_one_object_stand_below_its_name() -> None:
    own = {"selfHosted.replicas.min": 1, "selfHosted.replicas.max": 9, "selfHosted.startupSeconds": 60}
    text = markdown(review(effect(), swapped(with_spec(GPU, own))), {}, "default")
    start = text.splitlines().index("- **GPU lane gpu**:")
    below = text.splitlines()[start + 1 : start + 5]
    assert [line.split(":")[0] for line in below] == [
        "  - fewest replicas 2 → 1",
        "  - most replicas 8 → 9",
        "  - start-up of a replica learned from its pods → 1 min",
        "",
    ]


def test_what_a_manifest_says_neither_formats_nor_mentions_nor_gets_out_of_its_fence() -> None:
    evil = "x` --> @maintainers | <img src=x> [a](http://b) **c** ~~~~ ```"
    head = swapped(with_spec(CHAT, {"match": {"team": evil}}))
    text = markdown(review(effect(), head), diffs(head), "default")
    shown, folded = text.split("<details>", maxsplit=1)
    assert "@\u200bmaintainers" in shown
    assert "@maintainers" not in shown
    assert "\\<img src=x\\>" in shown
    assert "\\[a\\]" in shown
    assert re.search(r"(?<!\\)`", shown) is None
    fence = next(line for line in folded.splitlines() if line.endswith("diff"))
    assert fence == "````diff"
    assert folded.splitlines().count("````") == 1


def test_escaping() -> None:
    assert escaped("a_b *c* #1 $5\nnext -> x") == "a\\_b \\*c\\* \\#1 \\$5 next → x"


def test_a_long_comment_is_cut_where_it_hurts_least_and_says_so() -> None:
    many = [made("WorkloadClass", f"class-{n}", {**CHAT["spec"], "match": {"team": "t" * 120}}) for n in range(400)]
    head = (*LOWERED, *many[:110])
    text = markdown(review(effect(), head), diffs(head), "default")
    assert len(text) <= MAX_CHARACTERS
    assert "more lines: run spillway diff for them" in text
    assert text.splitlines()[0].endswith("tag=default -->")
    assert text.count("<details>") == text.count("</details>")
    head = (*LOWERED, *many)
    figures = tuple(replace(CHAT_FIGURES, key=f"inference/class-{n}") for n in range(900))
    huge = markdown(review(effect(classes=figures), head), diffs(head), "default")
    assert len(huge) <= MAX_CHARACTERS
    assert "- and 289 more: run `spillway diff` for them" in huge
    assert "too long for a comment" in huge
    assert huge.count("<details>") == huge.count("</details>")


def test_the_terminal_keeps_to_80_columns() -> None:
    text = terminal(review(effect()))
    assert max(map(len, text.splitlines())) <= 80
    assert text.startswith("Monthly estimate decreases by $1,000 (-10%): $10,000 -> $9,000; SLO held.\n")
    assert "\x1b[" not in text
    assert "\x1b[" in terminal(review(effect()), colour=True)
    assert not any(line != line.rstrip() for line in text.splitlines())


def test_the_terminal_keeps_names_and_figures_whole() -> None:
    name = "a-name-of-23-characters"
    long = replace(CHAT_FIGURES, key=f"inference/{name}", usd_per_month=1_234_567.0, hosted_share=0.999)
    found = effect(classes=(long,))
    other = replace(long, usd_per_month=7_654_321.0, hosted_share=0.004, attainment_percent=98.765, held=False)
    text = terminal(review(replace(found, base=replace(found.base, classes=(other,)))))
    assert max(map(len, text.splitlines())) <= 80
    for word in (name, "$7,654,321", "$1,234,567", "MISSED", "98.76%", "99.42%"):
        assert word in text


def test_a_text_diff_shows_only_what_changes_whatever_the_order_of_fields() -> None:
    turned = {**GPU, "spec": dict(reversed(GPU["spec"].items()))}
    assert diffs(swapped(turned)) == {"inference/main": ""}
    text = diffs(LOWERED)["inference/main"]
    changed = [line for line in text.splitlines() if line[:1] in "+-" and not line.startswith(("---", "+++"))]
    assert changed == ["-      min: 2", "+      min: 1"]
    gone = diffs(ALL[:3])["inference/main"]
    assert "--- base: WorkloadClass inference/chat" in gone
    assert "+++ /dev/null" in gone
