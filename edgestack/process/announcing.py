"""Everything by which others know a supervisor: pid file, control socket, ready file, banner, systemd, its status.

claim()     before anything is bound: another server of that pid file is respected
begin()     the first workers accept            changed()    another generation serves
close()     the end; what an upgrade's new supervisor has taken over is left to it
"""

from __future__ import annotations

import logging
import os
import subprocess
import time
from typing import TYPE_CHECKING, Any

from edgestack import __version__
from edgestack.errors import ConfigError
from edgestack.process.children import command
from edgestack.process.control import Message
from edgestack.process.markers import Marker, ready_text, write_ready_file
from edgestack.process.scene import first_page, show_banner
from edgestack.process.supervisor_control import SupervisorControl
from edgestack.process.upgrade import claim

if TYPE_CHECKING:
    from edgestack.process.supervisor import Supervisor

__all__ = ["Announcing"]

log = logging.getLogger("edgestack.error")


class Announcing:
    """What is told, and to whom."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self._pid_file: Marker | None = None
        self._ready_file: Marker | None = None
        self._browser: subprocess.Popen[bytes] | None = None
        """What shows the first page: it may take its time, or end at once."""
        self._control = SupervisorControl(supervisor, self.status)

    def claim(self) -> None:
        """Write the pid file.

        :raises ConfigError: another server's is there.
        """
        path = self._supervisor.options.pid_file
        if path is not None:
            self._pid_file = claim(path, self._supervisor.upgrade)

    def begin(self) -> None:
        """Connections are accepted."""
        supervisor = self._supervisor
        options, urls = supervisor.options, supervisor.sockets.urls()
        self._control.open(os.environ)
        if options.ready_file is not None:
            self._ready_file = write_ready_file(options.ready_file, urls)
        show_banner(supervisor.config, options, supervisor.sockets, supervisor.development, supervisor.crew.wanted)
        page = first_page(urls)
        if options.open_browser and page is not None and not supervisor.upgrade.predecessor:
            self._browser = subprocess.Popen(command("webbrowser", page), stdin=subprocess.DEVNULL)
        supervisor.systemd.ready()
        self._feed_watchdog()
        supervisor.upgrade.promoted(supervisor.loop, self._promote)
        supervisor.hooks.call("when_ready", supervisor)

    def reap(self) -> None:
        """The browser may have ended."""
        if self._browser is not None:
            self._browser.poll()

    def _feed_watchdog(self) -> None:
        systemd = self._supervisor.systemd
        if systemd.watchdog:
            systemd.alive()
            self._supervisor.loop.later(systemd.watchdog, self._feed_watchdog)

    def _promote(self) -> None:
        """The supervisor before this one has gone: this one is the service now, and has its pid file."""
        if self._pid_file is not None:
            self._pid_file.remove()
            self.claim()
        self._supervisor.systemd.ready(main=True)

    def changed(self) -> None:
        """There may be other addresses."""
        if self._ready_file is not None:
            try:
                self._ready_file.change(ready_text(self._supervisor.sockets.urls()))
            except ConfigError as error:
                log.error("the ready file: %s", error)

    def status(self) -> Message:
        """For `edgestack ctl status`."""
        supervisor = self._supervisor
        rows = [(child, supervisor.board.read(child.row)) for child in supervisor.children.values()]
        now = time.monotonic()
        workers = [
            {
                "pid": child.pid,
                "age": child.age,
                "state": child.state.value,
                "seconds": round(now - child.born, 1),
                "connections": row.connections,
                "requests": row.requests,
                "lost_threads": row.lost,
            }
            for child, row in rows
        ]
        totals: dict[str, Any] = {name: sum(one[name] for one in workers) for name in ("connections", "requests")}
        return {
            "pid": supervisor.pid,
            "version": __version__,
            "started": supervisor.started,
            "file": None if supervisor.options.file is None else str(supervisor.options.file.absolute()),
            "urls": supervisor.sockets.urls(),
            "wanted": supervisor.crew.wanted,
            "workers": workers,
            **totals,
            **supervisor.reloading.statistics(),
        }

    def close(self) -> None:
        """The end."""
        self._control.close()
        if self._ready_file is not None and not self._supervisor.upgrade.is_going_on():
            self._ready_file.remove()
        if self._pid_file is not None:
            self._pid_file.remove()
