"""The supervisor's loop and its channels: signals, sockets, timers; and what other processes say."""

from __future__ import annotations

import logging
import os
import signal
import socket
from collections.abc import Iterator

import pytest

from edgestack.process.channel import MOST, Channel, pair
from edgestack.process.children import Line
from edgestack.process.loop import Loop


@pytest.fixture
def loop() -> Iterator[Loop]:
    loop = Loop()
    yield loop
    loop.close()


def test_timers_in_their_order(loop: Loop) -> None:
    said: list[str] = []
    loop.later(0.002, lambda: said.append("second"))
    loop.later(0.001, lambda: said.append("first"))
    loop.later(0.0, lambda: said.append("never")).cancel()
    loop.later(0.003, loop.stop)
    loop.run()
    assert said == ["first", "second"]


def test_signals_are_orders_and_mean_what_they_meant_afterwards() -> None:
    before = signal.getsignal(signal.SIGUSR1)
    loop = Loop()
    said: list[str] = []
    loop.obey({signal.SIGUSR1: lambda: said.append("one"), signal.SIGUSR2: loop.stop})
    os.kill(os.getpid(), signal.SIGUSR1)
    os.kill(os.getpid(), signal.SIGUSR1)
    os.kill(os.getpid(), signal.SIGUSR2)
    loop.run()
    loop.close()
    assert said == ["one"]  # twice in one turn is worth once
    assert signal.getsignal(signal.SIGUSR1) is before


def test_what_raises_costs_itself_only(loop: Loop, caplog: pytest.LogCaptureFixture) -> None:
    def stumbles() -> None:
        raise ZeroDivisionError

    loop.later(0, stumbles)
    loop.later(0, loop.stop)
    loop.run()
    assert [record.exc_info[0] for record in caplog.records if record.exc_info] == [ZeroDivisionError]
    assert caplog.records[0].levelno == logging.ERROR


def test_words_come_whole_and_the_end_is_heard_once(loop: Loop) -> None:
    ours, theirs = pair()
    said: list[object] = []
    line = Line(loop, ours, lambda message: said.append(message["say"]), lambda: (said.append("end"), loop.stop()))
    theirs.sendall(b'{"say": 1}\n{"say": 2}\n{"sa')
    loop.later(0.001, lambda: (theirs.sendall(b'y": 3}\n'), theirs.close()))  # type: ignore[arg-type, return-value]
    loop.run()
    assert said == [1, 2, 3, "end"]
    line.say(do="nothing")  # to nobody
    line.close()


def test_what_is_not_taken_at_once_waits(loop: Loop) -> None:
    ours, theirs = pair()
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    line, there = Line(loop, ours, lambda message: None, lambda: None), Channel(theirs)
    for number in range(200):
        line.say(do="x" * 500, number=number)
    heard: list[int] = []

    def read() -> None:
        heard.extend(message["number"] for message in there.receive() or [])
        if len(heard) == 200:
            loop.stop()

    loop.watch(theirs, read)
    loop.run()
    assert heard == list(range(200))
    loop.forget(theirs)
    there.close()
    line.close()


def test_one_that_never_reads_is_not_waited_for_without_bound() -> None:
    ours, theirs = pair()
    channel = Channel(ours)
    sent = 0
    while channel.send(do="x" * 60_000):
        sent += 1
        assert sent < 2 * MOST / 60_000
    channel.close()
    theirs.close()
    assert sent
