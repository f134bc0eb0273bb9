"""Large files leave on a thread of their own once the socket is full: the loop is for what is short.

    take(move)        on the loop: from now on the thread writes to this socket, and nobody else
    move.back()       posted to the loop: all of it has left, or the thread met something that it leaves to others
    withdraw(move)    on the loop: the thread lets go of it at once

Each time that a socket has room again a process that slept is woken for one write, and what runs then runs cold: a turn
of the loop with trio around it takes 100 µs or more where its own work is 5. The thread's turn is short, and it rests a
millisecond first, so that one waking serves several sockets. A file that must be read from disk keeps nobody waiting
but other files (nginx: `aio threads`). Only deep sockets come here: those have more under way than a millisecond moves.

The thread starts with the first such file. It decides nothing: an error, or a file that became shorter, goes back to
the loop, whose own write meets it again. Under a test's clock, which stands still, nothing is moved here.
"""

from __future__ import annotations

import logging
import os
import select
import threading
import time
from collections.abc import Callable

__all__ = ["DEEP", "Move", "Mover"]

DEEP = 512 * 1024
"""Bytes that a socket took in one write before it was full. At ten gigabits a second REST moves 1.2 MiB, and a socket
that took this much says that it has room again while two thirds of a multiple of it are still under way."""
TURN = 4 * 1024 * 1024
"""Bytes in one write: what Linux lets a send buffer grow to (`net.ipv4.tcp_wmem`)."""
REST = 0.001
"""Seconds between being woken and writing."""
BATCH = 64

log = logging.getLogger("edgestack.error")


class Move:
    """A run of a file on its way to one socket. Whoever has it keeps both files open."""

    __slots__ = ("at", "back", "end", "fd", "source", "wrote")

    def __init__(
        self, fd: int, source: int, at: int, end: int, wrote: Callable[[], None], back: Callable[[], None]
    ) -> None:
        """
        :param fd: the socket, non-blocking.
        :param source: the file; `at` is the next byte of it to send, `end` the first that is not.
        :param wrote: called on the thread after each write.
        :param back: posted to the loop when the thread has let go of it.
        """
        self.fd = fd
        self.source = source
        self.at = at
        self.end = end
        self.wrote = wrote
        self.back = back


class Mover:
    """The thread, and what it moves. Everything but `_run` is called on the loop."""

    def __init__(self, post: Callable[[Callable[[], None]], object]) -> None:
        """:param post: runs a callback on the loop, from any thread."""
        self._post = post
        self._moves: dict[int, Move] = {}
        self._lock = threading.Lock()
        """Held while the thread writes: who has withdrawn a move knows that nobody writes any more."""
        self._thread: threading.Thread | None = None
        self._poller: select.epoll
        self._wake = -1
        self._closed = False

    def take(self, move: Move) -> None:
        """Write it whenever the socket has room."""
        if self._thread is None:
            self._begin()
        self._moves[move.fd] = move
        self._poller.register(move.fd, select.EPOLLOUT)

    def withdraw(self, move: Move) -> bool:
        """Let go of it now. False: the thread has done so already, and `back` was posted."""
        with self._lock:
            return self._let_go(move)

    def close(self) -> None:
        """End the thread, when everything was withdrawn. Harmless in a forked child, where there is none."""
        if self._thread is None:
            return
        self._closed = True
        if self._thread.is_alive():
            os.eventfd_write(self._wake, 1)
            self._thread.join()
        self._poller.close()
        os.close(self._wake)
        self._thread = None

    def _begin(self) -> None:
        self._poller = select.epoll()
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._poller.register(self._wake, select.EPOLLIN)
        self._thread = threading.Thread(target=self._run, name="edgestack files", daemon=True)
        self._thread.start()

    def _let_go(self, move: Move) -> bool:
        """Under the lock."""
        if self._moves.get(move.fd) is not move:
            return False
        self._poller.unregister(move.fd)
        del self._moves[move.fd]
        return True

    def _run(self) -> None:
        poll = self._poller.poll
        while not self._closed:
            poll()
            time.sleep(REST)
            for fd, _ in poll(0, BATCH):
                move = self._moves.get(fd)
                if move is not None and self._turn(move):
                    self._post(move.back)

    def _turn(self, move: Move) -> bool:
        """One write, and the boundary for what fails there. True: nothing is left to do here, it goes back."""
        with self._lock:
            if self._moves.get(move.fd) is not move:
                return False
            try:
                goes_on = self._write(move)
            except Exception:
                log.exception("a file is given back to the loop")
                goes_on = False
            return not goes_on and self._let_go(move)

    def _write(self, move: Move) -> bool:
        """Whether there is more to write, here."""
        try:
            moved = os.sendfile(move.fd, move.source, move.at, min(TURN, move.end - move.at))
        except BlockingIOError:
            return True
        except OSError:
            return False
        move.at += moved
        move.wrote()
        return moved > 0 and move.at < move.end
