"""An application's answer, on its way to the client and into the store. On the application's thread.

    application -> Tee.head      judged (fetching.py): is it stored? does the client see it, or what is stored?
                -> Tee.piece     to the client's outlet, and copied
                -> Tee.finish    stored first, then finished: who has seen its end finds it stored; where a length was
                                 announced, the piece that completes it is that end

A client that leaves ends the application, as always, and what was copied is dropped. One that asked with conditions may
be done at the head, with 304; the rest then is for the store alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from edgestack.caching.zone import Zone
from edgestack.errors import Disconnected, EdgeError
from edgestack.http.bodies import FileSegment, Outlet
from edgestack.http.messages import AppCall, Exchange, Response

if TYPE_CHECKING:
    from edgestack.caching.fetching import Copy, Verdict

__all__ = ["FetchCall", "Fetching", "Tee"]


class Fetching(Protocol):
    """What decides on the way of an answer (fetching.py, passing.py)."""

    client: Exchange
    zone: Zone

    def judged(self, response: Response) -> Verdict:
        """What becomes of an answer, by its head."""

    def seen(self, verdict: Verdict, response: Response) -> tuple[Response, bool]:
        """What the client gets; and whether that is something else than this answer."""

    def filtered(self, response: Response) -> Response:
        """The answer after the filters of the client's route."""

    def copy(self, verdict: Verdict) -> Copy:
        """Takes the body of an answer that is to be stored."""

    def took(self, response: Response) -> Response:
        """What the client gets for an answer, on the loop."""

    def failed(self, error: EdgeError) -> Response:
        """What the client gets where there was none. :raises EdgeError: the error."""

    def left(self) -> None:
        """It will not come."""


class FetchCall(AppCall):
    """An application's call, fetched."""

    __slots__ = ("_call", "_fetch")

    def __init__(self, fetch: Fetching, call: AppCall) -> None:
        super().__init__(fetch.client)
        self._fetch = fetch
        self._call = call

    def run(self, outlet: Outlet) -> None:
        """Call it, on its thread."""
        tee = Tee(self._fetch, outlet)
        try:
            self._call.run(tee)
        finally:
            tee.closed()
            self._fetch.zone.post(self._fetch.left)  # counts only where nothing was stored

    def discard(self) -> None:
        """It is not run."""
        self._call.discard()
        self._fetch.zone.post(self._fetch.left)


class Tee:
    """See `http.bodies.Outlet`."""

    __slots__ = ("_announced", "_copy", "_fetch", "_outlet", "_shown")

    def __init__(self, fetch: Fetching, outlet: Outlet | None) -> None:
        """:param outlet: the client's; None in the background."""
        self._fetch = fetch
        self._outlet = outlet
        self._copy: Copy | None = None
        """Takes what is to be stored; None where nothing is."""
        self._announced = -1
        """Bytes of the announced length that are missing yet; negative without one."""
        self._shown = outlet is not None
        """Whether the client gets what the application says from here on."""

    @property
    def begun(self) -> bool:
        """Whether a byte of the answer has left."""
        return self._outlet is not None and self._outlet.begun

    def head(self, response: Response) -> None:
        """Status and fields, before the filters."""
        fetch, outlet = self._fetch, self._outlet
        self.closed()  # of a head before this one, which nobody has seen
        verdict = fetch.judged(response)
        shown, instead = fetch.seen(verdict, response)
        if verdict.head is not None and not verdict.validated:
            self._copy = fetch.copy(verdict)
            self._announced = -1 if response.length is None else response.length
            if type(response.body) is bytes:
                self._take(response.body)
        if outlet is None or not self._shown:
            return
        shown = fetch.filtered(shown)
        outlet.head(shown)
        if instead:
            self._shown = False
            if type(shown.body) is FileSegment:
                outlet.file(shown.body)
            outlet.finish()

    def piece(self, data: bytes) -> None:
        """A piece of the body.

        :raises Disconnected: neither a client nor the store wants more.
        """
        self._take(data)
        if self._shown and self._outlet is not None:
            self._outlet.piece(data)
        elif self._copy is None or not (self._copy.taking or self._announced == 0):
            raise Disconnected(detail="nobody wants the rest of the answer")

    def _take(self, data: bytes) -> None:
        if self._copy is not None and data:
            self._copy.piece(data)
            self._missing(len(data))

    def _missing(self, size: int) -> None:
        """So many bytes are missing no more."""
        self._announced -= size
        if not self._announced and self._copy is not None:
            self._copy.over(True)

    def file(self, segment: FileSegment) -> None:
        """A file as the body."""
        if self._copy is not None:
            self._copy.file(segment)
            self._missing(segment.length)
        if self._shown and self._outlet is not None:
            self._outlet.file(segment)

    def whole(self, response: Response, data: bytes) -> None:
        """All of it at once."""
        self.head(response)
        if self._copy is not None:
            self._copy.whole(data)
        if self._shown and self._outlet is not None:
            self._outlet.piece(data)
            self._outlet.finish()

    def finish(self) -> None:
        """The answer is whole."""
        if self._copy is not None:
            self._copy.over(True)
        if self._shown and self._outlet is not None:
            self._outlet.finish()

    def broken(self, why: str = "") -> None:
        """It is not."""
        self.closed()
        if self._shown and self._outlet is not None:
            self._outlet.broken(why)

    def left(self) -> bool:
        """Whether the client is known to have gone."""
        return self._shown and self._outlet is not None and self._outlet.left()

    def closed(self) -> None:
        """Whatever was not whole by now is not stored."""
        if self._copy is not None:
            self._copy.over(False)
