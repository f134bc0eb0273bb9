"""What a hosting process is told at its start: one JSON text, its only argument. Pure."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass

__all__ = ["Order"]

LATER = 2.0
"""Seconds behind the edge: its deadlines are a second coarse, and its answer, with its own pages, comes first."""
SHORTEST = 0.1
"""Seconds: no more than ten signs of life in each."""


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
    error_log: str = "-"
    log_format: str = "combined"
    reload: bool = False
    """Tell which files it was made of, again when there are more."""

    @property
    def patience(self) -> float:
        """Seconds until a call that has begun no answer is given up here, where the edge has answered it by then."""
        return self.timeout + LATER if self.timeout else math.inf

    @property
    def sign_every(self) -> float:
        """Seconds between two signs of life."""
        return max(self.timeout / 4, SHORTEST) if self.timeout else math.inf

    def dump(self) -> str:
        """As text."""
        return json.dumps(asdict(self))

    @classmethod
    def read(cls, text: str) -> Order:
        """From text."""
        return cls(**json.loads(text))
