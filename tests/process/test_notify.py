"""What systemd is told (sd_notify(3)) and what it hands over (sd_listen_fds(3)): one process, and a supervisor."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from queue import SimpleQueue

import pytest
from supervisor_kit import PATIENCE, Supervised, get

from edgestack.process.notify import Systemd


class Ear:
    """The service manager's end. It listens all the time: the kernel keeps ten messages, and a slow reload has more."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._told: SimpleQueue[bytes] = SimpleQueue()
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        while said := self._sock.recv(4096):
            self._told.put(said)

    def heard(self) -> list[str]:
        return self._told.get(timeout=PATIENCE).decode().splitlines()

    def until(self, line: str) -> None:
        while line not in self.heard():
            pass  # signs of life in between

    def close(self) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as own:
            own.sendto(b"", self._sock.getsockname())
        self._thread.join(PATIENCE)


@pytest.fixture
def ear(tmp_path: Path) -> Iterator[Ear]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "notify"))
        ear = Ear(sock)
        yield ear
        ear.close()


@pytest.mark.parametrize("workers", [1, 2])
def test_a_life_is_told(tmp_path: Path, ear: Ear, workers: int) -> None:
    """READY, WATCHDOG twice as often as is asked, RELOADING and READY, STOPPING; workers are not the service."""
    environ = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "400000"}
    with Supervised(tmp_path, f"workers = {workers}", **environ) as server:
        assert ear.heard()[0] == "READY=1"
        assert ear.heard() == ["WATCHDOG=1"]
        assert ear.heard() == ["WATCHDOG=1"]
        assert server.order(verb="reload")["ok"] is True
        reloading = ear.heard()
        while reloading == ["WATCHDOG=1"]:
            reloading = ear.heard()
        assert reloading[0] == "RELOADING=1"
        assert reloading[1].startswith("MONOTONIC_USEC=")
        ear.until("READY=1")
        server.send(signal.SIGTERM)
        ear.until("STOPPING=1")
        assert server.process.wait(PATIENCE) == 0


def test_passed_sockets_are_shared_by_workers(tmp_path: Path) -> None:
    """Socket activation: systemd has bound; the workers accept, and the variables are theirs no more."""
    (tmp_path / "web.py").write_text(
        "import os\n"
        "def app(environ, start_response):\n"
        "    start_response('200 OK', [])\n"
        "    return [repr((os.getpid(), os.environ.get('LISTEN_FDS'))).encode()]\n"
    )
    (tmp_path / "edgestack.toml").write_text('[server]\ntls = false\nworkers = 2\n[[route]]\napp = "web:app"\n')
    code = (
        "import os, sys; os.dup2(int(sys.argv[1]), 3); os.set_inheritable(3, True); "
        "os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='1'); "
        "os.execv(sys.executable, [sys.executable, '-m', 'edgestack', 'serve'])"
    )
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
        root = str(Path(__file__).parents[2])
        environ = {**os.environ, "PYTHONPATH": root, "HOME": str(tmp_path), "NO_COLOR": "1"}
        process = subprocess.Popen(
            [sys.executable, "-c", code, str(sock.fileno())], cwd=tmp_path, env=environ, pass_fds=(sock.fileno(),),
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
    try:
        answers = {get(port)[1] for _ in range(20)}  # who connects before anybody serves has to wait
        assert 1 <= len(answers) <= 2
        assert all(answer.endswith(b", None)") for answer in answers)
    finally:
        process.terminate()
        assert process.wait(PATIENCE) == 0


def test_the_variables_are_read_once() -> None:
    """WATCHDOG_PID names whose they are; children see none of them."""
    environ = {"NOTIFY_SOCKET": "/run/x", "WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid()), "HOME": "/"}
    systemd = Systemd.of(environ)
    assert (systemd.address, systemd.watchdog) == ("/run/x", 15.0)
    assert environ == {"HOME": "/"}
    systemd.restore(environ)
    assert environ == {"HOME": "/", "NOTIFY_SOCKET": "/run/x", "WATCHDOG_USEC": "30000000"}


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"WATCHDOG_USEC": "30000000"},
        {"NOTIFY_SOCKET": "/run/x", "WATCHDOG_USEC": "soon"},
        {"NOTIFY_SOCKET": "/run/x", "WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"},
    ],
)
def test_no_watchdog(environ: dict[str, str]) -> None:
    assert Systemd.of(environ).watchdog == 0


def test_an_abstract_socket(caplog: pytest.LogCaptureFixture) -> None:
    name = f"edgestack-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind("\0" + name)
        sock.settimeout(PATIENCE)
        Systemd("@" + name).ready("well", main=True)
        assert sock.recv(4096).decode().splitlines() == ["READY=1", "STATUS=well", f"MAINPID={os.getpid()}"]
    Systemd("@" + name).stopping()
    assert "was not told STOPPING=1" in caplog.text


def test_nobody_listens() -> None:
    Systemd().ready()
