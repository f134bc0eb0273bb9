"""The ASGI applications of one stack: begun before they are served, ended when no plan has them any more.

    lives.given(app, found)       an ASGI application with a life of its own; anything else as it is
    await lives.begin(…)          before the first request, and before another plan is adopted
    lives.adopt(…)                what is new and was not begun is begun now; what is gone ends what it does
    lives.drain(), quiet(), end() the end of all

On the loop, but for `given`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias, TypeVar

import trio

from edgestack.asgi.application import AsgiApplication
from edgestack.asgi.detecting import is_asgi
from edgestack.config.model import App
from edgestack.config.processes import Processes
from edgestack.errors import ConfigError

__all__ = ["Found", "Lives", "given", "refusal"]

Found: TypeAlias = "Callable[..., Any] | AsgiApplication"
T = TypeVar("T")

log = logging.getLogger("edgestack.error")


def given(app: App, found: T, processes: Processes) -> T | AsgiApplication:
    """What a plan gets for an application that was loaded."""
    if (
        isinstance(found, AsgiApplication)
        or not callable(found)
        or not is_asgi(found, said=processes.worker_class == "asgi")
    ):
        return found
    return AsgiApplication(found, app.target, processes.asgi_loop, deflates=processes.websocket_compression)


class Lives:
    """See the top of this file."""

    def __init__(self, found: Iterable[object] = ()) -> None:
        """:param found: those that are served from the start."""
        self._nursery: trio.Nursery | None = None
        self._serving = _alive(found)
        self.starting = ""
        """The name of the application whose startup was waited for last, until it has come to its end."""

    def bind(self, nursery: trio.Nursery) -> None:
        """From now on there is a loop; its tasks are cancelled when the server stops."""
        self._nursery = nursery

    async def begin(self, found: Iterable[object]) -> None:
        """Begin those that have not begun.

        :raises ConfigError: the startup of one failed; those that had begun and are not served are ended.
        """
        assert self._nursery is not None
        applications = _alive(found)
        try:
            for application in applications:
                self.starting = application.name
                await application.start(self._nursery)
            self.starting = ""
        except ConfigError:
            for application in applications:
                if application not in self._serving:
                    await application.retire()
            raise

    def adopt(self, found: Iterable[object]) -> None:
        """These are served from now on."""
        assert self._nursery is not None
        earlier, self._serving = self._serving, _alive(found)
        for application in earlier:
            if application not in self._serving:
                self._nursery.start_soon(application.retire)
        for application in self._serving:
            if application not in earlier:
                self._nursery.start_soon(self._begin_late, application)

    async def _begin_late(self, application: AsgiApplication) -> None:
        """Requests wait until it has begun, and get the error where it cannot."""
        try:
            await self.begin((application,))
        except ConfigError as error:
            log.error("%s", error)

    def drain(self) -> None:
        """The server is about to stop: who would stay for ever leaves."""
        for application in self._serving:
            application.drain()

    async def quiet(self) -> None:
        """Until nothing runs any more, tasks behind an answer included."""
        for application in self._serving:
            await application.quiet()

    async def end(self) -> None:
        """End their lifespans."""
        for application in self._serving:
            await application.stop()

    async def close(self) -> None:
        """Leave no thread behind, where a server was cancelled and not drained."""
        for application in self._serving:
            await application.close()


def _alive(found: Iterable[object]) -> tuple[AsgiApplication, ...]:
    return tuple(one for one in found if isinstance(one, AsgiApplication))


def refusal(error: BaseException) -> ConfigError | None:
    """The ConfigError that an application's startup has ended in, whatever nurseries have wrapped around it."""
    while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error if isinstance(error, ConfigError) else None
