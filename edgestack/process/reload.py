"""Reading the configuration again while the server serves: beside the old one, and instead of it only as a whole.

    SIGHUP ───────────────┐
    control socket ───────┴─ reload ── on a thread: configure, begin a generation ── on the loop: stack.adopt, at once
                                            └ ConfigError: told to whoever asked, and logged; the old one goes on

One reload at a time; of signals that come while one waits, that one is enough. Application code is not read again: an
app whose section is unchanged keeps its object, and one that names a module which is imported already gets that module.
Where processes of their own host the applications, each reload begins fresh ones, and so has new code; for that, no
file needs to be there.
What only a start can do (the pid file's name, the ready file's) is told and left as it is.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

import trio

from edgestack.config.load import Loaded
from edgestack.errors import ConfigError
from edgestack.process.checks import check
from edgestack.process.configuring import configure_again, placed
from edgestack.process.generation import Generation, begin, renewed
from edgestack.process.logs import ErrorLog
from edgestack.process.options import Options
from edgestack.stack import Stack
from edgestack.wire.held_clock import on_thread

__all__ = ["Reloader"]

log = logging.getLogger("edgestack.error")

AT_START = (("pid_file", "pid"), ("ready_file", "ready_file"))
"""Of the options, those that a reload leaves as they are, and their keys."""


def _itself(application: Any, options: Options, *, asgi: bool) -> Any:
    return application


def _nobody() -> None:
    """Nobody wants to know."""


class Reloader:
    """Changes what a stack serves. On the loop."""

    def __init__(
        self,
        stack: Stack,
        generation: Generation,
        error_log: ErrorLog,
        changed: Callable[[], None] = _nobody,
        around: Callable[..., Any] = _itself,
    ) -> None:
        """
        :param changed: called after each reload that succeeds.
        :param around: what the hooks that a reading brings make of an application.
        """
        self._around = around
        self.generation = generation
        """The one that is served."""
        self._stack = stack
        self._error_log = error_log
        self._one_at_a_time = trio.Lock()
        self._awaited = False
        """Whether a signal has asked for a reload that has not begun."""
        self._stopped = False
        self._reloads = self._failed = 0
        self._latest: float | None = None
        self._changed = changed

    def stop(self) -> None:
        """The server stops: nothing is changed any more."""
        self._stopped = True

    def statistics(self) -> dict[str, Any]:
        """How often it succeeded and failed, and when it last succeeded, in seconds since the epoch."""
        return {"reloads": self._reloads, "failed_reloads": self._failed, "reloaded": self._latest}

    async def reload_logged(self) -> None:
        """For a signal: nobody waits for an answer, and one that waits its turn already will see the file as it is."""
        if self._awaited:
            return
        self._awaited = True
        try:
            await self.reload()
        except ConfigError:
            return  # it stands in the log
        except Exception:
            log.exception("a reload failed; the configuration before goes on")

    async def reload(self) -> list[str]:
        """Read the file again and serve what it says.

        :returns: what is odd, and what only a start can change.
        :raises ConfigError: it cannot be served; nothing has changed.
        """
        async with self._one_at_a_time:
            self._awaited = False
            try:
                warnings = await self._reload()
            except ConfigError as error:
                self._failed += 1
                log.error("not reloaded, the configuration before goes on: %s%s", error, _traceback(error))
                raise
        for warning in warnings:
            log.warning("%s", warning)
        log.info("reloaded %s", self.generation.options.file or "what is served")
        return warnings

    async def renew(self) -> None:
        """Serve the code as it is now: with fresh processes, beside the old ones until they are ready.

        :raises ConfigError: an application cannot be loaded; the processes before go on.
        """
        async with self._one_at_a_time:
            before = self.generation
            after = await on_thread(renewed, before)
            try:
                if self._stopped:
                    raise ConfigError("the server is stopping")
                self._stack.adopt(after.plan, after.applications)
            except BaseException:
                for group in after.groups:
                    group.abandon()
                raise
            self.generation = after
            self._changed()

    async def _reload(self) -> list[str]:
        before = self.generation
        if before.options.file is None and not before.groups:
            raise ConfigError("no configuration file is in use", hint="start the server with -c FILE")
        after, loaded = await on_thread(self._prepare, before)
        try:
            if self._stopped:
                raise ConfigError("the server is stopping")
            unknown = after.development.learn if after.development else None
            asgi = after.config.server.processes.worker_class == "asgi"
            around = {app: self._around(one, after.options, asgi=asgi) for app, one in after.applications.items()}
            applications = await self._stack.awake(after.plan, around)
            self._stack.adopt(after.plan, applications, after.access_log, after.sockets.pairs, unknown_host=unknown)
        except ConfigError as error:
            after.fails(before)
            raise placed(error, loaded) from error
        except BaseException:
            after.fails(before)
            raise
        self._error_log.change(after.said.server.log, after.options)
        after.succeeds(before)
        self.generation = after
        self._reloads += 1
        self._latest = time.time()
        self._changed()
        return [warning.shown() for warning in loaded.warnings] + _left_alone(before, after)

    def _prepare(self, before: Generation) -> tuple[Generation, Loaded]:
        """Everything that takes time, on a thread."""
        config, fresh, loaded = configure_again(before.options)
        try:
            check(config, fresh)
            return begin(config, fresh, before), loaded
        except ConfigError as error:
            raise placed(error, loaded) from error


def _left_alone(before: Generation, after: Generation) -> list[str]:
    return [
        f"`{key}` is only looked at when the server starts"
        for name, key in AT_START
        if getattr(before.options, name) != getattr(after.options, name)
    ]


def _traceback(error: ConfigError) -> str:
    text = getattr(error, "traceback_text", "")
    return f"\n{text.rstrip()}" if text else ""
