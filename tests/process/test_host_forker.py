"""A process that a fork server has forked, as the edge sees it: by what it is told of it, and by nothing else."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from edgestack.hosting.channel import ORPHANED
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
