"""What a plan needs and does not own. The Stack keeps it, each thing under the value of its config section."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from edgestack.asgi import AsgiApplication
from edgestack.caching.zone import Zones
from edgestack.config.model import App
from edgestack.content.files import PrivateFiles
from edgestack.http.messages import End
from edgestack.http.variables import Scope
from edgestack.kept import anew
from edgestack.phases.arena import Arena
from edgestack.phases.subrequest import Threads
from edgestack.store import open_nothing
from edgestack.upstream.hosted import Hosted
from edgestack.upstream.service import Roster, Services

__all__ = ["Here", "Resources"]


class Lines(Protocol):
    """An access log, as far as chains need it."""

    def ending(self, name: str, formats: Mapping[str, str] | None = None, scope: Scope | None = None) -> End:
        """An end that writes a line of another form."""


class Here:
    """Stands where application threads do when there are none: in memory, for tests of the configuration."""

    __slots__ = ()

    def queue(self, job: Callable[[], None]) -> None:
        """Run it at once."""
        job()

    def go(self) -> None:
        """It was run already."""

    def wait(self, make: Callable[[], Awaitable[Any]]) -> None:
        """Nobody waits for the loop on the loop."""


HERE = Here()


@dataclass(frozen=True, slots=True)
class Resources:
    """What a plan needs and does not own: it outlives the plan (kept by the Stack under its section)."""

    applications: Mapping[App, Callable[..., Any] | AsgiApplication | Hosted]
    ends: tuple[End, ...] = ()
    private: PrivateFiles | None = None
    keep: Callable[[Hashable, Callable[[], Any]], Any] = anew
    """State that outlives plans, kept under the value of its section: `keep(limit, lambda: Counters(limit))` gives the
    same object after a reload for as long as each plan in between asked for an equal key (`kept.py`)."""
    threads: Threads = HERE
    """Where application code runs that is asked on behalf of another exchange (auth_request)."""
    access_log: Lines | None = None
    """For routes with lines of another form; None where there is no log."""
    upstreams: Roster = field(default_factory=lambda: Roster(Services(), anew))
    """The groups of servers that the plan leads to."""
    caches: Zones = field(default_factory=lambda: Zones(open_nothing))
    """The caches that it keeps answers in; without one, nothing is kept."""
    limits: Arena | None = None
    """Where limits are counted together with other processes; None where there are none."""
    processes: int = 1
    """How many processes serve the same."""

    def on_loop(self, app: App | None) -> bool:
        """Whether an application's answers come on the loop, and not from a thread of this process."""
        return app is not None and isinstance(self.applications[app], AsgiApplication | Hosted)
