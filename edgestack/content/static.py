"""Files of a folder, as representations: validators, ranges, content codings (criteria C; RFC 9110 §8.8, §13, §14).

    plan      which file, redirect, listing or error: pure apart from stat (`files.Folder`)
    __call__  remembered? -> one stat says that it is unchanged -> its ready answer
              else        -> plan -> a Representation is made and remembered -> answer
    try_      the same with an application behind: None where no file is here (criterion C9)

Two clocks. What a file alone decides (ETag, type, the whole answer with its encoded head, its 304, its neighbours in
other codings) is made with its Representation and kept under the path. What a request decides is: one lookup, one stat
of the path as asked for (C14), and whether it brings a field of `CONDITIONAL`. What one stat cannot see, a link above
the file or a neighbour that came or went, is looked at again when the entry is a second old (`TRUSTED`).

It knows neither the wire nor the route. Paths that only an application knows are remembered as absent, by the names of
the files that would change that. Runs on the loop; a listing, and the hash of a large file without a date, are made on
a thread.
"""

from __future__ import annotations

import os
import time
from collections.abc import Awaitable, Mapping
from functools import partial
from hashlib import blake2b
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import quote

import trio

from edgestack.codecs import Coder
from edgestack.content import listing
from edgestack.content.coded import Uncoded, choose, codable, make, merged
from edgestack.content.files import Folder, Place, PrivateFiles, Signature
from edgestack.content.parts import in_part
from edgestack.content.representation import Changed, Form, Representation, content, digest
from edgestack.errors import ClientError, Refused
from edgestack.http.bodies import FileSegment
from edgestack.http.conditional import CONDITIONAL, evaluate, undated
from edgestack.http.media_types import media_type
from edgestack.http.messages import Exchange, FieldPairs, Request, Response
from edgestack.http.remembered import Remembered
from edgestack.wire.held_clock import on_thread
from edgestack.wire.shared_work import SharedWork

if TYPE_CHECKING:
    from edgestack.config import model

__all__ = ["Static"]

READS = frozenset(["GET", "HEAD"])
ALLOW = (("Allow", "GET, HEAD"),)
MEMORY = 64 << 20
"""Bytes of files in memory, in two generations."""
ABSENCES = 8192
"""Paths remembered as absent, in two generations: at most some 8 MiB."""
LONGEST_PATH = 256
"""Characters; a longer path is looked up anew each time, so that hostile ones cost no memory."""
TRUSTED = 1.0
"""Seconds for which an entry needs no look beyond its own stat."""
LOOKS = 5
"""Times to look again at a file that changes under our eyes. A log with a thousand writes a second changes within the
50 µs of a look in one of twenty."""
REDIRECT_AGE = 3600
"""Seconds for which a 301 to the slash may be kept; without a number it is kept for ever (RFC 9110 §15.4.2)."""
DIGESTS = 1024
"""Hashes of large files without a date that are remembered."""
CODINGS = {"zstd": b".zst", "br": b".br", "gzip": b".gz"}
"""Content codings in the server's order of preference, and the ending of a neighbour that holds them (C13)."""


class Undigested(Exception):
    """An ETag needs the hash of a file too large to be read on the loop."""

    def __init__(self, place: Place) -> None:
        self.place = place


class Absent:
    """That no file is at a path, and what must be looked at to say so again."""

    __slots__ = ("probes", "remains", "until", "weight")

    def __init__(self, probes: tuple[bytes, ...], remains: bytes, until: float) -> None:
        self.probes = probes
        self.remains = remains
        self.until = until
        self.weight = 1


Entry = TypeVar("Entry", Representation, Absent)


class Table(Remembered[str, "Entry | None"]):
    """Entries by normal path; a path that is not known gives None."""

    __slots__ = ()

    def make(self, key: str) -> None:
        return None

    def weigh(self, key: str, value: Entry | None) -> int:
        return value.weight if value is not None else 0

    def keep(self, key: str, value: Entry) -> None:
        """Remember `value` in the place of what was remembered."""
        self.forget(key)
        if len(key) <= LONGEST_PATH:
            self.old[key] = value
            self[key]  # moves it into the young generation, and counts it
            self.old.pop(key, None)

    def forget(self, key: str) -> None:
        """Remember nothing under `key`."""
        gone = self.pop(key, None)
        if gone is not None:
            self.spent -= gone.weight
        self.old.pop(key, None)


