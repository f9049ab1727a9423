"""Configuration: what is wrong is said in one line that names file, key and way out."""

from __future__ import annotations

from pathlib import Path

import pytest

from spillway.config import ConfigError, load_config

URL = 'prometheus: {url: "http://p:9090"}\n'


def read(tmp_path: Path, text: str | bytes, **environment: str) -> object:
    path = tmp_path / "config.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return load_config(path, environment)


def test_a_file_is_read_and_the_environment_wins(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(URL + "tickSeconds: 5\nlogLevel: Warning\nemergencyStop: {name: halt}\n")
    environment = {"SPILLWAY_PROMETHEUS_URL": "http://other:1", "SPILLWAY_OPERATOR_NAMESPACE": "ops", "HOME": "/"}
    config = load_config(path, environment)
    assert (config.prometheus.url, config.tick_seconds, config.log_level) == ("http://other:1", 5, "warning")
    assert (config.stop_namespace, config.emergency_stop.name) == ("ops", "halt")


def test_the_environment_alone_suffices() -> None:
    config = load_config(None, {"SPILLWAY_PROMETHEUS_URL": "http://p:1", "SPILLWAY_LOG_LEVEL": "debug"})
    assert (config.prometheus.url, config.log_level, config.namespaces) == ("http://p:1", "debug", ())


@pytest.mark.parametrize("empty", ["prometheus:\n", "prometheus: nonsense\n", ""])
def test_the_environment_replaces_a_prometheus_that_is_none(tmp_path: Path, empty: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(empty)
    assert load_config(path, {"SPILLWAY_PROMETHEUS_URL": "http://p:1"}).prometheus.url == "http://p:1"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "prometheus: is required; set it in"),
        (URL + "tickSecond: 5", "tickSecond: no such setting"),
        (URL + "tickSeconds: 0.1", "tickSeconds: Input should be greater than or equal to 0.5"),
        (URL + "logLevel: inof", "logLevel: must be one of debug, info"),
        (URL + "gpuPools: [{name: a, gpus: 1}, {name: a, gpus: 2}]", "gpuPools: a is there twice"),
        (URL + "gateways: [{name: g, type: Nginx, role: Front}]", "gateways.0.type: "),
        (URL + "httpPort: 70000", "httpPort: "),
        (URL + "proposals: {observeSeconds: 5}", "proposals.observeSeconds: Input should be greater than or equal"),
        (URL + "proposals: {observeDays: 5}", "proposals.observeDays: no such setting"),
        ("- a\n- b", "expected a mapping"),
        ("a: [", "not valid YAML in line 1"),
        (b"\xff\xfe\x00", "not UTF-8 text"),
    ],
)
def test_errors_are_one_line_with_file_and_key(tmp_path: Path, text: str | bytes, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text)
    message = str(caught.value)
    assert said in message
    assert str(tmp_path / "config.yaml") in message
    assert "\n" not in message


def test_a_missing_file_and_an_empty_environment_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="give a readable file with --config"):
        load_config(tmp_path / "none.yaml", {})
    with pytest.raises(ConfigError, match=r"\(environment\): prometheus: is required; give a file with --config"):
        load_config(None, {})


def test_recording_is_off_unless_a_folder_is_named(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(URL)
    assert load_config(path, {}).recording is None
    path.write_text(URL + "recording: {directory: /from/file, maxMegabytes: 8}\n")
    recording = load_config(path, {"SPILLWAY_RECORDING_DIRECTORY": "/from/environment"}).recording
    assert recording is not None
    assert (str(recording.directory), recording.max_megabytes) == ("/from/environment", 8)
    path.write_text(URL + "recording: {maxMegabytes: 8}\n")
    with pytest.raises(ConfigError, match=r"recording\.directory: is required"):
        load_config(path, {})
