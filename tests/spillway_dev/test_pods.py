"""Pods as processes: in the name while Ready and not being deleted, ended as a kubelet ends them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from spillway_dev.controlplane import ControlPlane
from spillway_dev.loopback import fetch
from spillway_dev.processes import ProcessError, wait_until
from spillway_dev.upstreams import Load, LoadOptions, Upstream
from spillway_dev.upstreams.pods import POD_ANNOTATIONS, Addresses, PodOptions, PodUpstreams
from support.world import deployment

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

PROFILE = {
    "alpha_ms": 50.0,
    "beta_ms_per_sequence": 0.0,
    "gamma_ms_per_ktoken_kv": 0.0,
    "prefill_ms_per_ktoken": 0.0,
    "max_sequences": 2,
}


class Followed:
    """The upstreams, and what was told of them."""

    def __init__(self, control_plane: ControlPlane, namespace: str) -> None:
        self.cluster, self.namespace = control_plane, namespace
        self.told = [Addresses((), ())]
        options = PodOptions(namespace, "vllm", {"profile": PROFILE, "model": "llama"})
        self.pods = PodUpstreams(control_plane, options, self.told.append)

    def deploy(self, pre_stop_seconds: int, grace_seconds: int) -> None:
        made = deployment(self.namespace, replicas=0)
        template = made["spec"]["template"]
        template["metadata"]["annotations"] = dict(POD_ANNOTATIONS)
        template["spec"]["terminationGracePeriodSeconds"] = grace_seconds
        template["spec"]["containers"][0]["lifecycle"] = {"preStop": {"sleep": {"seconds": pre_stop_seconds}}}
        self.cluster.apply(made)

    def scale(self, replicas: int) -> None:
        self.cluster.kubectl("scale", "deployment/vllm", "-n", self.namespace, f"--replicas={replicas}")

    def wait_named(self, count: int) -> None:
        wait_until(lambda: len(self.told[-1].in_name) == count, f"{count} addresses in the name", 60)

    def listed(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.cluster.get("pods", namespace=self.namespace)["items"]
        return found


@pytest.fixture
def followed(control_plane: ControlPlane, namespace: str) -> Iterator[Followed]:
    made = Followed(control_plane, namespace)
    with made.pods:
        yield made


def test_a_pod_leaves_the_name_at_once_and_ends_after_its_streams(followed: Followed) -> None:
    followed.deploy(pre_stop_seconds=2, grace_seconds=60)
    followed.scale(2)
    followed.wait_named(2)
    wait_until(lambda: all(ready(pod) for pod in followed.listed()), "pods Ready", 120)
    address = followed.told[-1].running[0]
    stream = LoadOptions(1, 1, 60, body={"stream": True, "max_tokens": 160})
    with Load(f"http://{address}", stream) as open_stream:
        wait_until(lambda: followed.pods.counters()["in_flight"] == 1, "the stream open", 120)
        followed.scale(0)
        followed.wait_named(0)
        # The name is empty while both still answer: preStop has them wait before SIGTERM.
        with Load(f"http://{address}", LoadOptions(1, 3, 30)) as late:
            assert late.finish().ok == 3
        wait_until(lambda: len(followed.told[-1].running) == 1, "the idle one ended", 120)
        assert [pod["metadata"]["name"] for pod in followed.listed() if "deletionTimestamp" in pod["metadata"]]
        report = open_stream.finish()
    assert report.ok == 1, report.errors
    wait_until(lambda: followed.pods.count() == 0 and not followed.listed(), "all gone", 120)
    counted = followed.pods.counters()
    assert (counted["received"], counted["served"], counted["in_flight"]) == (4, 4, 0)
    assert followed.pods.killed == 0


def test_a_stream_longer_than_the_grace_period_is_cut(followed: Followed) -> None:
    followed.deploy(pre_stop_seconds=1, grace_seconds=3)
    followed.scale(1)
    followed.wait_named(1)
    stream = LoadOptions(1, 1, 60, body={"stream": True, "max_tokens": 1200})
    with Load(f"http://{followed.told[-1].running[0]}", stream) as open_stream:
        wait_until(lambda: followed.pods.counters()["in_flight"] == 1, "the stream open", 120)
        followed.scale(0)
        report = open_stream.finish()
    assert (report.ok, report.failed) == (0, 1)
    wait_until(lambda: not followed.listed(), "the pod gone", 120)
    assert followed.pods.killed == 1


def test_its_metrics_are_what_was_asked_of_it(followed: Followed) -> None:
    followed.deploy(pre_stop_seconds=0, grace_seconds=5)
    followed.scale(1)
    followed.wait_named(1)
    url = f"http://{followed.told[-1].running[0]}"
    with Load(url, LoadOptions(8, 8, 60, body={"max_tokens": 20})) as load:
        # Two run, as many as the profile allows; the rest waits for a place.
        wait_until(lambda: gauges(url) == (2.0, 6.0), "two run and six wait", 120, 0.02)
        assert load.finish().ok == 8
    found = series(url)
    assert gauges(url) == (0.0, 0.0)
    assert found["vllm:generation_tokens_total"] == 160
    assert found["vllm:prompt_tokens_total"] == found["vllm:request_success_total"] == 8
    assert found["vllm:time_to_first_token_seconds_count"] == 8
    assert found["vllm:inter_token_latency_seconds_count"] == 8 * 19
    # The last two waited for three others of a second each.
    assert found["vllm:time_to_first_token_seconds_sum"] >= 2 * (1 + 2 + 3)
    assert found["vllm:kv_cache_usage_perc"] == 0


def series(url: str) -> dict[str, float]:
    """What it exports, labels left out."""
    lines = fetch(f"{url}/metrics").decode().splitlines()
    pairs = (line.rpartition(" ") for line in lines if not line.startswith("#"))
    return {name.partition("{")[0]: float(value) for name, _, value in pairs if "_bucket{" not in name}


def gauges(url: str) -> tuple[float, float]:
    found = series(url)
    return found["vllm:num_requests_running"], found["vllm:num_requests_waiting"]


def ready(pod: dict[str, Any]) -> bool:
    return any(c["type"] == "Ready" and c["status"] == "True" for c in pod["status"]["conditions"])


def test_engine_settings_that_are_wrong_are_told() -> None:
    without_model = Upstream("x", engine={"profile": PROFILE})
    with pytest.raises(ProcessError, match=r"--engine or --egress: .*model"):
        without_model.start()
