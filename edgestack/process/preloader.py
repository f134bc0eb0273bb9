"""The preloader: `python -m edgestack.process.preloader CHANNEL SPEC`. It loads what is served once, and forks workers.

    supervisor ── {"do": "fork", "row": 0, "age": 3} and the worker's end of a channel ──> fork ──> worker.live_as
               <─ {"say": "forked", "age": 3, "pid": 77}, {"say": "died", "pid": 77, "status": -9}

It has one thread and no loop of trio's: both would be broken in its children. What it has loaded is frozen out of the
collector's sight before the first fork, so that the pages stay shared: a collection writes into every object it looks
at. Certificates are loaded here too, and with them the keys of session tickets: a client resumes its session with any
worker. At the end of its channel it ends, and leaves the workers to the supervisor.
"""

from __future__ import annotations

import gc
import json
import os
import selectors
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, NoReturn

from edgestack.errors import ConfigError
from edgestack.http.messages import Exchange
from edgestack.process.channel import Channel
from edgestack.process.control import Message
from edgestack.process.generation import Generation
from edgestack.process.hooks import Hooks, Worker, hooks_of
from edgestack.process.identity import entitle, settle
from edgestack.process.logs import open_error_log
from edgestack.process.serving import tuned
from edgestack.process.spec import Spec, read_spec
from edgestack.process.starting import Orders
from edgestack.process.worker import begun_generation, failure, live_as, settled_signals

__all__ = ["Preloading"]

ORDER = 4096
"""Bytes of an order to fork, with much to spare."""


class Preloading:
    """What was loaded, and who was forked."""

    def __init__(self, spec: Spec, hooks: Hooks, channel: socket.socket) -> None:
        """:raises ConfigError: it cannot be served."""
        self._spec = spec
        self._hooks = hooks
        self._channel = channel
        self._orders = Orders()
        self._generation: Generation = begun_generation(spec, self._orders, channel)
        self._wake, self._woken = socket.socketpair()
        gc.collect()
        gc.freeze()
        gc.disable()  # a collection between two forks would write into every page; children enable it again

    def run(self) -> None:
        """Fork until the supervisor has gone."""
        self._woken.setblocking(False)
        self._wake.setblocking(False)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        signal.set_wakeup_fd(self._woken.fileno(), warn_on_full_buffer=False)
        self._say(say="ready")
        with selectors.DefaultSelector() as selector:
            selector.register(self._channel, selectors.EVENT_READ)
            selector.register(self._wake, selectors.EVENT_READ)
            while True:
                for key, _ in selector.select():
                    if key.fileobj is self._wake:
                        self._wake.recv(ORDER)
                    elif not self._take_order():
                        return
                for pid, status in _ended():
                    self._say(say="died", pid=pid, status=status)

    def close(self) -> None:
        """Let go what is not needed to end."""
        self._generation.close()
        self._wake.close()
        self._woken.close()

    def _say(self, **message: Any) -> None:
        self._channel.sendall(json.dumps(message).encode() + b"\n")

    def _take_order(self) -> bool:
        """Fork one worker. False: the supervisor has gone."""
        line, fds, _, _ = socket.recv_fds(self._channel, ORDER, 1)
        if not line:
            return False
        order: Message = json.loads(line)
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if not pid:
            self._become(order, fds[0])
        os.close(fds[0])
        self._say(say="forked", age=order["age"], pid=pid)
        return True

    def _become(self, order: Message, channel: int) -> NoReturn:
        """In the child: a worker, which has nothing of the preloader's but what it has loaded."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for sock in (self._channel, self._wake, self._woken):
            sock.close()
        os.set_inheritable(channel, False)
        gc.enable()
        Exchange.prefix = os.urandom(12).hex()  # two workers never give out the same request id
        worker = Worker(order["age"], self._hooks.cfg, os.getpid())
        with self._orders:
            settled_signals(worker, self._hooks)
            end = Channel(socket.socket(fileno=channel))
            live_as(worker, self._hooks, self._spec, end, order["row"], self._orders, lambda: self._generation)


def _ended() -> Iterator[tuple[int, int]]:
    """Children that have ended, and how (as `subprocess` has it)."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if not pid:
            return
        yield pid, os.waitstatus_to_exitcode(status)


def main(channel: int, spec_fd: int) -> int:
    """A fresh interpreter."""
    spec = read_spec(spec_fd)
    os.close(spec_fd)
    spec.keep(channel)
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGWINCH):
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    tuned()
    settle(spec.config.server.processes)
    entitle("preloader", spec.config)
    with socket.socket(fileno=channel) as sock:
        error_log = open_error_log(spec.config.server.log, spec.options)
        try:
            preloading = Preloading(spec, hooks_of(spec.options), sock)
        except ConfigError as error:
            sock.sendall(json.dumps(failure(error)).encode() + b"\n")
            return 3
        finally:
            error_log.close()
        with suppress(BrokenPipeError):  # the supervisor has gone while it was loaded
            preloading.run()
        preloading.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:3])))
