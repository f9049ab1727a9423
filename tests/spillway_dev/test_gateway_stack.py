"""The gateway's processes: up, alone in their network namespace, and gone afterwards."""

from __future__ import annotations

import os
import signal
import socket
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from spillway_dev.controlplane import ControlPlane
from spillway_dev.gateway import EnvoyGatewayStack, stack
from spillway_dev.gateway.dns import NameServer
from spillway_dev.gateway.sandbox import sandboxed
from spillway_dev.processes import ProcessError, wait_until
from spillway_dev.toolchain import Tools


def ask(port: int, name: str, kind: int = 1) -> tuple[int, list[str]]:
    """Response code and addresses that the name server answers."""
    labels = b"".join(bytes([len(part)]) + part.encode() for part in name.split("."))
    query = struct.pack("!HHHHHH", 7, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!HH", kind, 1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(60)
        client.sendto(query, ("127.0.0.1", port))
        reply = client.recv(4096)
    number, flags, _, answers, _, _ = struct.unpack_from("!HHHHHH", reply)
    assert number == 7
    records = [reply[len(query) + 16 * index :][:16] for index in range(answers)]
    return flags & 0xF, [socket.inet_ntoa(record[12:]) for record in records]


def test_names_have_the_addresses_they_were_given_and_no_others_are_known() -> None:
    server = NameServer(1)
    try:
        server.set({"VLLM.ns": ["127.0.0.2", "127.0.0.3"], "empty.ns": []})
        assert ask(server.port, "vllm.ns") == (0, ["127.0.0.2", "127.0.0.3"])
        assert ask(server.port, "vllm.NS", kind=28) == (0, [])
        assert ask(server.port, "empty.ns") == (0, [])
        assert ask(server.port, "api.example.com") == (3, [])
        server.set({"vllm.ns": ["127.0.0.4"]})
        assert ask(server.port, "vllm.ns") == (0, ["127.0.0.4"])
        with pytest.raises(ValueError, match="cut query"):
            server.answer(b"\0" * 13)
    finally:
        server.stop()


@pytest.mark.skipif(sys.platform != "linux", reason="mount namespaces are Linux's")
def test_only_the_program_sees_the_certificates(tmp_path: Path) -> None:
    for name in ("root", "certs"):
        (tmp_path / name).mkdir()
    (tmp_path / "certs" / "tls.crt").write_text("certificate")
    command = sandboxed(["/bin/cat", "/certs/tls.crt"], root=tmp_path / "root", certs=tmp_path / "certs")
    before = Path("/certs").exists()
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "certificate"
    assert Path("/certs").exists() == before
    assert list((tmp_path / "root").iterdir()) == []


def test_a_taken_port_is_named_with_the_way_out() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ProcessError, match=rf"port {port} is taken .*unshare -rn"):
            stack._require_ports([port])


@pytest.mark.cluster
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_it_serves_and_ctrl_c_stops_everything(tools: Tools, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with log.open("w") as out:
        running = subprocess.Popen(
            [sys.executable, "-u", "-m", "spillway_dev", "gateway"],
            stdout=out, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
    try:
        wait_until(lambda: running.poll() is not None or "Ctrl-C stops it" in log.read_text(), "the gateway is up", 600)
        assert running.poll() is None, log.read_text()
        folder = Path(log.read_text().split("logs: ")[1].split()[0])
        pids = processes_of(folder)
        assert len(pids) >= 2, "Envoy Gateway and Envoy"
        running.send_signal(signal.SIGINT)
        assert running.wait(60) == 0, log.read_text()
    finally:
        running.kill()
        running.wait()
    assert "nothing is left running" in log.read_text()
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), "all processes end", 120)
    assert not folder.exists()


def processes_of(folder: Path) -> list[int]:
    """Processes with the folder in their command line."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and entry.name != str(os.getpid()):
            try:
                if str(folder).encode() in (entry / "cmdline").read_bytes():
                    found.append(int(entry.name))
            except (FileNotFoundError, ProcessLookupError):
                continue
    return found


def test_a_stack_that_never_started_stops_quietly(control_plane: ControlPlane) -> None:
    never = EnvoyGatewayStack(control_plane)
    with pytest.raises(ProcessError, match="does not run"):
        never.require()
    with pytest.raises(ProcessError, match="does not run yet"):
        _ = never.envoy_admin_url
    never.stop()
    assert not never.folder.exists()
