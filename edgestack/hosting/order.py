"""What a hosting process is told at its start: one JSON text, its only argument. Pure."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass

from edgestack.config.model import Log

__all__ = ["LONGEST_LINE", "MOST_FIELDS", "Order"]

LONGEST_LINE = 1 << 20
"""Bytes of a request line, or of a field: the edge has limits of its own, and what has passed them passes here."""
MOST_FIELDS = 10_000
"""Of a request, likewise."""

LATER = 2.0
"""Seconds behind the edge: its deadlines are a second coarse, and its answer, with its own pages, comes first."""


@dataclass(frozen=True, slots=True)
class Order:
    """Everything that it cannot find out by itself."""

    kind: str
    """The worker class: "process", "gevent", "eventlet" or "tornado"."""
    target: str
    """The application, as the user wrote it."""
    folder: str
    """Comes first on sys.path; "" for the current folder."""
    listen: int
    """The descriptor of its listening socket."""
    channel: int
    """The descriptor of its line to the edge."""
    path: str
    """Of that socket."""
    request_ids: str
    """What request ids begin with: the edge's own."""
    threads: int = 8
    queue: int = 1024
    asgi: bool = False
    """The user said that it is ASGI."""
    asgi_loop: str = "auto"
    websocket_compression: bool = True
    multiprocess: bool = False
    """Other processes host the same application."""
    dev: bool = False
    timeout: float = 30.0
    graceful: float = 30.0
    beat: float = 5.0
    """Seconds after which it shows another sign of life."""
    error_log: str = "-"
    log_format: str = "combined"
    reload: bool = False
    """Tell which files it was made of, again when there are more."""
    preload: bool = False
    """Host nothing, but load, and fork processes that do; `channel` is where their orders come from (`forking.py`)."""
    forked: bool = False
    """The application was loaded by a fork server."""
    book: int = -1
    """The descriptor on which the fork server tells of a process."""

    def log(self) -> Log:
        """Where errors go: the log of the edge."""
        return Log(access="off", error=self.error_log, format=self.log_format)

    @property
    def patience(self) -> float:
        """Seconds until a call that has begun no answer is given up here, where the edge has answered it by then."""
        return self.timeout + LATER if self.timeout else math.inf

    def dump(self) -> str:
        """As text."""
        return json.dumps(asdict(self))

    @classmethod
    def read(cls, text: str, *fds: int) -> Order:
        """From text.

        :param fds: listening socket, line and book, where they did not keep their numbers.
        """
        said = json.loads(text)
        return cls(**said | dict(zip(("listen", "channel", "book"), fds, strict=False)))
