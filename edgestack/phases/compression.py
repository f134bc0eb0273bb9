"""Answers in a content coding that their client takes (criteria D1 to D6; nginx: ngx_http_gzip_filter_module).

    bytes up to 16 KiB        coded here and now; so are larger ones on an application's thread
    larger ones, files        coded on a thread, while a task waits (`Apart`); what lasts is made once, and kept
    streams, applications     a `Transform`: whoever moves the pieces puts each through it, and none is withheld
    a 304                     its ETag gets back the suffix that the request's preconditions lost (`Undoing`)

The last of the filters: what rules say of Cache-Control, Vary or the type is taken into account. Files of a folder need
no filter, they are coded when their entry is made (`content/static.py`). Pure, on any thread.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Callable, Hashable
from functools import partial
from typing import Any, TypeAlias

import trio

from edgestack.codecs import AT_ONCE, Codec, Coder
from edgestack.http.bodies import FileSegment
from edgestack.http.content_coding import coded_fields, may_code, retagged, undone, with_vary
from edgestack.http.messages import Exchange, Response, change_once
from edgestack.http.negotiation import choose_coding
from edgestack.http.remembered import Remembered
from edgestack.wire.held_clock import on_thread
from edgestack.wire.shared_work import SharedWork

__all__ = ["Compression", "Forms", "Undoing", "VaryKept"]

KEPT = 32 << 20
"""Bytes of coded forms in memory, in two generations."""
OVERHEAD = 512
"""Bytes that a form is taken to weigh beside its content."""
BLOCK = 256 * 1024
"""Bytes of a large body that are coded in one go on a thread: some milliseconds."""
TAGGED = ("if-none-match", "if-match")

Key: TypeAlias = "tuple[Hashable, str, int]"


class Forms(Remembered[Key, "bytes | None"]):
    """Coded forms of answers that last (`Response.lasting`), shared by all requests; b"" where that gains nothing."""

    __slots__ = ("work",)

    def __init__(self, budget: int = KEPT) -> None:
        super().__init__(budget // 2)
        self.work: SharedWork[bytes] = SharedWork()

    def make(self, key: Key) -> None:
        return None

    def weigh(self, key: Key, value: bytes | None) -> int:
        return 0 if value is None else len(value) + OVERHEAD

    def keep(self, key: Key, form: bytes) -> None:
        """Remember a form."""
        if key not in self:
            self.old[key] = form
            self[key]  # moves it into the young generation, and counts it
            self.old.pop(key, None)


class Compression:
    """The filter."""

    __slots__ = ("_codecs", "_forms", "_policy")

    def __init__(self, coder: Coder, forms: Forms) -> None:
        self._policy, self._codecs = coder
        self._forms = forms

    def __call__(self, exchange: Exchange, response: Response) -> Response:
        """The answer, coded if it may be and its client takes it."""
        if response.status == 304:
            return _told_again(exchange, response)
        if not may_code(self._policy, response):
            part = response.status == 206 and self._policy.fits(response.field("content-type") or "")
            return change_once(response, self, _varied) if part else response
        coding = choose_coding(exchange.request.fields.get("accept-encoding", ""), self._policy.offered)
        made = self._coded(exchange, response, self._codecs[coding]) if coding is not None else None
        return change_once(response, self, _varied) if made is None else made

    def page(self, exchange: Exchange, response: Response) -> Response:
        """The same for a page that must be at hand: what would take a thread is sent as it is."""
        body = response.body
        if type(body) is not bytes or len(body) > AT_ONCE:
            return change_once(response, self, _varied) if may_code(self._policy, response) else response
        return self(exchange, response)

    def describe(self, exchange: Exchange) -> str:
        """What would be chosen, for an answer that is coded."""
        coding = choose_coding(exchange.request.fields.get("accept-encoding", ""), self._policy.offered)
        return f"{coding or 'no coding'}, for text of {self._policy.least} bytes or more"

    def _coded(self, exchange: Exchange, response: Response, codec: Codec) -> Response | None:
        """The answer in a coding; None where that gains nothing, or cannot be had here."""
        body = response.body
        paced = type(body) is tuple and len(body) == 1
        source = body[0] if paced else body  # type: ignore[index] # a tuple
        if type(source) is bytes and source:
            made = self._at_hand(exchange, response, source, codec)
            if made is None:
                return None
            if type(made) is bytes:
                return _in(response, codec.coding, (made,) if paced else made, len(made))
            return _in(response, codec.coding, made)
        if type(source) is FileSegment:
            key = self._key(response, codec)
            return (
                None
                if exchange.ticket is not None
                else _in(response, codec.coding, Apart(self._forms, codec, source, key))
            )
        if type(source) is bytes:  # the answer to HEAD
            return _in(response, codec.coding, source)
        if source == () or isinstance(source, AsyncIterable):
            fields = coded_fields(response.fields, codec.coding)
            return _unmeasured(response.with_(fields=fields, transform=codec.stream(response)))
        return None

    def _at_hand(self, exchange: Exchange, response: Response, data: bytes, codec: Codec) -> bytes | Apart | None:
        """Bytes in a coding: remembered, made now, or to be made on a thread."""
        key = self._key(response, codec)
        form = self._forms[key] if key is not None else None
        if form is None:
            if (len(data) > AT_ONCE or not codec.quick) and _on_the_loop():
                return None if exchange.ticket is not None else Apart(self._forms, codec, data, key)
            form = _whole(codec, data)
            if key is not None:
                self._forms.keep(key, form)
        return form or None

    def _key(self, response: Response, codec: Codec) -> Key | None:
        lasting: Hashable = getattr(response, "lasting", None)
        return None if lasting is None else (lasting, codec.coding, codec.level)


class VaryKept:
    """The filter behind rules that change Vary, for files whose entries have their forms already (D2)."""

    __slots__ = ("_policy",)

    def __init__(self, coder: Coder) -> None:
        self._policy = coder.policy

    def __call__(self, exchange: Exchange, response: Response) -> Response:
        """The answer, whose Vary names Accept-Encoding where it may have been coded."""
        kind = response.field("content-type")
        return change_once(response, self, _varied) if kind is None or self._policy.fits(kind) else response


class Undoing:
    """The check before applications and servers behind: they see their own entity-tags (D3)."""

    __slots__ = ()

    def __call__(self, exchange: Exchange) -> None:
        """Preconditions name the tags without our suffixes, too."""
        request = exchange.request
        if request.conditional:
            for name in TAGGED:
                value = request.fields.get(name)
                if value is not None and (plain := undone(value)) is not value:
                    request.replace_fields((name,), ((name, plain),))

    def describe(self, exchange: Exchange) -> str:
        """What it does."""
        return "entity-tags of coded answers are taken for those of the answers"


class Apart:
    """A body that is coded on a thread when it is sent."""

    __slots__ = ("_codec", "_forms", "_key", "_source")

    def __init__(self, forms: Forms, codec: Codec, source: bytes | FileSegment, key: Key | None) -> None:
        """:param key: under which the form is kept; None for what is sent once."""
        self._forms = forms
        self._codec = codec
        self._source = source
        self._key = key

    async def __aiter__(self) -> AsyncGenerator[bytes, None]:
        """The coded body."""
        if self._key is not None:
            data = self._forms[self._key]
            if data is None:
                data = await self._forms.work.result(self._key, self._all)
                self._forms.keep(self._key, data)
            yield data
            return
        stream = self._codec.stream()
        done, left = 0, True
        while left:
            piece, left = await on_thread(partial(self._block, stream.feed, stream.finish, done))
            done += BLOCK
            yield piece

    def _all(self) -> bytes:
        """All of it, even where that gains nothing: its head has said so."""
        source = self._source
        return self._codec.whole(source if isinstance(source, bytes) else bytes(source.read(0, source.length)))

    def _block(self, feed: Callable[[bytes], bytes], finish: Callable[[bytes], bytes], done: int) -> tuple[bytes, bool]:
        source = self._source
        if isinstance(source, bytes):
            piece, left = source[done : done + BLOCK], done + BLOCK < len(source)
        else:
            piece, left = bytes(source.read(done, BLOCK)), done + BLOCK < source.length
        return (feed(piece), True) if left else (finish(piece), False)


def _told_again(exchange: Exchange, response: Response) -> Response:
    """A 304 does not say its type: where its 200 says Vary, it must too (RFC 9110 §15.4.5), and so each does that names
    a representation by its tag."""
    fields = retagged(response.fields, exchange.request.fields)
    if response.field("etag") is not None:
        fields = with_vary(fields)
    return response if fields is response.fields else response.with_(fields=fields)


def _varied(response: Response) -> Response:
    fields = with_vary(response.fields)
    return response if fields is response.fields else response.with_(fields=fields)


def _in(response: Response, coding: str, body: Any, length: int | None = None) -> Response:
    """The answer with another body; without a length where that is not known."""
    made = response.with_(fields=coded_fields(response.fields, coding), body=body, length=length)
    return _unmeasured(made) if length is None else made


def _unmeasured(made: Response) -> Response:
    """The answer, whose length is not known before it is made."""
    made.length, made.at_once = None, False
    return made


def _whole(codec: Codec, data: bytes) -> bytes:
    """The form, or b"" where it is no smaller."""
    form = codec.whole(data)
    return form if len(form) < len(data) else b""


def _on_the_loop() -> bool:
    return trio.lowlevel.in_trio_run()
