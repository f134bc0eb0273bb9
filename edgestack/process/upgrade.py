"""An upgrade in place (SIGUSR2, as gunicorn and nginx have it): a new supervisor beside this one, on the same sockets.

    old    pre_exec ── starts the program again: its words, its sockets ──> new    pid file NAME.2, workers of its own
           both serve; SIGWINCH has the old one's workers leave, SIGTERM ends it          │
           the old one has gone ── the end of a pipe that only it held ──────────────────> pid file NAME, MAINPID

The new one may be another version of the program, another interpreter even: what is handed over is JSON in one variable
and descriptors. When it fails, the old one goes on, and says so. As process 1 of a container it cannot be left: there
the new one ends with it.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import subprocess
import sys
from collections.abc import Callable, MutableMapping
from pathlib import Path
from typing import Any

from edgestack.config.model import Listener
from edgestack.process.children import command
from edgestack.process.deaths import told
from edgestack.process.identity import before
from edgestack.process.loop import Loop
from edgestack.process.markers import Marker, claim_pid_file
from edgestack.process.notify import Systemd
from edgestack.process.sockets import Handed, Sockets

__all__ = ["Upgrade", "claim"]

HANDED = "EDGESTACK_HANDED_OVER"
"""The variable: sockets, those of systemd among them, the old supervisor, and the pipe that ends with it."""

log = logging.getLogger("edgestack.error")


class Upgrade:
    """What came from the supervisor before this one, and who comes after it."""

    def __init__(self, environ: MutableMapping[str, str]) -> None:
        said: dict[str, Any] = json.loads(environ.pop(HANDED, "{}"))
        self.sockets: Handed = said.get("sockets", [])
        self.passed = tuple(Listener(fd=fd, tls=tls) for fd, tls in said.get("passed", ()))
        self.predecessor = int(said.get("pid", 0))
        """The old supervisor; 0 where there is none, or no more."""
        self._its_end = socket.socket(fileno=said["end"]) if "end" in said else None
        self._here = os.getcwd()
        self._process: subprocess.Popen[bytes] | None = None
        self._our_end: socket.socket | None = None

    # -- the new one ---------------------------------------------------------------------------------------------------

    def promoted(self, loop: Loop, promote: Callable[[], None]) -> None:
        """Call `promote` when the old supervisor has gone."""
        end = self._its_end
        if end is None:
            return

        def ended() -> None:
            loop.forget(end)
            end.close()
            log.info("the supervisor before this one, process %d, has gone", self.predecessor)
            self.predecessor = 0
            promote()

        loop.watch(end, ended)

    # -- the old one ---------------------------------------------------------------------------------------------------

    @property
    def successor(self) -> int:
        """The new supervisor's process; 0 where there is none."""
        return self._process.pid if self._process is not None else 0

    def is_going_on(self) -> bool:
        """Whether a new supervisor runs."""
        self.reap()
        return self._process is not None

    def begin(self, sockets: Sockets, passed: tuple[Listener, ...], systemd: Systemd) -> None:
        """Start the program again."""
        handed = sockets.handed()
        try:
            self._our_end, theirs = socket.socketpair()
        except OSError as error:
            _not_started(error)
            return
        said = {
            "sockets": handed, "passed": [(one.fd, one.tls) for one in passed], "pid": os.getpid(),
            "end": theirs.fileno(),
        }  # fmt: skip
        environ, umask = before()
        environ[HANDED] = json.dumps(said)
        systemd.restore(environ)
        descriptors = [theirs.fileno(), *(pair[2] for _, pairs in handed for pair in pairs)]
        try:
            self._process = subprocess.Popen(_again(), env=environ, cwd=self._here, umask=umask, pass_fds=descriptors)
        except OSError as error:
            _not_started(error)
            return
        finally:
            theirs.close()
        log.info("another supervisor is started, as process %d", self._process.pid)

    def reap(self) -> None:
        """See whether it has failed."""
        if self._process is not None and self._process.poll() is not None:
            log.error("the new supervisor %s: this one goes on", told(self._process.returncode))
            self._process = None


def _not_started(error: OSError) -> None:
    log.error("another supervisor cannot be started: %s", error.strerror)


def _again() -> list[str]:
    """The command line of this program, as it was."""
    if Path(sys.argv[0]).name == "__main__.py":
        return command("edgestack", *sys.argv[1:])
    return [*command("")[:-2], *sys.argv]


def claim(path: Path, upgrade: Upgrade) -> Marker:
    """Write the pid file; while the supervisor before this one has it, beside it, with ".2" at its end.

    :raises ConfigError: it cannot be written, or another server's is there.
    """
    return claim_pid_file(path.with_name(path.name + ".2") if upgrade.predecessor else path)
