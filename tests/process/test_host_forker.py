"""A process that a fork server has forked, as the edge sees it: by what it is told of it, and by nothing else."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from edgestack.hosting.channel import ORPHANED
from edgestack.hosting.forking import FDS, LONGEST
from edgestack.hosting.order import Order
from edgestack.process import host_forker
from edgestack.process.host_forker import Forked


@pytest.fixture
def server() -> Iterator[subprocess.Popen[bytes]]:
    """Stands for a fork server: it waits until it is killed."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process
        process.kill()


@pytest.fixture
def told(server: subprocess.Popen[bytes]) -> Iterator[tuple[Forked, socket.socket]]:
    ours, book = socket.socketpair()
    forked = Forked(server, ours)
    yield forked, book
    book.close()
    forked.close()


@pytest.mark.parametrize("pieces", [[b'{"pid": 77}\n{"status": -9}\n'], [b'{"pid', b'": 77}\n{"sta', b'tus": -9}\n']])
def test_it_lives_and_ends(told: tuple[Forked, socket.socket], pieces: list[bytes]) -> None:
    forked, book = told
    assert (forked.pid, forked.poll()) == (0, None)
    with pytest.raises(subprocess.TimeoutExpired):
        forked.wait(0.001)
    for piece in pieces:
        assert forked.poll() is None
        book.send(piece)
    assert forked.wait() == forked.wait(0) == forked.poll() == -9
    assert forked.pid == 77


def test_it_goes_with_its_fork_server(told: tuple[Forked, socket.socket]) -> None:
    """Nobody tells how it ends; it will, with its line."""
    forked, book = told
    book.send(b'{"pid": 77}\n')
    book.close()
    assert forked.wait() == ORPHANED
    forked.kill()  # and no signal goes to whoever has that number now
    assert forked.poll() == ORPHANED


def test_what_is_not_forked_yet_is_ended_with_its_fork_server(
    told: tuple[Forked, socket.socket], server: subprocess.Popen[bytes]
) -> None:
    forked, _ = told
    forked.send_signal(signal.SIGTERM)
    assert server.poll() is None
    forked.kill()
    assert server.wait(10) == -signal.SIGKILL


def test_a_fork_server_that_dies_is_begun_again(
    monkeypatch: pytest.MonkeyPatch, server: subprocess.Popen[bytes]
) -> None:
    """It has let go of one line, and not of the one that orders come by: what is sent there now would be lost."""
    begun: list[socket.socket] = []

    def started(order: Order, environment: object, fd: int) -> subprocess.Popen[bytes]:
        begun.append(socket.socket(fileno=os.dup(fd)))
        return server

    def let_go(orders: socket.socket) -> None:
        for fd in socket.recv_fds(orders, LONGEST, FDS)[1]:
            os.close(fd)

    monkeypatch.setattr(host_forker, "started", started)
    monkeypatch.setattr(host_forker, "LAST_CALL", 0.01)
    order = Order("process", "a:b", "", -1, -1, "", "ids")
    forker, (listener, line) = host_forker.Forker(order, None), socket.socketpair()
    with listener, line:
        first = forker.begin(order, listener, line)
        let_go(begun[0])
        assert first.wait(10) == ORPHANED
        second = forker.begin(order, listener, line)
        assert len(begun) == 2
        let_go(begun[1])
    for one in (first, second, forker, *begun):
        one.close()
