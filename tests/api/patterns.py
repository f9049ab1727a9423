"""Texts that each pattern of the CRDs takes and refuses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from spillway.api.common import (
    DECIMAL_PATTERN,
    DNS_LABEL,
    DNS_SUBDOMAIN,
    PERCENT_PATTERN,
    SIGNED_PATTERN,
    SUCCESS_PATTERN,
)


@dataclass(frozen=True)
class Pattern:
    """Texts that a pattern takes and refuses, and a text of any length that it takes."""

    accepts: tuple[str, ...]
    refuses: tuple[str, ...]
    fill: Callable[[int], str] = field(default=lambda length: "a" * length)


PATTERNS: dict[str, Pattern] = {
    DNS_LABEL: Pattern(("a", "7", "a-1"), ("-a", "a-", "A", "a.b", "a_b", "é", "a\n")),
    DNS_SUBDOMAIN: Pattern(("a", "a.b-c"), (".a", "a.", "a-", "A", "a_b", "a/b")),
    r"^[A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?$": Pattern(("Standard", "gold-1"), ("-a", "a-", "a b", "a.b")),
    r"^[A-Za-z0-9-]+$": Pattern(("x-tenant", "X"), ("x_tenant", "x:", "x y")),
    r"^[a-z0-9][-a-z0-9_.]*$": Pattern(("openai", "my_org.eu-1"), ("OpenAI", "-a", "a/b", "_a")),
    r"^[A-Z][A-Za-z0-9]*$": Pattern(("Deployment", "X1"), ("deployment", "A-B"), lambda n: "A" * n),
    r"^([a-z0-9.-]+/)?v[0-9][a-z0-9]*$": Pattern(
        ("v1", "apps/v1", "leaderworkerset.x-k8s.io/v1beta1"),
        ("apps", "apps/", "Apps/v1", "apps/v1/x", "v"),
        lambda n: "v1" + "a" * (n - 2),
    ),
    r"^((Service|Backend)/)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(:[0-9]{1,5})?$": Pattern(
        ("vllm", "Service/vllm:8000", "Backend/egress"), ("Pod/vllm", "vllm:", "vllm:123456", "VLLM", "a/b", "a-:80")
    ),
    r"^https?://[A-Za-z0-9]([-.A-Za-z0-9]*[A-Za-z0-9])?(:[0-9]{1,5})?(/[-._~A-Za-z0-9]+)*$": Pattern(
        ("http://vllm", "https://api.example.com/v1", "http://vllm.ns.svc:8000/v1"),
        ("vllm:8000", "ftp://vllm", "http:///v1", "http://a/", "http://a b", "http://u@a", "http://a?x=1", "http://-a"),
        lambda n: "http://" + "a" * (n - 7),
    ),
    SUCCESS_PATTERN: Pattern(
        ("0", "7.5", "97.5", "99.999", "100"),
        ("100.1", "101", "-1", "07", "97.", "7.1234", "a"),
        lambda n: "99." + "9" * (n - 3),
    ),
    DECIMAL_PATTERN: Pattern(
        ("0", "0.5", "3.850", "007", "1.000000001"),
        ("", "-1", "+1", ".5", "1.", "1e3", "1,5", "NaN", "$1", " 1"),
        lambda n: "1" * (n - 10) + ".000000001",
    ),
    SIGNED_PATTERN: Pattern(
        ("0", "-0.5", "3.850", "-120.5", "1.000000001"),
        ("", "+1", "--1", "-", "-.5", "1.", "1e3", "1,5", "NaN", "$1", "- 1"),
        lambda n: "-" + "1" * (n - 11) + ".000000001",
    ),
    "^/spec/[!-~]+$": Pattern(
        ("/spec/lanes", "/spec/selfHosted/replicas/min"),
        ("spec/lanes", "/status/state", "/spec", "/spec/", "/metadata/name", "", " /spec/lanes", "/spec/a b"),
        lambda n: "/spec/" + "a" * (n - 6),
    ),
    "^[0-9a-f]+$": Pattern(("6f1c0d2e9a3b4c5d", "0123456789ab"), ("6F1C0D2E9A3B4C5D", "6f1c0d2e9a3b-c5d", "g" * 16)),
    PERCENT_PATTERN: Pattern(
        ("50", "99.999", "99"),
        ("49.9", "100", "99.", "9", "-99", "99%"),
        lambda n: "99." + "9" * (n - 3),
    ),
}
