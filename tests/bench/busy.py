"""A background client that keeps so many requests in flight, each on a connection of its own, until told to stop.

A connection whose answer was announced as its last is followed by another one, as any client does it.
"""

from __future__ import annotations

import threading
from multiprocessing.connection import Connection

from client import Asker, request

__all__ = ["keep_busy"]

PATIENCE = 60.0
"""Seconds for one answer: computations wait for each other."""


def keep_busy(channel: Connection, address: tuple[str, int], path: str, count: int) -> list[bytes]:
    """`work` of a `Background`; gives all answers.

    :raises RuntimeError: one of the clients failed.
    """
    stop = threading.Event()
    answers: list[bytes] = []
    failures: list[Exception] = []

    def keep_one() -> None:
        asker = Asker(address, timeout=PATIENCE)
        message = request(address, path)
        try:
            while not stop.is_set():
                answers.append(asker.ask(message))
                if asker.last:
                    asker.close()
                    asker = Asker(address, timeout=PATIENCE)
        except (OSError, RuntimeError) as error:
            failures.append(error)
        asker.close()

    threads = [threading.Thread(target=keep_one) for _ in range(count)]
    for thread in threads:
        thread.start()
    channel.send("in full swing")
    channel.poll(None)
    stop.set()
    for thread in threads:
        thread.join()
    if failures:
        raise RuntimeError(f"{len(failures)} of {count} clients failed: {failures[0]!r}")
    return answers
