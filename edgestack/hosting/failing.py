"""What fails in a hosting process, in any: its log has the record, and its edge the page.

The answer is marked (`http/hop.py`: FAILED), so that the edge makes its own page of it: the one that `errors` names, or
`50x.html`. But for a traceback in the browser (`--dev`), which the edge does not have.
"""

from __future__ import annotations

from edgestack.errors import EdgeError
from edgestack.http.forwarding import is_loopback
from edgestack.http.hop import FAILED
from edgestack.http.messages import Exchange, Response
from edgestack.phases.error_pages import ErrorPages

__all__ = ["MARK", "FailurePages"]

MARK = ((FAILED, "1"),)


class FailurePages:
    """The end of every chain in here (`chain.errors`)."""

    def __init__(self, *, dev: bool) -> None:
        """:param dev: show clients on this machine an application's traceback."""
        self.dev = dev
        self._pages = ErrorPages(None, dev=dev)

    def __call__(self, exchange: Exchange, error: EdgeError) -> Response:
        """The answer to `exchange`."""
        page = self._pages(exchange, error)
        if self.dev and is_loopback(exchange.facts.remote_addr):
            return page
        return page.with_(fields=(*page.fields, *MARK))
