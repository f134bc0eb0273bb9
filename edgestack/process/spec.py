"""What a worker is told when it is started: the configuration as the supervisor has read it, and what it inherits.

It stands in a file without a name, whose descriptor the worker inherits. A worker does not read the configuration file:
that may have been changed since, by somebody who is not done yet, and a worker that is started anew must be what its
neighbours are. Only its own supervisor writes this, so it is pickled.
"""

from __future__ import annotations

import os
import pickle
from dataclasses import dataclass

from edgestack.config.model import Config, Listener
from edgestack.process.board import unnamed_file
from edgestack.process.options import Options
from edgestack.process.sockets import Handed

__all__ = ["Spec", "read_spec", "write_spec"]


@dataclass(frozen=True, slots=True)
class Spec:
    """One generation, as its workers must know it."""

    config: Config
    options: Options
    sockets: Handed
    passed: tuple[Listener, ...]
    """Those that systemd passed."""
    processes: int
    """How many workers serve."""
    board: int
    """Descriptor of the page that all share (`board.py`)."""
    arena: int
    """Descriptor of what limits count in (`phases/arena.py`)."""
    secret: bytes
    """For what several workers must sign alike."""

    def descriptors(self) -> list[int]:
        """Those that a worker inherits."""
        return [self.board, self.arena, *(pair[2] for _, pairs in self.sockets for pair in pairs)]

    def keep(self, channel: int) -> None:
        """In the worker: what an application starts inherits none of this."""
        for fd in (channel, *self.descriptors()):
            os.set_inheritable(fd, False)


def write_spec(spec: Spec) -> int:
    """The descriptor of a file that says it."""
    fd = unnamed_file("edgestack-spec")
    with os.fdopen(os.dup(fd), "wb") as file:
        pickle.dump(spec, file)
    return fd


def read_spec(fd: int) -> Spec:
    """What such a file says; many may read it."""
    spec = pickle.loads(os.pread(fd, os.fstat(fd).st_size, 0))
    assert isinstance(spec, Spec)
    return spec
