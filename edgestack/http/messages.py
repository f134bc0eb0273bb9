"""Requests, responses, and the exchange that joins them.

These are values: no socket, no thread, no clock. A request's fields come as received (`pairs`) and folded into a dict
(`fields`: lower-case names; repeated fields joined with ",", Cookie with "; "). Text is latin-1 (PEP 3333).

    Handler = Callable[[Exchange], Answer]
    Answer  = Response                 at once: it can be sent now
            | AppCall                  application code: must run on a thread, writes to an Outlet
            | Jump                     inside the server: another path or a named route answers; the spine follows
            | Errand                   another party answers: awaitable, and where a driver can, begun without a task
            | Awaitable of those       must wait; the loop gives it a task
    Check   = Callable[[Exchange], Response | Jump | None]    None means go on; raises EdgeError to refuse
    Wrap    = Callable[[Handler], Handler]                    the only links that may wait, beside content
    Filter  = Callable[[Exchange, Response], Response]        pure, on any thread
    End     = Callable[[Exchange], None]                      run once, by whoever finishes the exchange

A link that counts, or waits, has a method `describe(exchange) -> str`: what it would say, without doing it.

A `Response` is immutable by law, not by `frozen=True` (whose __init__ pays for every field): a filter makes a new one
with `with_`. Framing is not its business: `length` says how long the body is, the wire writes Content-Length or chunks.
"""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Awaitable, Callable, Collection, Generator, Hashable, Iterable
from typing import TYPE_CHECKING, Any, TypeAlias

from edgestack.errors import Disconnected, EdgeError
from edgestack.http.facts import Facts
from edgestack.http.jumps import Journey, Jump

if TYPE_CHECKING:
    from edgestack.http.bodies import Body, Outlet, RequestBody, Transform
    from edgestack.http.target import Path

__all__ = [
    "AT_ONCE",
    "Answer",
    "AppCall",
    "Check",
    "End",
    "Errand",
    "Exchange",
    "Filter",
    "Flow",
    "Handler",
    "Request",
    "Response",
    "Wrap",
    "change_once",
    "settled",
]

FieldPairs: TypeAlias = "tuple[tuple[str, str], ...]"

AT_ONCE = 128 * 1024
"""Bytes of a body that leave in one call with their head; as much as TLS takes at once (design: engine, rule 9)."""


class Request:
    """One request, head read and body not begun (RFC 9112 §3)."""

    __slots__ = (
        "_cookie_at", "_pairs", "block", "body", "conditional", "fields", "host", "method", "path", "persistent",
        "query", "target", "version",
    )  # fmt: skip

    def __init__(
        self,
        method: str,
        target: str,
        version: str,
        pairs: list[tuple[str, str]],
        fields: dict[str, str],
        path: Path,
        query: str,
        host: str,
        persistent: bool,
        cookie_at: int = -1,
        conditional: bool = True,
        block: object = None,
    ) -> None:
        """
        :param method: as sent; methods are case-sensitive (RFC 9110 §9.1).
        :param target: the request-target byte for byte.
        :param version: "HTTP/1.1" or "HTTP/1.0".
        :param pairs: the fields as received, names in lower case, in order; not to be changed, requests share them.
        :param fields: the same folded: one value a name.
        :param path: the target's path, in its two forms (`http/target.py`).
        :param query: what follows the first "?", without it; "" when there is none.
        :param host: the authority asked for: of an absolute target, else Host's value; "" when HTTP/1.0 names none.
        :param persistent: whether the client wants the connection kept (RFC 9112 §9.3).
        :param cookie_at: where in `pairs` the cookie belongs, which stands only in `fields`; -1 for none.
        :param conditional: whether it may have a precondition or a range (`http.conditional.CONDITIONAL`).
        :param block: the same object for all requests whose field lines were the same but for the cookie, where that is
            known: a key for whoever remembers what follows from those fields.
        """
        self.method = method
        self.target = target
        self.version = version
        self._pairs = pairs
        self._cookie_at = cookie_at
        self.conditional = conditional
        self.block = block
        self.fields = fields
        self.path = path
        self.query = query
        self.host = host
        self.persistent = persistent
        self.body: RequestBody | None = None

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """The fields as received, names in lower case, in order. Not to be changed."""
        if self._cookie_at < 0:
            return self._pairs
        pairs = self._pairs.copy()
        pairs.insert(self._cookie_at, ("cookie", self.fields["cookie"]))
        return pairs

    def replace_fields(self, names: Collection[str], pairs: Iterable[tuple[str, str]]) -> None:
        """Take fields away and add others. What requests share stays as it is.

        :param names: of those that go, in lower case.
        :param pairs: what comes at the end, names in lower case, each once.
        """
        self._pairs = [*(pair for pair in self.pairs if pair[0] not in names), *pairs]
        self._cookie_at, self.block = -1, None
        self.fields = {name: value for name, value in self.fields.items() if name not in names} | dict(pairs)


