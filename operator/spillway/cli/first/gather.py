"""Cluster and Prometheus, side by side, into one World. Reads only; what can't be read is a Gap."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from urllib.parse import urlsplit

from spillway.advise.first.facts import Found, Gap, HostedModel, Rule, TeamShare, Workload, World
from spillway.cli.doctor.facts import Facts
from spillway.cli.doctor.gather import Request, with_config
from spillway.cli.first.cluster import Listed, list_all
from spillway.cli.first.engines import workload
from spillway.cli.first.gpus import Gpus
from spillway.cli.first.proxies import Offered, hosted_models, is_proxy, offered, teams
from spillway.cli.first.routes import Behind, rules
from spillway.cli.first.templates import Templated, templated
from spillway.config import ConfigError, OperatorConfig, PrometheusConfig
from spillway.kube import Items, Kube
from spillway.observe.gpu_prices import read_catalogue
from spillway.observe.prices import PriceBook
from spillway.observe.prometheus import PrometheusError
from spillway.observe.sizing_data import gpu_types
from spillway.observe.traffic import Traffic, read_traffic

QUERY_SECONDS = 60.0
"""A day of bins may take Prometheus longer than a tick's figures."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What the person asked for."""

    namespaces: tuple[str, ...]
    """None: all."""
    context: str
    prometheus_url: str | None = None
    config_file: Path | None = None
    operator_namespace: str = "spillway-system"
    days: float = 7.0
    gpu_prices: Mapping[str, Decimal] | None = None
    catalogue: Path | None = None


async def gather(kube: Kube, asked: Asked) -> World:
    """Everything that a first proposal is made from.

    Raises KubeError where the apiserver does not answer, ConfigError and CatalogueError for files that can't be used.
    """
    now = time.time()
    offers = read_catalogue(asked.catalogue)
    listed = await list_all(kube, asked.namespaces)
    config, known, gaps = await _config(kube, asked)
    traffic: Traffic | None = None
    if config is not None:
        traffic, more = await _traffic(config, now, asked.days)
        gaps += more
    every = templated(listed)
    proxies = [each for each in every if is_proxy(each)]
    hosted, more = await _hosted(kube, proxies, traffic, now)
    gaps += more
    workloads, left_out = _workloads([each for each in every if each not in proxies], listed, traffic)
    engines = [each for each in every if (each.namespace, each.key) in {(one.namespace, one.key) for one in workloads}]
    found_rules = rules(listed, Behind(listed, engines, proxies), traffic)
    shares = teams(traffic.litellm if traffic else ())
    return World(
        at=datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%MZ"),
        days=asked.days,
        context=asked.context,
        prometheus=_shown(config.prometheus.url) if config is not None and traffic is not None else None,
        namespaces=tuple(_found(name, workloads, hosted, found_rules, listed) for name in _spaces(workloads)),
        teams=tuple(TeamShare(*key, requests, tokens) for key, (requests, tokens) in sorted(shares.items())),
        gaps=(*listed.gaps, *gaps, *_unseen(traffic, every)),
        left_out=tuple(left_out),
        offers=offers,
        gpu_types=gpu_types(),
        given_prices=dict(asked.gpu_prices or {}),
        gateways_configured=bool(config.gateways) if config is not None and known else None,
    )


async def _config(kube: Kube, asked: Asked) -> tuple[OperatorConfig | None, bool, list[Gap]]:
    """The operator's configuration (True), or one with the address alone; None where neither is known."""
    facts = await with_config(kube, Facts(0.0, "you"), Request(asked.config_file, asked.operator_namespace))
    if facts.config_error is not None and asked.config_file is not None:
        raise ConfigError(facts.config_error)
    config, url = facts.config, asked.prometheus_url
    if config is None and url is None:
        mend = "Traffic, SLOs and models are not measured. Give --prometheus-url, such as that of a port-forward."
        said = facts.config_error or "no address"
        # The apiserver's own message names the person, who may want to commit the files.
        why = "the operator's configuration may not be read" if "forbidden" in said else said
        return None, False, [Gap("Prometheus", why, mend)]
    known = config is not None
    if config is None:
        config = OperatorConfig(prometheus=PrometheusConfig(url=str(url)))
    address = config.prometheus.url if url is None else url
    if not _usable(address):
        where = "--prometheus-url" if url is not None else "prometheus.url of the operator's configuration"
        raise ConfigError(f"{where}: must be http://host:port or https://host:port")
    prometheus = config.prometheus.model_copy(update={"timeout_seconds": QUERY_SECONDS, "url": address})
    return config.model_copy(update={"prometheus": prometheus}), known, []


