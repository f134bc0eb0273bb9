"""What systemd is told (sd_notify(3)) and what it hands over (sd_listen_fds(3)): one process, and a supervisor."""

from __future__ import annotations

import os
import queue
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from supervisor_kit import PATIENCE, Supervised, get

from edgestack.process import notify
from edgestack.process.notify import Systemd


@pytest.fixture
def ear(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "notify"))
        sock.settimeout(PATIENCE)
        yield sock


def heard(ear: socket.socket) -> list[str]:
    return ear.recv(4096).decode().splitlines()


class Manager:
    """Listens all the time, as systemd does: a queue of datagrams holds ten."""

    def __init__(self, ear: socket.socket) -> None:
        self._ear = ear
        self._heard: queue.Queue[list[str]] = queue.Queue()
        self._thread = threading.Thread(target=self._listen)

    def _listen(self) -> None:
        while (said := heard(self._ear)) != ["ENOUGH"]:
            self._heard.put(said)

    def __enter__(self) -> Manager:
        self._ear.settimeout(None)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.sendto(b"ENOUGH", self._ear.getsockname())
        self._thread.join(PATIENCE)

    def next(self) -> list[str]:
        """What was told next."""
        return self._heard.get(timeout=PATIENCE)

    def until(self, line: str) -> list[str]:
        """What has this line first; signs of life in between."""
        while line not in (said := self.next()):
            assert said == ["WATCHDOG=1"]
        return said


@pytest.mark.parametrize("workers", [1, 2])
def test_a_life_is_told(tmp_path: Path, ear: socket.socket, workers: int) -> None:
    """READY, WATCHDOG twice as often as is asked, RELOADING and READY, STOPPING; workers are not the service."""
    environ = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "400000"}
    with Manager(ear) as manager, Supervised(tmp_path, f"workers = {workers}", **environ) as server:
        assert manager.next()[0] == "READY=1"
        assert manager.next() == ["WATCHDOG=1"]
        assert manager.next() == ["WATCHDOG=1"]
        assert server.order(verb="reload")["ok"] is True
        reloading = manager.until("RELOADING=1")
        assert reloading[0] == "RELOADING=1"
        assert reloading[1].startswith("MONOTONIC_USEC=")
        manager.until("READY=1")
        server.send(signal.SIGTERM)
        manager.until("STOPPING=1")
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
        assert heard(sock) == ["READY=1", "STATUS=well", f"MAINPID={os.getpid()}"]
    Systemd("@" + name).stopping()
    assert "was not told STOPPING=1" in caplog.text


def test_a_state_waits_for_a_manager_that_is_busy(ear: socket.socket, caplog: pytest.LogCaptureFixture) -> None:
    """Its queue is full: a sign of life is left out, and READY=1 is not."""
    systemd = Systemd(ear.getsockname())
    while not caplog.records:
        systemd.alive()
    assert "was not told WATCHDOG=1" in caplog.text
    caplog.clear()
    telling = threading.Thread(target=systemd.ready)
    telling.start()
    while heard(ear) != ["READY=1"]:
        pass
    telling.join(PATIENCE)
    assert not caplog.records


def test_a_manager_that_hangs_holds_up_nobody(
    ear: socket.socket, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    systemd = Systemd(ear.getsockname())
    while not caplog.records:
        systemd.alive()
    monkeypatch.setattr(notify, "PATIENCE", 0.01)
    systemd.stopping()
    assert "was not told STOPPING=1: timed out" in caplog.text


def test_nobody_listens() -> None:
    Systemd().ready()
