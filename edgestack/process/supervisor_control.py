"""The supervisor's control socket, in plain code on its loop: the same words as `control_server.py`, other ways.

    status                     from the board                     reload    once the new generation serves, or cannot
    cache, upstreams           asked of every worker, and made one answer of              stop, scale    at once

A worker that ends before it has answered is left out; without any answer there is an error.
"""

from __future__ import annotations

import itertools
import logging
import os
import signal
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgestack.errors import ConfigError
from edgestack.process.children import Child
from edgestack.process.control import REQUEST, Message, line_of
from edgestack.process.control_place import PEERS, SILENCE, is_ours, open_control, read_request
from edgestack.process.loop import Loop, Timer
from edgestack.process.telling import refused
from edgestack.wire.accepting import EXHAUSTED, REST

if TYPE_CHECKING:
    from edgestack.process.supervisor import Supervisor

__all__ = ["MOST_WORKERS", "SupervisorControl", "merged"]

PATIENCE = 20.0
"""Seconds until the answers that came have to do: a worker's folder of stored responses may be large."""
MOST_WORKERS = 1024
"""As many as the configuration may ask for."""
SHARED = ("disk", "disk_most", "files", "memory_most", "loading")
"""Of a cache's numbers, those that are the same ones in every worker; the others are added up."""

log = logging.getLogger("edgestack.error")

Answered = Callable[[Message], None]


class SupervisorControl:
    """The socket, and who is connected."""

    def __init__(self, supervisor: Supervisor, status: Callable[[], Message]) -> None:
        """Nothing is opened yet."""
        self._supervisor = supervisor
        self._verbs: dict[str, Callable[[Message, Answered], None]] = {
            "status": lambda request, answer: answer({"ok": True, **status()}),
            "reload": lambda request, answer: supervisor.reloading.begin(answer),
            "cache": self._ask_all,
            "upstreams": self._ask_all,
            "stop": self._stop,
            "scale": self._scale,
        }
        self._sock: socket.socket | None = None
        self._path: Path | None = None
        self._peers: set[Peer] = set()
        self._orders = itertools.count(1)

    def open(self, environ: Mapping[str, str]) -> None:
        """Open it where that can be done."""
        opened = open_control(environ)
        if opened is not None:
            self._sock, self._path = opened
            self._listen()

    def close(self) -> None:
        """Close and remove it."""
        for peer in list(self._peers):
            peer.close()
        sock, self._sock = self._sock, None
        if sock is not None and self._path is not None:
            sock.close()
            self._path.unlink(missing_ok=True)

    def _listen(self) -> None:
        if self._sock is not None:
            self._supervisor.loop.watch(self._sock, self._accept)

    def _accept(self) -> None:
        assert self._sock is not None
        loop = self._supervisor.loop
        try:
            connection, _ = self._sock.accept()
        except OSError as error:
            if error.errno in EXHAUSTED:  # who waits would be told of again and again
                loop.forget(self._sock)
                loop.later(REST, self._listen)
            return  # else it left already
        if len(self._peers) >= PEERS or not is_ours(connection):
            connection.close()
            return
        self._peers.add(Peer(self._supervisor.loop, connection, self._take, self._peers.discard))

    def _take(self, line: bytes, answer: Answered) -> None:
        try:
            request = read_request(line, self._verbs)
            self._verbs[request["verb"]](request, answer)
        except ConfigError as error:
            answer(refused(error))
        except Exception as error:
            log.exception("the order %r failed", line)
            answer({"ok": False, "errors": [f"the supervisor failed: {error}"]})

    # -- verbs ---------------------------------------------------------------------------------------------------------

    def _stop(self, request: Message, answer: Answered) -> None:
        answer({"ok": True, "pid": os.getpid()})
        self._supervisor.stop(signal.SIGQUIT if request.get("now") else signal.SIGTERM)

    def _scale(self, request: Message, answer: Answered) -> None:
        wanted = request.get("workers")
        if not isinstance(wanted, int) or not 1 <= wanted <= MOST_WORKERS:
            raise ConfigError(f"a number of workers from 1 to {MOST_WORKERS} is wanted")
        before = self._supervisor.crew.wanted
        self._supervisor.scale(wanted)
        answer({"ok": True, "workers": wanted, "before": before})

    def _ask_all(self, request: Message, answer: Answered) -> None:
        """Ask all, and answer when all have answered, or after a while."""
        asked = self._supervisor.serving()
        if not asked:
            raise ConfigError("no worker serves just now")
        answers: list[Message] = []
        waiting = {child.age for child in asked}
        done: list[Timer] = []

        def finish() -> None:
            waiting.clear()
            done[0].cancel()
            answer(merged(answers) if answers else {"ok": False, "errors": ["no worker has answered"]})

        def answered(child: Child, said: Message | None) -> None:
            if child.age in waiting:
                waiting.discard(child.age)
                answers.extend([said] if said is not None else [])
                if not waiting:
                    finish()

        done.append(self._supervisor.loop.later(PATIENCE, lambda: finish() if waiting else None))
        for child in asked:
            child.ask(next(self._orders), request, lambda said, child=child: answered(child, said))  # type: ignore[misc]