class Response:
    """A status, fields, and a body. Never changed once made.

    :param fields: as they are to be written, without Content-Length, Transfer-Encoding, Connection, Date, Server and
        X-Request-Id, which the wire adds.
    :param body: see `http/bodies.py`.
    :param length: bytes of body that Content-Length announces; None when unknown. May be given without a body,
        for the answer to a HEAD.
    :param reason: the reason phrase; "" for the usual one.
    :param transform: what the pieces of a body that is not at hand go through on their way; `length` is then None.
    """

    __slots__ = (
        "at_once", "body", "changed", "encoded", "fields", "lasting", "length", "reason", "status", "transform",
    )  # fmt: skip

    changed: tuple[object, Response | None]
    """What a link made of this answer; unset until `change_once` keeps it here."""
    lasting: Hashable
    """Names the very bytes of the body, for whoever keeps what follows from them; unset where they are given once."""

    def __init__(
        self,
        status: int,
        fields: FieldPairs = (),
        body: Body = b"",
        length: int | None = None,
        reason: str = "",
        transform: Transform | None = None,
    ) -> None:
        self.status = status
        self.fields = fields
        self.body = body
        self.reason = reason
        self.transform = transform
        at_once = False
        if type(body) is bytes:
            size = len(body)
            if length is None:
                length = size
            at_once = size == length and (status == 200 or not size) and size <= AT_ONCE
        self.length = length
        self.at_once = at_once
        """Whether it can leave as it is, in one send: a body at hand, as long as announced."""
        self.encoded = b""
        """The head as bytes, kept by the wire after it was first written; derived from the rest."""

    def with_(self, **changes: Any) -> Response:
        """A copy with some of `status`, `fields`, `body`, `length`, `reason` and `transform` replaced."""
        values: dict[str, Any] = {
            "status": self.status,
            "fields": self.fields,
            "body": self.body,
            "length": self.length,
            "reason": self.reason,
            "transform": self.transform,
        }
        values.update(changes)
        made = Response(**values)
        if self.length is None and values["length"] is None and made.body is self.body:
            made.length, made.at_once = None, self.at_once  # a HEAD's answer, of which nobody knows what GET would have
        if hasattr(self, "lasting") and made.body is self.body:
            made.lasting = self.lasting
        return made

    def field(self, name: str) -> str | None:
        """The first value of the field `name` (any case), or None."""
        name = name.lower()
        return next((value for key, value in self.fields if key.lower() == name), None)


def change_once(response: Response, link: object, change: Callable[[Response], Response]) -> Response:
    """`change(response)`, made once for an answer that is given again and again: a static entry's, an application's.

    What comes of it stands on the answer itself and goes with it. Threads may both make it; one of the two stays.

    :param link: whose change it is: the same answer may pass links of several routes.
    """
    kept: tuple[object, Response | None] | None = getattr(response, "changed", None)
    if kept is not None and kept[0] is link:
        return kept[1] or response
    made = change(response)
    response.changed = (link, made if made is not response else None)  # never itself: a ring would outlive its entry
    return made


class Flow:
    """How an answer is to be sent, where its route says so. What it does not say is the server's."""

    __slots__ = ("rate", "send_gap")

    def __init__(self, rate: int = 0, send_gap: float = 0.0) -> None:
        """
        :param rate: bytes a second; 0 for as fast as the client takes them.
        :param send_gap: seconds that may pass while the client takes nothing; 0 for the server's own.
        """
        self.rate = rate
        self.send_gap = send_gap


