"""A request that may change something, on its way past the store: when it succeeds, what it makes untrue goes (RFC 9111
§4.4).

It stands where a Fetch does (fetching.py), for the same roads, and stores nothing.
"""

from __future__ import annotations

from typing import NoReturn

from edgestack.caching.fetching import Verdict
from edgestack.caching.keys import url_of
from edgestack.caching.zone import Zone
from edgestack.errors import EdgeError
from edgestack.http.caching_invalidation import invalidated
from edgestack.http.messages import Exchange, Response

__all__ = ["Passing"]

NOTHING = Verdict()


class Passing:
    """One such request."""

    __slots__ = ("client", "zone")

    def __init__(self, client: Exchange, zone: Zone) -> None:
        self.client = client
        self.zone = zone

    def took(self, response: Response) -> Response:
        """The answer as it is."""
        for url in invalidated(self.client.request.method, url_of(self.client), response):
            self.zone.store.purge(url=url)
        return response

    def judged(self, response: Response) -> Verdict:
        """Nothing is stored of it."""
        self.took(response)
        return NOTHING

    def seen(self, verdict: Verdict, response: Response) -> tuple[Response, bool]:
        """The answer as it is."""
        return response, False

    def filtered(self, response: Response) -> Response:
        """The filters have run: it was asked for in the client's own exchange."""
        return response

    def failed(self, error: EdgeError) -> NoReturn:
        """An error makes nothing untrue.

        :raises EdgeError: the error.
        """
        raise error

    def copy(self, verdict: Verdict) -> NoReturn:
        """Nothing is: no verdict says so.

        :raises AssertionError: always.
        """
        raise AssertionError(verdict)

    def left(self) -> None:
        """Nobody waits for it."""
