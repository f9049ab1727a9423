"""The chart's alerts, by promtool, on the series that the operator itself exports for each state of a budget."""

from __future__ import annotations

import re
import subprocess
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml

from report.builders import NOW, decision, snapshot
from spillway.advise.caps import position
from spillway.advise.positions import Spending
from spillway.api import Budget
from spillway.report.metrics import OperatorMetrics, PlanReport
from spillway.report.status import plan_status
from spillway_dev.toolchain import Tools

CHAT = "team-a/chat"
AT = datetime.fromtimestamp(NOW, UTC)
"""2027-01-15, a Friday: 11 workdays are left with it, and 6 weekend days."""
CAPS = [{"team": "growth", "monthlyUsd": "10"}]


@pytest.fixture(scope="module")
def rules(repository: Path, tools: Tools, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The spec of the PrometheusRule that the chart renders, as promtool reads it."""
    done = subprocess.run(
        [tools.path("helm"), "template", "spillway", str(repository / "charts/spillway"), "-n", "spillway-system",
         "--set", "config.prometheus.url=http://p", "--set", "metrics.prometheusRule.enabled=true",
         "--set", "metrics.prometheusRule.labels.release=prom"],
        capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    (rule,) = [each for each in yaml.safe_load_all(done.stdout) if each and each["kind"] == "PrometheusRule"]
    assert rule["metadata"]["labels"]["release"] == "prom"
    path = tmp_path_factory.mktemp("rules") / "rules.yaml"
    path.write_text(yaml.safe_dump(rule["spec"]))
    return path


def exposition(spent: str, teams: dict[str, str], daily: str = "0", **budget: Any) -> list[str]:
    """The operator's lines about one budget; ``daily`` dollars were spent on each of the last 14 days."""
    month = date(2027, 1, 1)
    days = {date(2027, 1, day): Decimal(daily) for day in range(1, 15)}
    since = datetime(2026, 6, 1, tzinfo=UTC)
    known = Spending(
        CHAT, AT, since, hosted_days=days, hosted_months={month: Decimal(spent)},
        teams={team: Decimal(usd) for team, usd in teams.items()},
    )  # fmt: skip
    found = position(known, Budget.model_validate({"monthlyUsd": "100", "teamCaps": CAPS} | budget))
    metrics, made = OperatorMetrics(), decision()
    metrics.publish([PlanReport(made, plan_status(made, snapshot(), None, NOW), budgets={CHAT: found})])
    return re.findall(r"^spillway_(?:budget|team)_.*$", metrics.render().decode(), re.M)


def firing(tools: Tools, rules: Path, lines: list[str]) -> dict[str, str]:
    """Alerts that fire after two hours of these lines, with their descriptions."""
    series = []
    for line in lines:
        name, value = line.rsplit(" ", 1)
        # As a scrape labels it, of a pod that was replaced after an hour.
        for pod, values in (("a", f"{value}x60 stale"), ("b", f"_x59 {value}x70")):
            series.append({"series": name.replace("{", f'{{pod="{pod}",', 1), "values": values})
    names = [rule["alert"] for group in yaml.safe_load(rules.read_text())["groups"] for rule in group["rules"]]
    found = {}
    for name in names:
        # promtool only compares: what is there stands in its complaint that it was expected to be nothing.
        test = {"eval_time": "2h", "alertname": name, "exp_alerts": []}
        document = {
            "rule_files": [str(rules)],
            "evaluation_interval": "1m",
            "tests": [{"interval": "1m", "input_series": series, "alert_rule_test": [test]}],
        }
        path = rules.with_name(f"{name}.yaml")
        path.write_text(yaml.safe_dump(document))
        done = subprocess.run(
            [tools.path("promtool"), "test", "rules", str(path)], capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            said = done.stdout + done.stderr
            assert "got:[" in re.sub(r"\s", "", said), said
            found[name] = said
    return found


def test_promtool_accepts_them(tools: Tools, rules: Path) -> None:
    done = subprocess.run(
        [tools.path("promtool"), "check", "rules", "--lint-fatal", str(rules)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        ({"spent": "50"}, {}),
        ({"spent": "80"}, {"SpillwayBudgetAlert": "It has cost $80.00 this month (plan inference/main)."}),
        ({"spent": "100"}, {"SpillwayBudgetExceeded": "It has cost $100.00 this month"}),
        ({"spent": "50", "daily": "4"}, {"SpillwayBudgetProjectedOver": "As it goes on it costs $116.67"}),
        ({"spent": "50", "teams": {"growth": "11"}}, {"SpillwayTeamCapExceeded": "It has cost $11.00 this month"}),
        ({"spent": "50", "teams": {"growth": "11"}, "overflowPoolUsd": "5"}, {}),
        (
            {"spent": "50", "teams": {"growth": "14.50"}, "overflowPoolUsd": "5"},
            {"SpillwayOverflowPoolLow": "$0.50 are left of it this month"},
        ),
        (
            {"spent": "50", "teams": {"growth": "15", "calm": "20"}, "overflowPoolUsd": "5"},
            {"SpillwayOverflowPoolExhausted": "over their caps", "SpillwayTeamCapExceeded": "It has cost $15.00"},
        ),
    ],
)
def test_each_state_has_its_alert(tools: Tools, rules: Path, case: dict[str, Any], expected: dict[str, str]) -> None:
    found = firing(tools, rules, exposition(**{"teams": {}} | case))
    assert found.keys() == expected.keys()
    for name, text in expected.items():
        assert text in found[name]
        assert 'class="team-a/chat"' in found[name]
