"""Nothing is dropped (issue 6, Proof): real workers change under clients that never stop asking; failures are counted.

A client asks again within milliseconds, which is far less than the drain's grace for idle connections.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

from supervisor_kit import LONG, Supervised, loaded

HUPS = 100 if LONG else 3
KILLS = 20 if LONG else 3
CLIENTS = 4


def test_reloads_fail_no_request(tmp_path: Path) -> None:
    """SIGHUP: each time all workers are others afterwards, and no request fails."""
    with Supervised(tmp_path, "workers = 2").ready() as server, loaded(server.port, CLIENTS) as load:
        before = set(server.workers())
        for number in range(HUPS):
            server.send(signal.SIGHUP)
            server.until("reloaded: 2 new workers serve", number + 1)
            load.more(2)
            after = set(server.workers())
            assert len(after) == 2
            assert not after & before
            before = after
    assert load.failures == []


def test_scaling_fails_no_request(tmp_path: Path) -> None:
    """SIGTTIN, SIGTTOU and `ctl scale`."""
    with Supervised(tmp_path, "workers = 2").ready() as server, loaded(server.port, CLIENTS) as load:
        server.send(signal.SIGTTIN)
        server.until("3 workers instead of 2")
        server.until_serving(3)
        load.more()
        for wanted in (2, 1):
            server.send(signal.SIGTTOU)
            server.until(f"{wanted} worker{'s' * (wanted > 1)} instead of {wanted + 1}")
            server.until_serving(wanted)
            load.more()
        server.send(signal.SIGTTOU)  # one is the least, and nothing is told of what changes nothing
        assert server.order(verb="scale", workers=2)["before"] == 1
        server.until_serving(2)
    assert load.failures == []
    assert "instead of 1" in "".join(server.said)
    assert "1 worker instead of 1" not in "".join(server.said)


def test_a_killed_worker_costs_what_it_was_answering(tmp_path: Path) -> None:
    """kill -9: at most one request of each client, and another worker comes; the log says why it died."""
    with Supervised(tmp_path, "workers = 2").ready() as server, loaded(server.port, CLIENTS) as load:
        for number in range(KILLS):
            victim = server.workers()[number % 2]
            os.kill(victim, signal.SIGKILL)
            server.until("was killed by SIGKILL", number + 1)
            server.until_serving(2, but=victim)
            load.more()
        assert f"(pid {victim}) was killed by SIGKILL" in "".join(server.said)
    assert len(load.failures) <= KILLS * CLIENTS


def test_workers_that_have_answered_enough_are_replaced(tmp_path: Path) -> None:
    """max_requests: the next one is ready before the one before leaves."""
    keys = "workers = 2\nmax_requests = 40\nmax_requests_jitter = 10"
    with Supervised(tmp_path, keys).ready() as server, loaded(server.port, CLIENTS) as load:
        server.until("is replaced: it has answered", 4)
    assert load.failures == []


def test_one_worker_is_replaced_too(tmp_path: Path) -> None:
    """With one worker and max_requests there is a supervisor, and always somebody to answer."""
    with Supervised(tmp_path, "workers = 1\nmax_requests = 50").ready() as server, loaded(server.port, 2) as load:
        server.until("is replaced: it has answered", 2)
    assert load.failures == []


def test_an_upgrade_in_place_fails_no_request(tmp_path: Path) -> None:
    """SIGUSR2, SIGWINCH, SIGTERM to the old supervisor: the new one has the sockets, and in the end the pid file."""
    pid_file = tmp_path / "edgestack.pid"
    with Supervised(tmp_path, 'workers = 2\npid = "edgestack.pid"').ready() as server:
        old = server.process.pid
        with loaded(server.port, CLIENTS) as load:
            server.send(signal.SIGUSR2)
            server.ready(2)
            new = int((tmp_path / "edgestack.pid.2").read_text())
            assert int(pid_file.read_text()) == old != new
            load.more()
            server.send(signal.SIGWINCH)
            server.until_serving(0)
            server.send(signal.SIGTTOU)  # none stays none
            assert server.order(verb="status")["wanted"] == 0
            load.more()
            assert server.stop() == 0
            server.until(f"process {old}, has gone")
            load.more()
        try:
            assert load.failures == []
            assert server.order(verb="status", to=new)["pid"] == new
            assert int(pid_file.read_text()) == new
            assert not (tmp_path / "edgestack.pid.2").exists()
            assert (tmp_path / "ready.json").exists()
        finally:
            os.kill(new, signal.SIGTERM)