async def _traffic(config: OperatorConfig, now: float, days: float) -> tuple[Traffic | None, list[Gap]]:
    shown = _shown(config.prometheus.url)
    try:
        traffic = await read_traffic(config, now, days)
    except PrometheusError as error:
        mend = "Traffic, SLOs and models are not measured. Give --prometheus-url, such as that of a port-forward."
        return None, [Gap(f"Prometheus {shown}", str(error), mend)]
    return traffic, [Gap(f"Prometheus {shown}", problem, "That part is not measured.") for problem in traffic.problems]


def _usable(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _shown(url: str) -> str:
    """The address without user and password."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}{f':{parts.port}' if parts.port else ''}{parts.path.rstrip('/')}"


async def _hosted(
    kube: Kube, proxies: Iterable[Templated], traffic: Traffic | None, now: float
) -> tuple[dict[str, tuple[HostedModel, ...]], list[Gap]]:
    """Hosted models by namespace."""
    gaps: list[Gap] = []
    by_space: dict[str, dict[str, Offered]] = {}
    for proxy in proxies:
        models, gap = await offered(kube, proxy)
        by_space.setdefault(proxy.namespace, {})[proxy.name] = models
        gaps += [gap] if gap else []
    book = PriceBook()
    return {space: hosted_models(found, traffic, book, now) for space, found in by_space.items()}, gaps


def _workloads(every: Iterable[Templated], listed: Listed, traffic: Traffic | None) -> tuple[list[Workload], list[str]]:
    gpus = Gpus(listed.nodes, traffic)
    found: list[Workload] = []
    left_out: list[str] = []
    for each in every:
        made = workload(each, listed, gpus, traffic)
        if isinstance(made, str):
            left_out.append(made)
        elif made is not None:
            found.append(made)
    return found, left_out


def _spaces(workloads: Sequence[Workload]) -> list[str]:
    return sorted({each.namespace for each in workloads})


def _found(
    space: str,
    workloads: Sequence[Workload],
    hosted: Mapping[str, tuple[HostedModel, ...]],
    found_rules: Sequence[Rule],
    listed: Listed,
) -> Found:
    own = [each for each in workloads if each.namespace == space]
    return Found(
        namespace=space,
        workloads=tuple(own),
        hosted=hosted.get(space, ()),
        rules=tuple(each for each in found_rules if each.namespace == space),
        plans=tuple(_names(listed.plans, space)),
        taken=_taken(listed.lanes, space),
        names=frozenset((*_names(listed.lanes, space), *_names(listed.classes, space))),
    )


def _names(items: Items, space: str) -> list[str]:
    return [item["metadata"]["name"] for item in items if item["metadata"].get("namespace") == space]


def _taken(lanes: Items, space: str) -> dict[str, str]:
    """Workload key to the lane that has it."""
    found: dict[str, str] = {}
    for item in lanes:
        ref = ((item.get("spec") or {}).get("selfHosted") or {}).get("targetRef") or {}
        if item["metadata"].get("namespace") == space and ref.get("name"):
            found[f"{ref.get('kind', 'Deployment')}/{ref['name']}"] = item["metadata"]["name"]
    return found


def _unseen(traffic: Traffic | None, every: Iterable[Templated]) -> list[Gap]:
    """Engines that Prometheus knows and no workload here is: of other namespaces, or gone, or named in another way."""
    here = {(each.namespace, each.name) for each in every}
    spaces = {space for space, _ in here}
    strangers = sorted(
        {f"{space}/{name}" for space, name, _ in (traffic.engines if traffic else {}) if (space, name) not in here}
    )
    mine = [each for each in strangers if each.partition("/")[0] in spaces or not each.partition("/")[0]]
    if not mine:
        return []
    what = f"engine series of {len(mine)} workloads, such as {mine[0] if mine[0] != '/' else 'one without labels'}"
    mend = "They may be gone; else look whether the labels namespace and pod are there (spillway doctor)."
    return [Gap(what, "no such workload in the cluster", mend)]
