"""The ways in which content answers, with a fetch on each: what comes is its to judge, copy and give on.

    Errand       FetchErrand: begun or awaited as the one inside; a Relay's pieces are copied as they pass
    AppCall      FetchCall: the application's outlet is a Tee (tee.py)
    awaitable    `later`
    Response     at once
    Wait         collapsed: an errand that waits for another one's fetch

Nothing is decided here (fetching.py does that).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import trio

from edgestack.caching.tee import FetchCall, Fetching
from edgestack.errors import Disconnected, EdgeError
from edgestack.http.jumps import Jump
from edgestack.http.messages import Answer, AppCall, Errand, Exchange, Response, settled

if TYPE_CHECKING:
    from edgestack.caching.zone import Fill

__all__ = ["FetchErrand", "Wait", "on_the_road"]


def on_the_road(fetch: Fetching, answer: Answer) -> Answer:
    """What content gave, with the fetch on its way."""
    if isinstance(answer, Response):
        return fetch.took(answer)
    if isinstance(answer, AppCall):
        return FetchCall(fetch, answer)
    if isinstance(answer, Errand):
        return FetchErrand(fetch, answer)
    if isinstance(answer, Jump):
        fetch.left()
        return answer
    return later(fetch, answer)


async def later(fetch: Fetching, answer: Awaitable[Response | AppCall | Jump]) -> Response | AppCall | Jump:
    """The same, for content that had to wait."""
    try:
        came = await answer
    except Disconnected:
        fetch.left()
        raise
    except EdgeError as error:
        return fetch.failed(error)
    except BaseException:
        fetch.left()
        raise
    return await settled(on_the_road(fetch, came))


class FetchErrand(Errand):
    """What another party answers, fetched."""

    __slots__ = ("_done", "_fetch", "_inner")

    def __init__(self, fetch: Fetching, inner: Errand) -> None:
        super().__init__(fetch.client)
        self._fetch = fetch
        self._inner = inner
        self._done: Callable[[Any], None] | None = None

    def begin(self, done: Callable[[Response | Errand | Exception], None]) -> bool:
        """By callbacks, where the errand inside can, and the client is to see what comes as it comes."""
        if self.exchange.request.conditional:
            return False
        self._done = done
        return self._inner.begin(self._came)

    def _came(self, came: Response | Errand | Exception) -> None:
        done, fetch = self._done, self._fetch
        assert done is not None
        if isinstance(came, Errand):
            done(self)
            return
        try:
            if isinstance(came, Response):
                came = fetch.took(came)
            elif isinstance(came, EdgeError) and not isinstance(came, Disconnected):
                came = fetch.failed(came)
            else:
                fetch.left()
        except EdgeError as error:
            came = error
        done(came)

    def left(self) -> None:
        """The client left: so has the fetch."""
        self._fetch.left()
        self._inner.left()

    async def fetch(self) -> Response:
        """The answer, for whoever asks within the server.

        :raises EdgeError: there is none.
        """
        came = await self._settled()
        if isinstance(came, Response):
            return came
        raise EdgeError(status=500, detail="an application, or a jump, in the place of another server's answer")

    async def _settled(self) -> Response | AppCall | Jump:
        inner = self._inner
        inner.interim = self.interim
        inner.settle = self._took
        try:
            return await inner
        except BaseException:
            self._fetch.left()
            raise

    def _took(self, _: Exchange, came: Response | Jump | EdgeError) -> Answer:
        """What becomes of what the errand inside brought, on the task road."""
        fetch = self._fetch
        given: Response | Jump | EdgeError
        try:
            if isinstance(came, Response):
                given = fetch.took(came)
            elif isinstance(came, EdgeError):
                given = fetch.failed(came)
            else:
                fetch.left()
                given = came
        except EdgeError as error:
            given = error
        return given_on(self, given)


def given_on(errand: Errand, came: Response | Jump | EdgeError) -> Answer:
    """What the spine makes of it; where nobody asked it to, errors are raised.

    :raises EdgeError: so.
    """
    if errand.settle is not None:
        return errand.settle(errand.exchange, came)
    if isinstance(came, EdgeError):
        raise came
    return came


class Wait(Errand):
    """Waits for what another request fetches, for so long; then content is asked for this one too (D9)."""

    __slots__ = ("_again", "_fill", "_patience")

    def __init__(
        self, exchange: Exchange, fill: Fill, patience: float, again: Callable[[Fill | None, float], Answer]
    ) -> None:
        """
        :param patience: seconds.
        :param again: the answer, once it is over: gets the fill, or None where patience was; and what is left of that.
        """
        super().__init__(exchange)
        self._fill = fill
        self._patience = patience
        self._again = again

    async def fetch(self) -> Response:
        """See `FetchErrand.fetch`."""
        came = await self._settled()
        if isinstance(came, Response):
            return came
        raise EdgeError(status=500, detail="an application, or a jump, in the place of a stored answer")

    async def _settled(self) -> Response | AppCall | Jump:
        until = trio.current_time() + self._patience
        with trio.move_on_at(until):
            await self._fill.over.wait()
        fill = self._fill if self._fill.over.is_set() else None
        try:
            answer = self._again(fill, until - trio.current_time())
        except EdgeError as error:
            return await settled(given_on(self, error))
        if isinstance(answer, Errand):
            answer.interim, answer.settle = self.interim, self.settle
            return await answer
        if isinstance(answer, Response | Jump):
            return await settled(given_on(self, answer))
        return await settled(answer)
