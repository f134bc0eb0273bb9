"""One fetch: what becomes of what content answers, for the store, the client, and those who wait.

    judged    a response's head  -> Verdict: stored, or a 304 to our own question, or a failure that a stale one covers
    seen      what the client gets: the response itself, or what is stored, or a 304 of its own
    took      both, on the loop, and its body copied on the way
    failed    no answer at all: a stale one, or the error
    copy      what takes the body as it comes; its end decides whether it is stored
    left      it will not come

`judged`, `seen` and a copy run wherever the answer comes, on application threads too; the others on the loop. A fetch
ends once, by whichever comes first. RFC 9111 §3, §4.3; RFC 5861.
"""

from __future__ import annotations

from collections.abc import AsyncIterable
from contextlib import aclosing
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from edgestack.caching.asked import asked, plain
from edgestack.caching.given import given, not_modified, note
from edgestack.caching.keys import url_of
from edgestack.caching.stream import CopiedStream
from edgestack.caching.zone import Fill, Zone
from edgestack.errors import EdgeError, UpstreamError
from edgestack.http.attempts import Attempts
from edgestack.http.bodies import Body, FileSegment
from edgestack.http.caching import StoredHead, stale_on_error
from edgestack.http.caching_storing import may_store
from edgestack.http.caching_validation import merge_304, validation_fields
from edgestack.http.messages import Exchange, Response
from edgestack.wire.relay import Relay
from edgestack.wire.streaming import let_go

if TYPE_CHECKING:
    from edgestack.caching.cached import Cached
    from edgestack.store import Draft, StoredResponse

__all__ = ["Copy", "Fetch", "Verdict"]

FAILURES = frozenset((500, 502, 503, 504))
"""RFC 5861 §4."""
UPSTREAMS_OWN = frozenset(("x-accel-expires", "date", "age"))
"""Fields of a proxied server's answer that its client does not see, and that say how long it is fresh."""


class Verdict(NamedTuple):
    """What is known of an answer once its head is here."""

    head: StoredHead | None = None
    """What is stored; None where nothing is."""
    validated: bool = False
    """It says that what is stored is still so."""
    covered: bool = False
    """It is a failure, and a stale answer is given in its place."""
    why: str = ""
    """Why it is not stored."""