class Static:
    """The handler of a `static` section."""

    def __init__(
        self,
        section: model.Static,
        prefix: str = "/",
        dev: bool = False,
        private: PrivateFiles | None = None,
        types: Mapping[str, str] | None = None,
        coder: Coder | None = None,
    ) -> None:
        """
        :param prefix: where it is mounted; stripped from the path, as nginx's `alias` does.
        :param dev: development: nothing is to be stored by anybody.
        :param private: what the server itself opens and therefore never serves.
        :param types: extensions (lower case, without a dot) of the user's own, before the table's.
        :param coder: makes files in the codings that clients take; None where only neighbours do.
        """
        self.folder = Folder(
            section.root, section.index, section.listing, section.follow_symlinks, private or PrivateFiles()
        )
        self._mount = len(prefix.rstrip("/"))
        cache_control = "no-store" if dev else section.cache_control
        self._shared: FieldPairs = (("Cache-Control", cache_control),) if cache_control else ()
        self._dev = dev
        self._types = types
        self._coder = coder
        self._coding: SharedWork[bytes] = SharedWork()
        self._files: Table[Representation] = Table(MEMORY // 2)
        self._absent: Table[Absent] = Table(ABSENCES // 2)
        self._digests: dict[Signature, str] = {}
        self._digesting = trio.Lock()

    def plan(self, exchange: Exchange) -> Place:
        """What the path of the request names: a file, a listing, a redirect or an error. Nothing is opened."""
        path = exchange.request.path
        if path.encoded_slash:
            return Place("nothing", status=404, why="an encoded slash or backslash", probes=())
        return self.folder.locate(path.normal[self._mount :])

    def __call__(self, exchange: Exchange) -> Response | Awaitable[Response]:
        """The answer.

        :raises ClientError: 403, 404, 405 with Allow, 412, 416 with Content-Range.
        :raises Refused: 503, when descriptors have run out or a file changes faster than it can be read.
        """
        if exchange.request.method in READS:
            return self._remembered(exchange) or self._afresh(exchange, self.plan(exchange))
        raise ClientError("This address can only be read.", 405, fields=ALLOW)

    def try_(self, exchange: Exchange) -> Response | Awaitable[Response] | None:
        """The answer where a GET or HEAD meets a file, or a folder with an index; None leaves it to the application.

        :raises ClientError: 412 and 416, which are about a file that is here.
        """
        request = exchange.request
        if request.method not in READS or request.path.encoded_slash:
            return None
        normal = request.path.normal
        absent = self._absent.get(normal)
        if absent is not None and exchange.started < absent.until:
            for probe in absent.probes:
                if os.access(probe, os.F_OK):
                    break
            else:
                if not absent.remains or os.access(absent.remains, os.F_OK):
                    return None
        return self._remembered(exchange) or self._try_afresh(exchange)

    def _remembered(self, exchange: Exchange) -> Response | Awaitable[Response] | None:
        """The hot path: a known file, unchanged by its stat. None asks for a new look."""
        request = exchange.request
        path = request.path
        known = self._files[path.normal]
        if known is None or exchange.started >= known.until or path.encoded_slash:
            return None
        try:
            now = os.stat(known.filename)
        except OSError:
            return None
        # the ctime moves with each change of content, date or rights, and cannot be set: it speaks for the rest
        if now.st_ctime_ns != known.ctime or now.st_ino != known.ino or now.st_size != known.size:
            return None
        if known.ready is not None and not request.conditional:
            return known.ready
        if not request.conditional and (form := known.forms.get(request.fields.get("accept-encoding", ""))) is not None:
            return form
        try:
            return self._answer(known, request)
        except Changed:
            return None
        except Uncoded as missing:
            return self._coded(exchange, missing)

    def _try_afresh(self, exchange: Exchange) -> Response | Awaitable[Response] | None:
        place = self.plan(exchange)
        if place.kind == "file":
            try:
                return self._afresh(exchange, place)
            except ClientError as error:
                if error.status in (403, 404):
                    return None
                raise
        normal = exchange.request.path.normal
        self._files.forget(normal)
        if place.probes is not None:
            self._absent.keep(normal, Absent(place.probes, place.remains, exchange.started + TRUSTED))
        return None

    def _afresh(self, exchange: Exchange, place: Place) -> Response | Awaitable[Response]:
        """The answer to what was just looked at; what it takes is made and remembered."""
        request = exchange.request
        for _ in range(LOOKS):
            if place.kind != "file":
                self._files.forget(request.path.normal)
                return self._unfiled(place, request)
            try:
                return self._answer(self._entry(request.path.normal, place, exchange.started), request)
            except Undigested as missing:
                return self._digested(exchange, missing.place)
            except Uncoded as missing:
                return self._coded(exchange, missing)
            except Changed:
                place = self.plan(exchange)
        raise Refused("This file is changing at the moment.", 503, retry_after=1)

    def _unfiled(self, place: Place, request: Request) -> Response | Awaitable[Response]:
        """A redirect to the path with a slash, a listing, or the error."""
        if place.kind == "slash":
            # from the normal path, whose slashes are merged: a Location of "//evil" would name another host (C7)
            location = quote(request.path.normal, "/:@!$&'()*+,;=~", "utf-8", "surrogateescape") + "/"
            location += f"?{request.query}" if "?" in request.target else ""
            fields = (
                ("Location", location),
                ("Content-Type", "text/plain; charset=utf-8"),
                ("Cache-Control", "no-store" if self._dev else f"max-age={REDIRECT_AGE}"),
            )
            return Response(301, fields, f"This is at {location}\n".encode("latin-1"))
        if place.kind == "listing":
            return listing.answer(self.folder, place, request, self._mount, self._dev)
        public = "This address is not open to readers." if place.status == 403 else ""
        raise ClientError(public, place.status, detail=place.why)

    def _entry(self, normal: str, place: Place, started: float) -> Representation:
        """The representation of a file: the remembered one if nothing about it changed, else a new one."""
        known = self._files[normal]
        neighbours = self._neighbours(place)
        seen = {coding: beside.signature for coding, beside in neighbours.items()}
        if (
            known is None
            or (known.signature, known.real, known.neighbours) != (place.signature, place.real, seen)
            or known.future
            or any(coded.weak for coded in known.codings.values())
        ):
            known = self._represent(place, neighbours)
            self._files.forget(normal)
        if known.weak and not known.future:
            return known  # not remembered: a second from now it is strong
        known.until = started + TRUSTED
        if self._files[normal] is not known:
            self._files.keep(normal, known)
        return known

    def _neighbours(self, place: Place) -> dict[str, Place]:
        """The files beside `place` that hold it in another coding and are at least as new (C13)."""
        found = {}
        for coding, ending in CODINGS.items():
            beside = self.folder.beside(place, ending)
            if beside is not None and beside.mtime >= place.mtime:
                found[coding] = beside
        return found

    def _represent(self, place: Place, neighbours: dict[str, Place]) -> Representation:
        """Read what is small, and make everything that follows from the file alone."""
        media = media_type(os.fsdecode(place.filename), self._types)
        offered = merged(tuple(neighbours), codable(self._coder, media, place.signature[2], self._shared))
        shared = (*self._shared, ("Vary", "Accept-Encoding")) if offered else self._shared
        made = partial(self._one, media=media, shared=shared, now=time.time_ns())
        identity = made(place, "")
        identity.join({coding: made(beside, coding) for coding, beside in neighbours.items()}, offered)
        return identity

    def _one(self, place: Place, coding: str, media: str, shared: FieldPairs, now: int) -> Representation:
        file, data = content(place)
        hashed = ""
        if undated(place.mtime):
            if data is None and place.signature not in self._digests:
                raise Undigested(place)
            hashed = self._digests[place.signature] if data is None else blake2b(data, digest_size=16).hexdigest()
        return Representation(place, file, data, hashed, coding, media, shared, now)

    async def _digested(self, exchange: Exchange, place: Place) -> Response:
        """The answer, after the hash of `place` was taken on a thread; one at a time, and the others wait for it."""
        state = place.signature
        async with self._digesting:
            if state not in self._digests:
                if len(self._digests) >= DIGESTS:
                    self._digests.clear()
                try:
                    taken = await on_thread(digest, place.real, state, abandon_on_cancel=True)
                except Changed:
                    raise Refused("This file is changing at the moment.", 503, retry_after=1) from None
                self._digests[state] = taken
        answer = self._afresh(exchange, self.plan(exchange))
        return answer if isinstance(answer, Response) else await answer

    def _answer(self, known: Representation, request: Request) -> Response:
        """What one request gets of a file: 200, 206, 304; 412 and 416 are raised (RFC 9110 §13.2.2)."""
        fields = request.fields
        chosen: Representation | Form = known
        if known.offered:
            chosen = choose(known, request, self._coder, self._take)
        if not CONDITIONAL.isdisjoint(fields):
            status = evaluate(request.method, fields, chosen.etag, chosen.modified)
            if status == 304:
                return chosen.not_modified
            if status == 412:
                raise ClientError("This file is not the one that you named.", 412)
            if "range" in fields and request.method == "GET":  # for no other method is it defined (RFC 9110 §14.2)
                response = in_part(chosen, fields) if isinstance(chosen, Representation) else None
                if response is not None:
                    return response
        if request.method == "HEAD":
            return chosen.bare
        if isinstance(chosen, Form):
            return chosen.whole
        if chosen.whole is not None:
            return chosen.whole
        return Response(200, chosen.fields, FileSegment(chosen.opened(), 0, chosen.size, chosen.data), chosen.size)

    def _take(self, known: Representation, coding: str, form: Form | None, normal: str) -> None:
        """Keep a form beside its file, and count it with that."""
        remembered = self._files[normal] is known
        if remembered:
            self._files.forget(normal)
        known.take(coding, form)
        if remembered:
            self._files.keep(normal, known)

    async def _coded(self, exchange: Exchange, missing: Uncoded) -> Response:
        """The answer, after a form was made on a thread; those who want the same one wait for it."""
        known, coding, request = missing.known, missing.codec.coding, exchange.request
        try:
            data = await self._coding.result((known.real, known.signature, coding), partial(make, known, missing.codec))
        except Changed:
            answer = self._afresh(exchange, self.plan(exchange))
            return answer if isinstance(answer, Response) else await answer
        if coding not in known.made:
            self._take(known, coding, Form(known, coding, data) if data else None, request.path.normal)
        return self._answer(known, request)
