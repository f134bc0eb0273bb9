"""The fork server of a hosted application (`preload`): it loads the application once, and forks the processes.

    edge ── an order as JSON, with the listening socket, the line and the book ──> fork ──> hosts, as if begun afresh
         <─ on the book: {"pid": 77}, and at its end {"status": -9}

It has one thread and no loop of any library: both would be broken in its children. What it has loaded is frozen out of
the collector's sight before the first fork, so that the pages stay shared. Where the application cannot be loaded, it
says so on the line of each process that it should begin, and ends. It ends with its orders too; its children go on.

A library that patches Python is imported before the application: what this file uses are the system's own calls.
"""

from __future__ import annotations

import _socket
import array
import gc
import json
import os
import select
import signal
import socket
from collections.abc import Callable
from typing import Any

from edgestack.errors import ConfigError
from edgestack.hosting.channel import said, tidy
from edgestack.hosting.order import Order

__all__ = ["LONGEST", "run"]

LONGEST = 1 << 16
"""Bytes of an order, with much to spare."""
FDS = 3
INT = array.array("i").itemsize

_poll, _fork, _waitpid, _write, _close, _read = select.poll, os.fork, os.waitpid, os.write, os.close, os.read
_signal, _set_wakeup_fd = signal.signal, signal.set_wakeup_fd
"""All taken before a library puts its own in their place."""


def run(order: Order, load: Callable[[Order], Any], host: Callable[[Order, Callable[[], Any]], int]) -> int:
    """Load, and fork until there are no more orders; the exit status, of a child too.

    :param order: `order.channel` is where further orders come from.
    :param host: what a child does.
    """
    server = ForkServer(order.channel)
    try:
        found = load(order)
    except ConfigError as error:
        server.refuse(error)
        return 0
    gc.collect()
    gc.freeze()
    gc.disable()  # a collection between two forks would write into every page; children enable it again
    child = server.fork_each()
    return 0 if child is None else host(child, lambda: found)


class ForkServer:
    """Takes orders, and keeps the books of those that it has forked."""

    def __init__(self, orders: int) -> None:
        """:param orders: the descriptor of a SOCK_SEQPACKET socket."""
        os.set_inheritable(orders, False)
        self._orders = _socket.socket(fileno=orders)
        self._edge = os.getppid()
        self._paths: set[str] = set()
        """Of the sockets of those that were forked."""
        self._books: dict[int, int] = {}
        """By process id: where its end is told."""
        self._wake, self._woken = os.pipe()
        os.set_blocking(self._wake, False)
        os.set_blocking(self._woken, False)

    def refuse(self, error: ConfigError) -> None:
        """Answer the orders that are here, or the next one, with why there is nothing to host."""
        try:
            while (order := self._take()) is not None:
                _write(order.channel, said(error))
                for fd in (order.channel, order.listen, order.book):
                    _close(fd)
                self._orders.setblocking(False)
        except BlockingIOError:
            pass  # no more of them
        self._orders.close()

    def fork_each(self) -> Order | None:
        """None when there are no more orders; in a child what it is to host."""
        _signal(signal.SIGCHLD, lambda number, frame: None)
        _set_wakeup_fd(self._woken, warn_on_full_buffer=False)
        poller = _poll()
        poller.register(self._orders.fileno(), select.POLLIN)
        poller.register(self._wake, select.POLLIN)
        while True:
            ready = {fd for fd, _ in poller.poll()}
            if self._wake in ready:
                _read(self._wake, LONGEST)
                self._bury()
            if self._orders.fileno() in ready:
                order = self._take()
                if order is None:
                    self._orders.close()
                    tidy(self._edge, self._paths)
                    return None
                if self._fork(order):
                    return order

    def _take(self) -> Order | None:
        text, ancillary, _, _ = self._orders.recvmsg(LONGEST, socket.CMSG_SPACE(FDS * INT))
        if not text:
            return None
        fds = array.array("i")
        for _, _, data in ancillary:
            fds.frombytes(data)
        return Order.read(text.decode(), *fds)

    def _fork(self, order: Order) -> bool:
        """Whether this is the child."""
        pid = _fork()
        if not pid:
            self._leave(order)
            return True
        self._books[pid] = order.book
        self._paths.add(order.path)
        self._tell(order.book, {"pid": pid})
        _close(order.channel)
        _close(order.listen)
        return False

    def _leave(self, order: Order) -> None:
        """In the child: have nothing of the fork server's but what it has loaded."""
        _set_wakeup_fd(-1)
        _signal(signal.SIGCHLD, signal.SIG_DFL)
        self._orders.close()
        for fd in (self._wake, self._woken, order.book, *self._books.values()):
            _close(fd)
        gc.enable()

    def _bury(self) -> None:
        while self._books:
            pid, status = _waitpid(-1, os.WNOHANG)
            if not pid:
                return
            book = self._books.pop(pid, None)
            if book is not None:  # else an application's own
                self._tell(book, {"status": os.waitstatus_to_exitcode(status)})
                _close(book)

    def _tell(self, book: int, message: dict[str, int]) -> None:
        try:
            _write(book, json.dumps(message).encode() + b"\n")
        except OSError:
            pass  # nobody wants to know any more
