"""Orders that come while others are being obeyed: each has its moment forced by a pipe that an import waits for."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from supervisor_kit import APPLICATION, Supervised, get

SLOW = (
    """
import os
with open("begun", "w") as pipe:
    pipe.write(str(os.getpid()))
with open("go") as pipe:
    pipe.read()
"""
    + APPLICATION
)


def gated(folder: Path) -> None:
    """From now on the application begins to load only when the test looks, and ends when it says so."""
    for name in ("begun", "go"):
        os.mkfifo(folder / name)
    (folder / "web.py").write_text(SLOW.replace("VERSION", "SECOND"))


def is_gone(pid: int) -> bool:
    return not Path(f"/proc/{pid}").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_told_to_stop_while_it_reloads(number: signal.Signals, tmp_path: Path) -> None:
    """Both generations leave; the one that still imports waits for nothing."""
    with Supervised(tmp_path, "max_requests = 1000").ready() as server:
        (old,) = server.workers()
        gated(tmp_path)
        server.send(signal.SIGHUP)
        new = int((tmp_path / "begun").read_text())
        assert server.stop(number) == (0 if number == signal.SIGTERM else 130)
        assert is_gone(old)
        assert is_gone(new)
    assert "Traceback" not in "".join(server.said)


def test_reloads_that_come_together(tmp_path: Path) -> None:
    """Those that come during one are one more, which sees what was written last."""
    with Supervised(tmp_path, "max_requests = 1000").ready() as server:
        gated(tmp_path)
        server.send(signal.SIGHUP)
        (tmp_path / "begun").read_text()
        for _ in range(5):
            server.send(signal.SIGHUP)
            assert server.order(verb="status")["pid"] == server.process.pid  # a round trip: it has heard
        (tmp_path / "web.py").write_text(APPLICATION.replace("VERSION", "THIRD"))
        (tmp_path / "go").write_text("")
        server.until("reloaded: 1 new worker serves", 2)
        server.until_serving(1)
        assert get(server.port)[1].endswith(b"THIRD")
        assert server.order(verb="status")["reloads"] == 2
        assert server.stop() == 0


def test_the_old_supervisor_leaves_before_the_new_one_is_ready(tmp_path: Path) -> None:
    """Who connects meanwhile waits in the queue of the sockets that both have, and is answered by the new one."""
    with Supervised(tmp_path, 'workers = 1\nmax_requests = 1000\npid = "edgestack.pid"').ready() as server:
        port = server.port
        gated(tmp_path)
        server.send(signal.SIGUSR2)
        worker = int((tmp_path / "begun").read_text())
        server.send(signal.SIGUSR2)  # once is enough
        server.until("another supervisor was started already, as process")
        assert server.stop() == 0
        (tmp_path / "go").write_text("")
        assert get(port)[1].split()[0] == str(worker).encode()
        server.until("has gone")
        new = int("".join(server.said).partition("another supervisor is started, as process ")[2].split()[0])
        assert server.order(verb="stop", to=new)["ok"] is True


@pytest.mark.parametrize("broken", ["import nothing_of_that_name", "import os\nos._exit(3)"], ids=["error", "exit"])
def test_what_cannot_live_is_tried_ever_less_often(broken: str, tmp_path: Path) -> None:
    """Code that broke under living workers: those that die are missed, and the pauses between two tries grow."""
    with Supervised(tmp_path, "max_requests = 1000").ready() as server:
        (tmp_path / "web.py").write_text(broken)
        for victim in server.workers():
            os.kill(victim, signal.SIGKILL)
        server.until("worker 4")
        (tmp_path / "web.py").write_text(APPLICATION)
        server.until_serving(1)
        assert get(server.port)[0] == 200
        assert server.stop() == 0
    said = "".join(server.said)
    assert "the supervisor stumbled" not in said
