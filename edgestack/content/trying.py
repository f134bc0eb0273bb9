"""Files and folders that are tried in order, and where a request goes when none is there (criterion C9).

    try = ["$uri", "$uri/", "$uri.html", "/index.html"]

    $uri         the path as asked for, when a file is there
    $uri/        when a folder is there: its index, its listing, or the redirect to its slash
    $uri.html    another path below the same mount, in the same two ways
    the last     is not looked for: a path (a jump inside the server), "@name" (a named route), "=404" (that status)

Other methods than GET and HEAD are refused where something is there. Source: nginx `try_files`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from edgestack.content.files import Place
from edgestack.content.static import ALLOW, READS, Static
from edgestack.errors import ClientError
from edgestack.http.inside import Goal
from edgestack.http.jumps import Jump
from edgestack.http.messages import Answer, Exchange, Handler, Response
from edgestack.http.target import Path

__all__ = ["Last", "Step", "Try"]


class Step:
    """One thing that is tried."""

    __slots__ = ("_files", "_folder", "_goal", "_mount", "text")

    def __init__(self, files: Static, text: str, goal: Callable[[Exchange], Path] | None, mount: str = "") -> None:
        """
        :param text: as written: with a slash at its end folders are looked for.
        :param goal: makes the path; None for the one that was asked for.
        :param mount: the prefix, without a slash at its end, below which `files` looks.
        """
        self.text = text
        self._files = files
        self._folder = text.endswith("/")
        self._goal = goal
        self._mount = mount

    def __call__(self, exchange: Exchange) -> Response | Awaitable[Response] | None:
        """The answer, when something is there."""
        request = exchange.request
        before = request.path
        path = self._path(exchange)
        if path is None or (not self._folder and path.normal.endswith("/")):
            return None
        request.path = path
        answer: Response | Awaitable[Response] | None
        if not self._folder:
            answer = self._files.try_(exchange)
        else:
            answer = self._files(exchange) if is_folder(self._files.plan(exchange), path) else None
        if answer is None:
            request.path = before
        return answer

    def plan(self, exchange: Exchange) -> Place | None:
        """What is there, when something is."""
        request = exchange.request
        before = request.path
        path = self._path(exchange)
        if path is None:
            return None
        request.path = path
        place = self._files.plan(exchange)
        request.path = before
        there = is_folder(place, path) if self._folder else place.kind == "file" and not path.normal.endswith("/")
        return place if there else None

    def _path(self, exchange: Exchange) -> Path | None:
        path = exchange.request.path if self._goal is None else self._goal(exchange)
        mount = self._mount
        below = path.normal.startswith(mount) and path.normal[len(mount) : len(mount) + 1] in ("", "/")
        return path if below else None


class Last:
    """Where a request goes that found nothing."""

    __slots__ = ("goal",)

    def __init__(self, goal: Goal) -> None:
        """:param goal: a path or a named route."""
        self.goal = goal

    def __call__(self, exchange: Exchange) -> Jump:
        """The jump.

        :raises ClientError: 404, when this is where the request was sent already.
        """
        jump = self.goal.jump(exchange)
        if exchange.journey is not None and jump.target is exchange.request.path:
            raise ClientError("", 404, detail=f"{self.goal.text}, the last of `try`, is not there either")
        return jump


class Try:
    """The content."""

    __slots__ = ("last", "steps", "yields")

    def __init__(self, steps: Sequence[Step], last: Handler, *, yields: bool = False) -> None:
        """:param yields: other methods than GET and HEAD are the last one's, whatever is there (C9: an application)."""
        self.steps = tuple(steps)
        self.last = last
        self.yields = yields

    def __call__(self, exchange: Exchange) -> Answer:
        """The first that is there, else the last.

        :raises ClientError: 405, for a file that is there but can only be read.
        """
        if exchange.request.method in READS:
            for step in self.steps:
                answer = step(exchange)
                if answer is not None:
                    return answer
        elif not self.yields and any(step.plan(exchange) is not None for step in self.steps):
            raise ClientError("This address can only be read.", 405, fields=ALLOW)
        return self.last(exchange)


def is_folder(place: Place, path: Path) -> bool:
    """Whether a place is a folder, whatever is to be seen of it."""
    return place.kind in ("slash", "listing") or (path.normal.endswith("/") and place.status != 404)
