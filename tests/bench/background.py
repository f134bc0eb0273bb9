"""A client that works beside the measuring one, in a process of its own on the load's core.

`work(channel, …)` runs in a forked child. It sends anything once it is in full swing, goes on until `channel.poll()`,
and what it returns is given to whoever stops it. An error in the child is raised here.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any

__all__ = ["Background"]

FORK = multiprocessing.get_context("fork")


def run(work: Callable[..., Any], channel: Connection, args: tuple[Any, ...]) -> None:
    """The child: do the work, tell what came of it."""
    try:
        channel.send(("done", work(channel, *args)))
    except Exception as error:
        channel.send(("failed", f"{type(error).__name__}: {error}"))


class Background:
    """`with Background(work, …) as other:` has it in full swing; `other.stop()` ends it and gives its result."""

    def __init__(self, work: Callable[..., Any], *args: Any, patience: float = 150.0) -> None:
        """
        :param patience: seconds that the work may take to get going, and again to stop.
        """
        self.channel, inner = FORK.Pipe()
        self.patience = patience
        self.process = FORK.Process(target=run, args=(work, inner, args), daemon=True)
        self.process.start()
        inner.close()

    def __enter__(self) -> Background:
        try:
            self.receive()
        except BaseException:
            self.end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    def receive(self) -> Any:
        """The child's next message.

        :raises RuntimeError: it failed, or said nothing for too long.
        """
        if not self.channel.poll(self.patience):
            raise RuntimeError(f"a background client said nothing for {self.patience:.0f} s")
        message = self.channel.recv()
        if isinstance(message, tuple) and message[0] == "failed":
            raise RuntimeError(f"a background client failed: {message[1]}")
        return message

    def stop(self) -> Any:
        """Ask the child to stop; gives what its work returned."""
        self.channel.send("stop")
        return self.receive()[1]

    def end(self) -> None:
        """Make sure that nothing of it is left."""
        self.process.join(0.2)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
        self.process.close()
        self.channel.close()
