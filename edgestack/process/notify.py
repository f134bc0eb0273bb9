"""What a service manager is told: sd_notify(3), over the socket that it names; nothing, where there is none.

    READY=1 ─ (RELOADING=1 MONOTONIC_USEC=… ─ READY=1)* ─ STOPPING=1          WATCHDOG=1 every `watchdog` seconds

The variables are taken out of the environment: children are not the service. A manager that is busy has a full queue of
datagrams: a state waits for room in it, a sign of life does not, since another one follows. What cannot be sent is not
sent again; systemd itself decides about a service that it does not hear of.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager

__all__ = ["Systemd"]

log = logging.getLogger("edgestack.error")

PATIENCE = 1.0
"""Seconds that a state waits for room in the manager's queue; libsystemd's own sd_notify waits for ever."""


class Systemd:
    """The service manager's ear."""

    def __init__(self, address: str = "", watchdog: float = 0.0) -> None:
        """
        :param address: of its socket: a path, or "@name" for an abstract one; "" for none.
        :param watchdog: seconds between two signs of life; 0 where none is wanted.
        """
        self.address = address
        self.watchdog = watchdog

    @classmethod
    def of(cls, environ: MutableMapping[str, str]) -> Systemd:
        """The one that started this process (NOTIFY_SOCKET; WATCHDOG_USEC, of which half is the rule)."""
        names = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")
        address, microseconds, pid = (environ.pop(name, "") for name in names)
        ours = microseconds.isascii() and microseconds.isdigit() and pid in ("", str(os.getpid()))
        return cls(address, int(microseconds) / 2_000_000 if ours and address else 0.0)

    def restore(self, environ: MutableMapping[str, str]) -> None:
        """For the process that takes this one's place: put the variables back."""
        if self.address:
            environ["NOTIFY_SOCKET"] = self.address
        if self.watchdog:
            environ["WATCHDOG_USEC"] = str(round(self.watchdog * 2_000_000))

    def ready(self, status: str = "", main: bool = False) -> None:
        """Connections are accepted.

        :param status: a line for `systemctl status`.
        :param main: this process is the service from now on, whoever was it before (an upgrade in place).
        """
        self._say("READY=1", *([f"STATUS={status}"] if status else []), *([f"MAINPID={os.getpid()}"] if main else []))

    def reloads(self) -> None:
        """The configuration is read again, until `ready`."""
        self._say("RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    @contextmanager
    def reloading(self) -> Iterator[None]:
        """Within, it is read again."""
        self.reloads()
        try:
            yield
        finally:
            self.ready()

    def stopping(self) -> None:
        """The end has begun."""
        self._say("STOPPING=1")

    def alive(self) -> None:
        """A sign of life."""
        self._say("WATCHDOG=1", patient=False)

    def _say(self, *lines: str, patient: bool = True) -> None:
        if not self.address:
            return
        path = "\0" + self.address[1:] if self.address.startswith("@") else self.address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
                sock.settimeout(PATIENCE if patient else 0)
                sock.sendto("\n".join(lines).encode(), path)
        except OSError as error:
            why = error.strerror or error  # a timeout has no number
            log.warning("the service manager at %s was not told %s: %s", self.address, lines[0], why)
