"""A supervisor's reload: another generation beside the one that serves, and instead of it only as a whole.

    begin(answer) ── configure ─ check ─ sockets ─ a crew is started ─┬ succeeded: it serves       {"warnings": …}
                       └ ConfigError ─────────────────────────────────┴ failed: nothing changed    {"errors": …}

One at a time. Of those that are asked for meanwhile one is enough: it will see everything as it is then.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from edgestack.config.load import Loaded
from edgestack.config.model import Config
from edgestack.errors import ConfigError
from edgestack.process.checks import check
from edgestack.process.configuring import configure_again, placed
from edgestack.process.control import Message
from edgestack.process.crew import Crew
from edgestack.process.identity import settle
from edgestack.process.options import Options
from edgestack.process.sockets import Sockets, wanted
from edgestack.process.telling import counted, refused

if TYPE_CHECKING:
    from edgestack.process.supervisor import Supervisor

__all__ = ["Reloading"]

log = logging.getLogger("edgestack.error")

Answer = Callable[[Message], None]


class Reloading:
    """What a supervisor's reloads have between them."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self._answers: list[Answer] = []
        self._next: list[Answer] = []
        self._again = False
        self._coming: tuple[Config, Options, Loaded, Sockets, Crew] | None = None
        self._stopped = False
        self._reloads = self._failed = 0
        self._latest: float | None = None

    def statistics(self) -> dict[str, Any]:
        """How often it succeeded and failed, and when it last succeeded, in seconds since the epoch."""
        return {"reloads": self._reloads, "failed_reloads": self._failed, "reloaded": self._latest}

    def stop(self) -> None:
        """The server stops."""
        self._stopped = True
        if self._coming is not None:
            self.failed(ConfigError("the server is stopping"))

    def begin(self, answer: Answer | None = None) -> None:
        """Read the configuration again.

        :param answer: gets what came of it.
        """
        if self._coming is not None:
            self._again = True
            self._next += [answer] if answer is not None else []
            return
        self._answers = [answer] if answer is not None else []
        self._begin()

    def _begin(self) -> None:
        supervisor = self._supervisor
        supervisor.hooks.call("on_reload", supervisor)
        supervisor.systemd.reloads()
        before = supervisor.options
        try:
            if self._stopped:
                raise ConfigError("the server is stopping")
            config, options, loaded = configure_again(before)
            try:
                check(config, options)
                settle(config.server.processes)
                places, backlog = wanted(config, options, supervisor.passed), config.server.processes.backlog
                sockets = supervisor.sockets.changed(places, backlog)
            except ConfigError as error:
                raise placed(error, loaded) from error
            crew = self._crew(config, options, sockets)
        except ConfigError as error:
            self._fail(error)
            return
        self._coming = config, options, loaded, sockets, crew
        supervisor.crews.append(crew)
        crew.fill()

    def _crew(self, config: Config, options: Options, sockets: Sockets) -> Crew:
        """:raises ConfigError: there are no descriptors, or no process, for it."""
        try:
            return self._supervisor.make_crew(config, options, sockets)
        except OSError as error:
            sockets.abandoned(self._supervisor.sockets)
            raise ConfigError(f"no worker can be started: {error.strerror}") from None

    def succeeded(self, crew: Crew) -> None:
        """All of its workers are ready."""
        assert self._coming is not None
        config, options, loaded, sockets, coming = self._coming
        assert coming is crew
        self._coming = None
        self._reloads += 1
        self._latest = time.time()
        self._supervisor.adopted(config, options, sockets, crew)
        warnings = [warning.shown() for warning in loaded.warnings]
        for warning in warnings:
            log.warning("%s", warning)
        log.info("reloaded: %s", counted(crew.wanted, "new worker", "serve"))
        self._end({"ok": True, "warnings": warnings})

    def failed(self, error: ConfigError) -> None:
        """One of its workers could not begin."""
        assert self._coming is not None
        _, _, loaded, sockets, crew = self._coming
        self._coming = None
        crew.retire()
        sockets.abandoned(self._supervisor.sockets)
        self._fail(placed(error, loaded))

    def _fail(self, error: ConfigError) -> None:
        self._failed += 1
        with suppress(ConfigError):  # a folder that is gone: workers that are started stay where they can
            settle(self._supervisor.config.server.processes)
        text = f"\n{error.traceback_text.rstrip()}" if error.traceback_text else ""
        log.error("not reloaded, the workers before go on: %s%s", error, text)
        self._end(refused(error))

    def _end(self, answer: Message) -> None:
        if not self._stopped:
            self._supervisor.systemd.ready()
        for told in self._answers:
            told(answer)
        self._answers, self._next = self._next, []
        if self._again:
            self._again = False
            self._begin()