class Fetch:
    """One answer that content is asked for."""

    __slots__ = ("_cached", "_fill", "_fwd", "_kept", "_key", "_moment", "_stale", "asked", "client", "zone")

    def __init__(
        self, cached: Cached, client: Exchange, key: str, fill: Fill, fwd: str, stale: StoredResponse | None = None
    ) -> None:
        """
        :param client: the exchange that its answer is for.
        :param fwd: why it is not answered from the store (RFC 9211 §2.2).
        :param stale: what is stored, stale or to be validated.
        """
        self._cached = cached
        self._key = key
        self._fill = fill
        self._fwd = fwd
        self._stale = stale
        self._kept = False
        """Whether all of it is here, and the store has it or is about to."""
        self.client = client
        self.zone: Zone = cached.zone
        self._moment = cached.zone.store.moment
        validation = validation_fields(stale.head) if stale is not None and stale.head.validator else ()
        self.asked = asked(client, validation)

    # -- what comes of it ----------------------------------------------------------------------------------------------

    def judged(self, response: Response) -> Verdict:
        """What becomes of an answer, by its head.

        :raises UpstreamError: 502, a 304 that is not for what is stored.
        """
        zone, rule, stale = self.zone, self._cached.rule, self._stale
        now = zone.now()
        if stale is not None:
            if response.status == 304 and stale.head.validator:
                merged = merge_304(self.asked.request, stale.head, self._told(response), rule, now)
                if merged is None:
                    zone.store.forget(stale.key)  # then it is asked for without a condition
                    raise UpstreamError(detail="a 304 for another representation than the one that was asked about")
                return Verdict(merged, validated=True)
            if response.status in FAILURES and stale_on_error(self.client.request, stale.head, rule, now):
                return Verdict(covered=True)
        told, judge = self._told(response), self._cached.judge
        found = may_store(self.asked.request, told if judge is None else judge(self.asked, told), rule, now)
        if not isinstance(found, StoredHead):
            return Verdict(why=found.value)
        if response.length is not None and response.length > zone.store.largest:
            return Verdict(why="too large")
        return Verdict(found)

    def _told(self, response: Response) -> Response:
        """The answer with what its client does not see of it, and what says how long it is fresh."""
        attempts = self.asked.attempts
        if type(attempts) is Attempts and attempts.head is not None:
            hidden = [pair for pair in attempts.head.pairs if pair[0] in UPSTREAMS_OWN]
            if hidden:
                response = response.with_(fields=(*response.fields, *hidden))
        return response

    def seen(self, verdict: Verdict, response: Response) -> tuple[Response, bool]:
        """What the client gets; and whether that is something else than this answer."""
        stale, now, client = self._stale, self.zone.now(), self.client
        if verdict.validated and stale is not None and verdict.head is not None:
            stored = self.zone.store.refresh(stale, verdict.head, self._moment)
            self._end(stored=True)
            return given(client, stored, now, "REVALIDATED", fwd=self._fwd, fwd_status=304), True
        if verdict.covered and stale is not None:
            self._end(UpstreamError("", response.status, detail=f"content answered {response.status}"))
            return given(client, stale, now, "STALE", fwd=self._fwd, fwd_status=response.status), True
        if verdict.head is None:
            self._end(stored=False)
        stores = verdict.head is not None
        note(client, self._word(), fwd=self._fwd, fwd_status=response.status, stored=stores, detail=verdict.why)
        own = not_modified(client, response)
        return (own, True) if own is not None else (response, False)

    def _word(self) -> str:
        return "EXPIRED" if self._fwd == "stale" else "MISS"

    def filtered(self, response: Response) -> Response:
        """What the filters of the client's route make of it; where a jump led to another route, its own have been."""
        client = self.client
        if self.asked.chain is plain(client.chain):
            for change in client.chain.on_threads:
                response = change(client, response)
        return response

    def copy(self, verdict: Verdict) -> Copy:
        """Takes the body of an answer that is to be stored."""
        head = verdict.head
        assert head is not None
        return Copy(self, self.zone.store.draft(self._key, head, url_of(self.client), head.tags, self._moment))

    def paused(self, paused: bool) -> None:
        """Whether content waits until the client has taken what has come."""
        self._fill.paused = paused

    def keeping(self) -> None:
        """All of it is here."""
        self._kept = self._fill.whole = True

    def kept(self, stored: bool) -> None:
        """It is stored, or it cannot be: then nobody is to wait for its end. On any thread."""
        self._end(stored=stored)

    # -- on the loop ---------------------------------------------------------------------------------------------------

    def took(self, response: Response) -> Response:
        """What the client gets for an answer; what is to be stored of it is copied as it passes.

        :raises UpstreamError: see `judged`.
        """
        shown, body, instead = self._received(response)
        if not instead:
            return shown if body is response.body else shown.with_(body=body)
        if isinstance(body, AsyncIterable):
            wanted = not self._fill.over.is_set()
            if not (wanted and self.zone.start_soon(partial(self._rest, body), self.client)):
                let_go(body)
        return shown

    async def taken(self, response: Response) -> None:
        """Take an answer in the background: all of it that is wanted."""
        _, body, _ = self._received(response)
        if isinstance(body, AsyncIterable):
            await self._rest(body)

    def _received(self, response: Response) -> tuple[Response, Body, bool]:
        """What the client gets, the answer's body with what copies it, and whether the client gets something else."""
        client, body = self.client, response.body
        if hasattr(self.asked, "flow"):
            client.flow = self.asked.flow
        try:
            verdict = self.judged(response)
            shown, instead = self.seen(verdict, response)
        except BaseException:
            let_go(body)
            self.left()
            raise
        if verdict.head is not None and not verdict.validated:
            body = self._copied(verdict, response)
        return shown, body, instead

    def _copied(self, verdict: Verdict, response: Response) -> Body:
        """The body of an answer that is to be stored once it is whole, to be taken by whoever takes it."""
        body = response.body
        if type(body) is bytes:
            self.copy(verdict).whole(body)
        elif isinstance(body, Relay):
            copy = self.copy(verdict)
            body.copied(copy.piece, copy.over)
        elif isinstance(body, AsyncIterable):
            return CopiedStream(body, self.copy(verdict), response.length)
        else:
            self._end(stored=False)
        return body

    def failed(self, error: EdgeError) -> Response:
        """What the client gets where there was no answer.

        :raises EdgeError: nothing but the error.
        """
        stale, client, now = self._stale, self.client, self.zone.now()
        self._end(error if error.status >= 500 else None)
        if (
            stale is not None
            and error.status in FAILURES
            and stale_on_error(client.request, stale.head, self._cached.rule, now)
        ):
            return given(client, stale, now, "STALE", fwd=self._fwd, fwd_status=error.status)
        note(client, self._word(), fwd=self._fwd)
        raise error

    def left(self) -> None:
        """Nobody asks for it any more; who waits may ask himself. Counts only where it has not ended."""
        if not self._kept:
            self.zone.end(self._key, self._fill)

    def _end(self, error: EdgeError | None = None, *, stored: bool | None = None) -> None:
        self.zone.end(self._key, self._fill, error, stored=stored)

    async def _rest(self, body: Any) -> None:
        """For the store alone: no further than it goes there, so that nobody has a server send what is too large."""
        if self._fill.over.is_set():
            let_go(body)
            return
        async with aclosing(body.__aiter__()) as pieces:
            async for _ in pieces:
                if self._fill.over.is_set():
                    break


class Copy:
    """What of a body is stored, as it passes."""

    __slots__ = ("_draft", "_fetch")

    def __init__(self, fetch: Fetch, draft: Draft) -> None:
        self._fetch = fetch
        self._draft: Draft | None = draft

    @property
    def taking(self) -> bool:
        """Whether more of it is wanted."""
        return self._draft is not None

    def piece(self, data: bytes) -> None:
        """One more."""
        if self._draft is not None and data and not self._draft.add(data):
            self._draft = None
            self._fetch.kept(False)

    def paused(self, paused: bool) -> None:
        """Whether the next one waits until the client has taken this one."""
        if self._draft is not None:
            self._fetch.paused(paused)

    def file(self, segment: FileSegment) -> None:
        """A run of a file as one more."""
        if self._draft is not None and not self._draft.file(segment):
            self._draft = None
            self._fetch.kept(False)

    def whole(self, data: bytes) -> None:
        """All that there is."""
        draft, self._draft = self._draft, None
        if draft is None:
            return
        self._fetch.keeping()
        if draft.size:
            draft.add(data)
            draft.finish(self._fetch.kept)
        else:
            draft.whole(data, self._fetch.kept)

    def over(self, complete: bool) -> None:
        """Whether those were all. Only the first call counts."""
        draft, self._draft = self._draft, None
        if draft is None:
            return
        if complete:
            self._fetch.keeping()
            draft.finish(self._fetch.kept)
        else:
            draft.drop()
            self._fetch.left()
