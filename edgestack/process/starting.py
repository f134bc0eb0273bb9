"""Stop orders that come before there is a loop to receive them; `signals.py` has those that come later.

    nothing begun yet    SIGINT ends the process as SIGTERM does: at once, without a word            `at_once`
    being prepared       an order is noted, and obeyed at the next step; where an application is imported, which may
                         take any time, it is obeyed at once: `Stopped` is raised there              `Orders`
    the loop begins      an application's own startup may take any time too: one that waits is cancelled, in one
                         that does not `Stopped` is raised                           `Orders.on_the_loop`

What was opened by then is closed on the way out, and no second order disturbs that. Exit status: 0 after SIGTERM, a
stop that was asked for; 130 after SIGINT, as with every command that is interrupted. On the main thread only.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

__all__ = ["Orders", "Stopped", "at_once"]

STATUS = {signal.SIGTERM: 0, signal.SIGINT: 130}


class Stopped(KeyboardInterrupt):
    """Told to stop before anything was served. A KeyboardInterrupt: code that catches every error lets it pass."""

    def __init__(self, status: int) -> None:
        super().__init__()
        self.status = status


@contextmanager
def at_once() -> Iterator[None]:
    """Within, SIGINT ends the process without a traceback; one that is ignored stays ignored."""
    before = signal.getsignal(signal.SIGINT)
    if before is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


class Orders:
    """SIGTERM and SIGINT, from the first thing that is opened until the last one is closed."""

    def __init__(self) -> None:
        self._told = 0
        self._interruptible = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Orders:
        for number in STATUS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._take)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _take(self, number: int, frame: FrameType | None) -> None:
        self._told = self._told or number
        if self._interruptible:
            self.obey()

    def obey(self) -> None:
        """A step at which one can stop.

        :raises Stopped: we were told to.
        """
        if self._told:
            self._interruptible = False
            raise Stopped(STATUS[signal.Signals(self._told)])

    @contextmanager
    def on_the_loop(self, cancel: Callable[[], None]) -> Iterator[None]:
        """Within, an order is obeyed as soon as it comes, on a loop of trio's; instead of who receives it else.

        Whoever is interrupted may swallow it: `obey` when the loop has ended.

        :param cancel: has what waits end; called on the loop.
        """
        import trio  # late: this file is read before anything that takes its time

        token = trio.lowlevel.current_trio_token()

        def take(number: int, frame: FrameType | None) -> None:
            self._told = self._told or number
            token.run_sync_soon(cancel, idempotent=True)
            if not trio.lowlevel.currently_ki_protected():
                self.obey()

        before = {}
        for number in STATUS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                before[number] = signal.signal(number, take)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @property
    def told(self) -> bool:
        """One has come."""
        return bool(self._told)

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """Within, an order is obeyed as soon as it comes.

        :raises Stopped: one has come.
        """
        self._interruptible = True
        try:
            self.obey()
            yield
        finally:
            self._interruptible = False
        self.obey()  # whoever was interrupted may have swallowed it
