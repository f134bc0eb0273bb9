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
from edgestack.errors import EdgeError
from edgestack.http.bodies import FileSegment, Outlet
from edgestack.http.messages import AppCall, Exchange, Response

if TYPE_CHECKING:
    from edgestack.caching.fetching import Verdict

__all__ = ["FetchCall", "Fetching", "Tee"]

PIECE = 256 * 1024
"""Bytes of a file that are read at a time."""


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

    def keep(self, verdict: Verdict, body: bytes) -> None:
        """All of it is here."""

    def given_up(self) -> None:
        """It is larger than what is stored."""

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
        try:
            self._call.run(Tee(self._fetch, outlet))
        finally:
            self._fetch.zone.post(self._fetch.left)  # counts only where nothing was stored

    def discard(self) -> None:
        """It is not run."""
        self._call.discard()
        self._fetch.zone.post(self._fetch.left)


class Tee:
    """See `http.bodies.Outlet`."""

    __slots__ = ("_announced", "_fetch", "_outlet", "_pieces", "_room", "_shown", "_verdict")

    def __init__(self, fetch: Fetching, outlet: Outlet | None) -> None:
        """:param outlet: the client's; None in the background."""
        self._fetch = fetch
        self._outlet = outlet
        self._verdict: Verdict | None = None
        self._pieces: list[bytes] | None = None
        """What is copied; None where nothing is."""
        self._room = 0
        """Bytes that may be copied yet."""
        self._announced = -1
        """What will be left of that when the announced length is here; negative without one."""
        self._shown = outlet is not None
        """Whether the client gets what the application says from here on."""

    @property
    def begun(self) -> bool:
        """Whether a byte of the answer has left."""
        return self._outlet is not None and self._outlet.begun

    def head(self, response: Response) -> None:
        """Status and fields, before the filters."""
        fetch, outlet = self._fetch, self._outlet
        self._pieces = None  # of a head before this one, which nobody has seen
        self._verdict = verdict = fetch.judged(response)
        shown, instead = fetch.seen(verdict, response)
        if verdict.head is not None and not verdict.validated:
            self._pieces, self._room = [], fetch.zone.store.largest
            self._announced = -1 if response.length is None else self._room - response.length
            if type(response.body) is bytes:
                self._copy(response.body)
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
        """A piece of the body."""
        self._copy(data)
        self._store_announced()
        if self._shown and self._outlet is not None:
            self._outlet.piece(data)

    def _copy(self, data: bytes) -> None:
        if self._pieces is not None and data:
            self._room -= len(data)
            self._pieces.append(data)
            if self._room < 0:
                self._pieces = None
                self._fetch.given_up()

    def file(self, segment: FileSegment) -> None:
        """A file as the body."""
        done = 0
        while self._pieces is not None and (data := bytes(segment.read(done, PIECE))):
            done += len(data)
            self._copy(data)
        self._store_announced()
        if self._shown and self._outlet is not None:
            self._outlet.file(segment)

    def whole(self, response: Response, data: bytes) -> None:
        """All of it at once."""
        self.head(response)
        self.piece(data)
        self.finish()

    def finish(self) -> None:
        """The answer is whole."""
        self._store()
        if self._shown and self._outlet is not None:
            self._outlet.finish()

    def _store_announced(self) -> None:
        if self._room == self._announced:
            self._store()

    def _store(self) -> None:
        pieces, self._pieces = self._pieces, None
        if pieces is not None and self._verdict is not None:
            self._fetch.keep(self._verdict, b"".join(pieces))

    def broken(self, why: str = "") -> None:
        """It is not."""
        self._pieces = None
        if self._shown and self._outlet is not None:
            self._outlet.broken(why)

    def left(self) -> bool:
        """Whether the client is known to have gone."""
        return self._shown and self._outlet is not None and self._outlet.left()
