"""Answers that are elsewhere inside the server, and the way that an exchange has made. Values; routing follows them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgestack.errors import EdgeError
    from edgestack.http.target import Path

__all__ = ["Journey", "Jump"]


class Jump:
    """An answer that is elsewhere inside the server: nginx's internal redirect. The spine follows it."""

    __slots__ = ("error", "fresh", "query", "status", "target")

    def __init__(
        self,
        target: Path | str,
        query: str | None = None,
        *,
        fresh: bool = False,
        error: EdgeError | None = None,
        status: int = 0,
    ) -> None:
        """
        :param target: a path of this site; or the name of a named route, without "@".
        :param query: None keeps the one that the request has.
        :param fresh: nothing was checked yet (a rewrite): the checks of the chain that is left do not count as met.
        :param error: what went wrong, where an error page is asked for.
        :param status: of the page, when it is another one than the error's.
        """
        self.target = target
        self.query = query
        self.fresh = fresh
        self.error = error
        self.status = status or (error.status if error is not None else 0)


class Journey:
    """The jumps of one exchange."""

    __slots__ = ("error", "met", "rounds", "status")

    def __init__(self) -> None:
        self.rounds = 0
        self.error: EdgeError | None = None
        """What the answer is a page for."""
        self.status = 0
        """The status of that page."""
        self.met: set[object] = set()
        """Checks and wraps that need not be met again, by identity."""
