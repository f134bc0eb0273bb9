"""From what an application says to what an Outlet is told: start_response, write(), and the iterable (PEP 3333).

    start_response(status, headers, exc_info)   any number of times before bytes leave, if exc_info says why     F7
    write(data) / whole(data) / iterate(result)                                                                 F5 F6 F9
    file(segment)                               a wrapped file instead of its blocks                             F12
        the head leaves with the first byte, or at the end of an empty answer; filters see it once, just before
    end()                                       the answer is whole; or short, and then the connection is broken  F9

One writer serves one call, on one thread. It counts bytes against the announced length and stops where no further byte
can count: past that length, and after the head of an answer that has no body. So a HEAD never holds a thread for the
whole of a stream. It raises what the application did wrong as AppError; catching is `WsgiCall`'s business. It knows
neither the environ nor threads.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, TypeAlias

from edgestack.content.app_head import AppHead, read_head, refuse
from edgestack.content.file_wrapper import Offload
from edgestack.http.bodies import FileSegment, Outlet
from edgestack.http.messages import Exchange, Response

__all__ = ["ExcInfo", "ResponseWriter"]

ExcInfo: TypeAlias = "tuple[type[BaseException], BaseException, TracebackType] | tuple[None, None, None]"

_log = logging.getLogger("edgestack.error")


class ResponseWriter:
    """The state of one answer. Attributes that most answers never change stand on the class: making one is cheap."""

    head: AppHead | None = None
    """What start_response was told last."""
    begun = False
    """The head is the outlet's, and bytes may have left: it can no longer be replaced."""
    complete = False
    """No further byte of body can count."""
    ended = False
    """The outlet was told that the answer is over, one way or the other."""
    written = 0
    """Bytes of body given to the outlet."""
    offload: Offload | None = None
    """How files that the head names are found, where that is enabled."""

    def __init__(self, exchange: Exchange, outlet: Outlet) -> None:
        self.exchange = exchange
        self.outlet = outlet

    # -- what the application calls ----------------------------------------------------------------------------------

    def start_response(
        self, status: str, headers: Iterable[tuple[str, str]], exc_info: ExcInfo | None = None
    ) -> Callable[[bytes], None]:
        """PEP 3333's start_response.

        :raises AppError: the head cannot be sent, or there is one already and `exc_info` does not excuse it.
        :raises BaseException: what `exc_info` holds, when the head it would replace has left.
        """
        if exc_info is not None:
            try:
                if self.begun and exc_info[1] is not None:
                    raise exc_info[1].with_traceback(exc_info[2])
            finally:
                exc_info = None  # its frames refer to this one: without a cycle they are freed at once
        elif self.head is not None:
            raise refuse("start_response was called a second time, without exc_info")
        self.head = None
        self.head = read_head(status, headers)
        return self.write

    def write(self, data: bytes) -> None:
        """Send `data`, behind the head if that has not left yet. b"" is ignored (F5).

        :raises AppError: `data` is not bytes, or start_response was not called.
        :raises Disconnected: nobody reads any more.
        """
        if type(data) is not bytes:
            data = _as_bytes(data)
        if not data:
            return
        if not self.begun:
            self._begin()
        if self.complete:
            return
        head = self.head
        assert head is not None
        if head.length is not None and len(data) > head.length - self.written:
            data = self._cut(data, head.length)
            if not data:
                return
        self.written += len(data)
        self.outlet.piece(data)

    # -- what WsgiCall calls -----------------------------------------------------------------------------------------

    def whole(self, data: bytes) -> None:
        """Send the only element of a list, and end: the common case, on the shortest road."""
        head = self.head
        if head is None or not head.plain or self.begun or type(data) is not bytes or not data:
            return self.iterate((data,))
        if head.length is None:
            response = head.with_length(len(data))
        elif head.length == len(data):
            response = head.response
        else:
            return self.iterate((data,))
        exchange, outlet = self.exchange, self.outlet
        for change in exchange.chain.on_threads:
            response = change(exchange, response)
        self.begun = True
        outlet.whole(response, data)
        self.ended = True  # not before: a client that left meanwhile is a Disconnected, and the outlet is to be told
        return None

    def iterate(self, result: Iterable[bytes]) -> None:
        """Send every piece of `result`, and end."""
        for data in result:
            self.write(data)
            if self.complete:
                break
        self.end()

    def file(self, segment: FileSegment) -> None:
        """Send a run of a file as the whole body, and end."""
        head = self._need_head()
        size = segment.length
        if head.length is None:
            self._send_head(head.with_length(size))
        else:
            segment = FileSegment(segment.file, segment.offset, min(size, head.length))
            self._send_head(head.response)
        if not self._has_no_body(head):
            self.written = segment.length
            self.outlet.file(segment)
        self.end()

    def end(self) -> None:
        """Nothing follows: finish the answer, or break it where bytes are missing (F9).

        :raises AppError: nothing has left yet, and nothing can be sent.
        """
        head = self._need_head()
        missing = 0 if head.length is None or self.complete or self._has_no_body(head) else head.length - self.written
        if not self.begun:
            missing = self._begin_late(head, missing)
        self.ended = True
        if missing:
            _log.error(
                "%s: the application announced %d bytes and gave %d: the connection is broken",
                self.exchange.request_id, head.length, self.written, extra={"request_id": self.exchange.request_id},
            )  # fmt: skip
            self.outlet.broken("the application's answer is too short")
        else:
            self.outlet.finish()

    # -- steps -------------------------------------------------------------------------------------------------------

    def _need_head(self) -> AppHead:
        if self.head is None:
            raise refuse("the application gave a body, or its end, without a call of start_response")
        return self.head

    def _has_no_body(self, head: AppHead) -> bool:
        """Whether no byte of body may leave (RFC 9112 §6.3)."""
        return head.bare or self.exchange.request.method == "HEAD"

    def _begin(self) -> None:
        """Give what start_response said to the outlet, with the first bytes close behind."""
        head = self._need_head()
        if self.offload is not None and head.offload:
            self._send_named(self.offload, head)
        else:
            self._send_head(head.response)
            self.complete = self._has_no_body(head)

    def _begin_late(self, head: AppHead, missing: int) -> int:
        """Give the head of an empty answer to the outlet. Returns the bytes of body that are still missing."""
        if self.offload is not None and head.offload:
            self._send_named(self.offload, head)
            return 0
        if missing:
            raise refuse(f"the application announced {missing} bytes and gave none")
        if head.length is None and not self._has_no_body(head):
            self._send_head(head.with_length(0))
        else:
            self._send_head(head.response)  # for HEAD no length is made up: GET's answer might have another
        return 0

    def _send_head(self, response: Response) -> None:
        exchange = self.exchange
        for change in exchange.chain.on_threads:
            response = change(exchange, response)
        self.outlet.head(response)
        self.begun = True

    def _send_named(self, offload: Offload, head: AppHead) -> None:
        """Send the file that the head names, in place of the application's own body (F12)."""
        segment = offload.segment(*head.offload[0])
        fields = tuple(pair for pair in head.response.fields if pair[0].lower() not in Offload.HIDDEN)
        self._send_head(head.response.with_(fields=fields, length=segment.length))
        self.complete = True
        if not self._has_no_body(head):
            self.outlet.file(segment)

    def _cut(self, data: bytes, length: int) -> bytes:
        """What of `data` still fits; the rest is dropped, and the log is told (F9)."""
        self.complete = True
        _log.error(
            "%s: the application announced %d bytes and gave more: the rest is dropped",
            self.exchange.request_id, length, extra={"request_id": self.exchange.request_id},
        )  # fmt: skip
        return data[: length - self.written]


def _as_bytes(data: Any) -> bytes:
    if isinstance(data, bytes):  # Django's SafeBytes and its like
        return bytes(data)
    raise refuse(f"the application gave {type(data).__name__} as a piece of its body: bytes are asked for")
