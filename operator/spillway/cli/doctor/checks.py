"""All checks, in the order in which one would mend what they find."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from spillway.cli.doctor import checks_approval, checks_cluster, checks_metrics, checks_routing
from spillway.cli.doctor.facts import Facts
from spillway.cli.doctor.result import Check, Verdict

CHECKS: tuple[Callable[[Facts], Iterable[Check]], ...] = (
    checks_cluster.check_server,
    checks_cluster.check_crds,
    checks_cluster.check_config,
    checks_cluster.check_permissions,
    checks_approval.check_approval,
    checks_routing.check_proxies,
    checks_cluster.check_objects,
    checks_cluster.check_replicas,
    checks_cluster.check_pools,
    checks_cluster.check_stop,
    checks_metrics.check_prometheus,
    checks_metrics.check_engines,
    checks_metrics.check_gateways,
    checks_routing.check_adopted_rules,
    checks_metrics.check_gpus,
    checks_metrics.check_prices,
    checks_metrics.check_first_recommendation,
    checks_metrics.check_grace,
)


def run_checks(facts: Facts) -> tuple[Check, ...]:
    """Every check's lines. Where the apiserver does not answer, nothing else could be looked at."""
    if facts.server_version is None:
        return tuple(checks_cluster.check_server(facts))
    return tuple(check for examine in CHECKS for check in examine(facts))


def exit_status(checks: Iterable[Check]) -> int:
    """1 where anything failed."""
    return int(any(check.verdict is Verdict.FAIL for check in checks))