class Exchange:
    """One request and what becomes of it. Checks, content, filters and log formats are functions over it.

    `ticket` holds one element: whoever answers takes it with `pop()`, which is atomic; finding it gone means that
    somebody else has answered. `ends` are run exactly once, by whoever finishes the exchange.
    """

    __slots__ = (
        "attempts", "bytes_out", "cached", "chain", "ends", "facts", "flow", "head", "incomplete", "journey", "noted",
        "request", "serial", "started", "status", "ticket",
    )  # fmt: skip

    cached: tuple[str, str]
    """What a cache did for it: a word for the log, and the Cache-Status that the answer still lacks, or "" (RFC 9211);
    unset where no cache was asked."""
    flow: Flow
    """How the answer is to be sent; unset where no route says so: what is not asked for costs nothing."""
    head: bytes
    """Status line and fields as the wire wrote them, without Date and X-Request-Id at their end; unset before."""
    incomplete: bool
    """It was broken off; unset where its answer left whole."""
    noted: dict[str, str]
    """Variables that were set by the way (`auth_request`), by name; unset where none was."""
    prefix = os.urandom(12).hex()
    """The hex digits that open every request id of this process."""

    def __init__(self, facts: Facts, request: Request, serial: int, started: float) -> None:
        """
        :param serial: counts the exchanges of this process; the request id is made from it.
        :param started: seconds on the serving clock when the head was read.
        """
        self.facts = facts
        self.request = request
        self.serial = serial
        self.started = started
        self.chain: Any = None
        self.status = 0
        self.bytes_out = 0
        self.ticket: list[None] | None = None
        self.attempts: list[Any] | None = None
        self.journey: Journey | None = None
        self.ends: tuple[Callable[[Exchange], None], ...] = ()

    @property
    def request_id(self) -> str:
        """32 hex digits, the same on the wire (X-Request-Id), in the access log and in the error log."""
        return f"{Exchange.prefix}{self.serial:08x}"

    def finish(self) -> None:
        """Run the ends (log line, counters), once."""
        ends, self.ends = self.ends, ()
        for end in ends:
            end(self)

    def break_off(self, status: int = 0) -> None:
        """Finish without an answer, or with half of one.

        :param status: what the log says where none was sent.
        """
        self.status = self.status or status
        self.incomplete = True
        self.finish()


class AppCall:
    """Application code to be run on a thread, with everything it needs at hand. Subclasses define `run` and `discard`.

    No ABCMeta: its isinstance, asked for each exchange, costs more than routing.
    """

    __slots__ = ("exchange",)

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange

    @abstractmethod
    def run(self, outlet: Outlet) -> None:
        """Call the application and write its answer to `outlet`; never raises what the application raised."""

    @abstractmethod
    def discard(self) -> None:
        """It will not be run: close what it holds (a spooled body)."""


class Errand:
    """What another party answers. Subclasses define `fetch`, and where it can be done by callbacks `begin` and `left`.

    Two roads lead to the same answer. A task awaits it (`fetch`). Or the connection's holder begins it, on the loop:

        begin(done) -> False      it must be awaited
                    -> True       later, once: done(Response | EdgeError)   settle that, and send what it gives
                                               done(self)                   await me now: I know what was tried
                                  or, from the holder: left()               no `done` after it

    `done` is never called from within `begin`, and always on the loop. Any other exception given to it is a bug, which
    ends that connection only.
    """

    __slots__ = ("exchange", "interim", "settle")

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        self.interim: Callable[[bytes], Awaitable[None]] | None = None
        """Sends an interim response (1xx) to the client, while a task awaits; None where nobody could."""
        self.settle: Callable[[Exchange, Response | Jump | EdgeError], Answer] | None = None
        """What the spine makes of what came (filters, error pages). None where a wrap asks: then errors are raised, and
        responses given as they are."""

    @abstractmethod
    async def fetch(self) -> Response:
        """The answer, on a task; cancelled when the client leaves.

        :raises EdgeError: there is none.
        """

    def begin(self, done: Callable[[Response | Errand | Exception], None]) -> bool:
        """Begin by callbacks, on the loop. False: nothing was begun, it must be awaited."""
        return False

    def left(self) -> None:
        """The client left, or the server stops, after `begin` gave True: give up quietly. On the loop."""

    def __await__(self) -> Generator[Any, Any, Response | AppCall | Jump]:
        return self._settled().__await__()

    async def _settled(self) -> Response | AppCall | Jump:
        if self.settle is None:
            return await self.fetch()
        came: Response | EdgeError
        try:
            came = await self.fetch()
        except Disconnected:
            raise
        except EdgeError as error:
            came = error
        return await settled(self.settle(self.exchange, came))


async def settled(answer: Answer) -> Response | AppCall | Jump:
    """What an answer is in the end; waits only where it must."""
    if isinstance(answer, Response | AppCall | Jump):
        return answer
    return await answer


Answer: TypeAlias = "Response | AppCall | Jump | Errand | Awaitable[Response | AppCall | Jump]"
Handler: TypeAlias = "Callable[[Exchange], Answer]"
Check: TypeAlias = "Callable[[Exchange], Response | Jump | None]"
Wrap: TypeAlias = "Callable[[Handler], Handler]"
Filter: TypeAlias = "Callable[[Exchange, Response], Response]"
End: TypeAlias = "Callable[[Exchange], None]"
