"""What hosting processes need: the library of their worker class, and the environment they are begun in."""

from __future__ import annotations

import os
from importlib.util import find_spec

from edgestack.config.model import Config
from edgestack.errors import ConfigError

__all__ = ["environment", "require"]

LIBRARIES = ("gevent", "eventlet", "tornado")


def require(kind: str) -> None:
    """See that the library is there.

    :raises ConfigError: it is not, and how it is got.
    """
    if kind in LIBRARIES and find_spec(kind) is None:
        raise ConfigError(
            f"the worker class {kind} needs the library {kind}, which is not installed",
            hint=f"pip install {kind}", key="worker_class",
        )  # fmt: skip


def environment(config: Config) -> dict[str, str]:
    """This process's own, with what the configuration adds.

    With `reload` nothing compiled is kept: Python tells a change by a file's size and second, which an edit may keep.
    """
    own = dict(os.environ) | dict(config.server.processes.env)
    if config.server.processes.reload:
        own["PYTHONDONTWRITEBYTECODE"] = "1"
    return own