class Peer:
    """One connection."""

    def __init__(
        self,
        loop: Loop,
        connection: socket.socket,
        take: Callable[[bytes, Answered], None],
        gone: Callable[[Peer], None],
    ) -> None:
        """:param take: gets a line, and whom to answer."""
        connection.setblocking(False)
        self._loop = loop
        self._sock = connection
        self._take = take
        self._gone = gone
        self._received = self._owed = b""
        self._busy = False
        self._closed = False
        self._patience = loop.later(SILENCE, self.close)
        loop.watch(connection, self._readable)

    def _readable(self) -> None:
        try:
            data = self._sock.recv(REQUEST)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.close()
            return
        self._received += data
        self._next()

    def _next(self) -> None:
        """The next line, once the one before is answered."""
        line, newline, rest = self._received.partition(b"\n")
        if newline and not self._busy:
            self._received = rest
            self._busy = True
            self._patience.cancel()
            self._take(line, self._answer)
        elif len(self._received) > REQUEST:
            self._answer({"ok": False, "errors": ["the request is too long"]})

    def _answer(self, message: Message) -> None:
        if self._closed:
            return
        self._busy = False
        self._patience = self._loop.later(SILENCE, self.close)
        self._owed += line_of(message)
        self._write()
        if not self._closed:
            self._next()

    def _write(self) -> None:
        try:
            while self._owed:
                self._owed = self._owed[self._sock.send(self._owed) :]
        except BlockingIOError:
            self._loop.watch(self._sock, self._readable, self._write)
            return
        except OSError:
            self.close()
            return
        self._loop.watch(self._sock, self._readable)

    def close(self) -> None:
        """Hear no more of it."""
        if not self._closed:
            self._closed = True
            self._patience.cancel()
            self._loop.forget(self._sock)
            self._sock.close()
            self._gone(self)


def merged(answers: list[Message]) -> Message:
    """One answer of several workers'."""
    failed = next((one for one in answers if one.get("ok") is not True), None)
    if failed is not None:
        return failed
    first = answers[0]
    if "upstreams" in first:
        return {"ok": True, "upstreams": {pid: known for one in answers for pid, known in one["upstreams"].items()}}
    if "purged" in first:
        return {"ok": True, "purged": sum(one["purged"] for one in answers)}
    if "stored" in first:
        rows = {repr(row): row for one in answers for row in one["stored"]}
        return {"ok": True, "stored": list(rows.values())}
    if "caches" in first:
        names = dict.fromkeys(name for one in answers for name in one["caches"])
        return {
            "ok": True,
            "caches": {name: _added([one["caches"].get(name, {}) for one in answers]) for name in names},
        }
    return first


def _added(each: list[dict[str, Any]]) -> dict[str, Any]:
    names = dict.fromkeys(name for one in each for name in one)
    return {name: (max if name in SHARED else sum)(one[name] for one in each if name in one) for name in names}
