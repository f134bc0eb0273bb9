"""Who holds an address: this very process, and another one (issue 2, §6: a port in use)."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from edgestack.process import holders
from edgestack.process.holders import holder_of_path, holder_of_port, process_name

pytestmark = pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="this system has no /proc/net/tcp")

SERVER = """
import socket, sys
sock = socket.create_server(("127.0.0.1", 0))
print(sock.getsockname()[1], flush=True)
sys.stdin.read()
"""


def test_our_own_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        holder = holder_of_port(sock.getsockname()[1])
    assert holder is not None
    assert holder.pid == os.getpid()
    assert holder.name == process_name(os.getpid()) != ""


def test_another_process() -> None:
    with subprocess.Popen([sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        holder = holder_of_port(int(other.stdout.readline()))
        other.communicate()
    assert holder is not None
    assert holder.pid == other.pid


def test_a_port_that_is_bound_but_not_listened_on() -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        assert holder_of_port(sock.getsockname()[1]) is None


def test_a_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "a.sock"
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))
        sock.listen()
        holder = holder_of_path(str(path))
    assert holder is not None
    assert holder.pid == os.getpid()
    assert holder_of_path(str(path)) is None


def test_without_proc_nobody_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holders, "PROC", tmp_path)
    assert holder_of_port(80) is None
    assert holder_of_path("/a") is None
    assert process_name(1) == ""


def test_descriptors_that_we_may_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    row = "  0: 0100007F:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 4711 1"
    (tmp_path / "net").mkdir()
    (tmp_path / "net/tcp").write_text(f"header\n{row}\nshort row\n")
    (tmp_path / "12").mkdir()
    monkeypatch.setattr(holders, "PROC", tmp_path)
    assert holder_of_port(80) is None
    (tmp_path / "12/fd").mkdir()
    (tmp_path / "12/fd/3").symlink_to("socket:[4711]")
    (tmp_path / "12/comm").write_text("nginx\n")
    assert holder_of_port(80) == (12, "nginx")
