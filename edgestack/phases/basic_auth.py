"""Asks for a password: Basic authentication (RFC 7617; nginx: ngx_http_auth_basic_module).

    no credentials -> 401 with WWW-Authenticate, at once
    known and not older than 60 s -> on, at once            not known -> a thread checks -> on, or 401

What is remembered is a keyed hash of name, password and stored hash, never the password: so a changed line of the file
holds at once, and the table is worthless outside of this process. Requests that bring the same credentials at the same
time share one check, and only so many checks are waited for. A name that nobody has costs what a wrong password does.
The file is looked at by stat with each request and read again when it changed; when it cannot be read nobody gets in.
"""

from __future__ import annotations

import binascii
import logging
import os
from base64 import b64decode
from collections.abc import Callable
from hashlib import blake2b
from typing import NoReturn

import trio

from edgestack.config.model import BasicAuth
from edgestack.errors import EdgeError, Refused
from edgestack.http.jumps import Jump
from edgestack.http.messages import Answer, AppCall, Exchange, Handler, Response, settled
from edgestack.kept import Keep, anew
from edgestack.phases.passwords import LONGEST, read_passwords, trouble, verify
from edgestack.phases.subrequest import Subrequest
from edgestack.wire.held_clock import on_thread

__all__ = ["Guard", "PasswordFile", "Verdicts", "basic_auth"]

REMEMBERED = 60.0
"""Seconds for which a verdict holds."""
MOST = 4096
"""Verdicts of either kind: some 500 KiB."""
CHECKS = 2
"""Threads that check at the same time: scrypt takes 32 MiB and a whole core."""
WAITING = 64
"""Checks that may be waited for; beyond it 503. At 0.2 s each and two at a time the last one waits six seconds."""
MOST_FILE = 16 * 1024 * 1024

log = logging.getLogger("edgestack.error")


class PasswordFile:
    """Names and hashes, as the file has them now."""

    __slots__ = ("_mark", "_path", "entries")

    def __init__(self, path: str) -> None:
        self._path = path
        self._mark: tuple[int, int, int] | None = None
        self.entries: dict[str, str] = {}

    def look(self) -> None:
        """Read it again if it has changed.

        :raises EdgeError: 500, it cannot be read.
        """
        try:
            seen = os.stat(self._path)
            mark = (seen.st_mtime_ns, seen.st_size, seen.st_ino)
            if mark == self._mark:
                return
            with open(self._path, encoding="utf-8-sig", errors="surrogateescape") as file:
                self.entries = read_passwords(file.read(MOST_FILE))
        except OSError as error:
            self._mark = None
            raise EdgeError("The password file cannot be read.", 500, detail=str(error)) from None
        self._mark = mark
        for name, stored in self.entries.items():
            why = trouble(stored)
            if why:
                log.warning("%s: %s cannot log in: %s", self._path, name, why)


class Verdicts:
    """What was checked, and what is being checked. Outlives a reload. On the loop."""

    __slots__ = ("_bad", "_good", "_secret", "limiter", "pending")

    def __init__(self) -> None:
        self._secret = os.urandom(32)
        self._good: dict[bytes, float] = {}
        self._bad: dict[bytes, float] = {}
        self.pending: dict[bytes, trio.Event] = {}
        self.limiter = trio.CapacityLimiter(CHECKS)

    def key(self, user: bytes, password: bytes, stored: str) -> bytes:
        """What stands for these three."""
        told = b"%d:%d:%b%b%b" % (len(user), len(password), user, password, stored.encode("utf-8", "surrogateescape"))
        return blake2b(told, key=self._secret, digest_size=24).digest()

    def known(self, key: bytes, now: float) -> bool | None:
        """The verdict, if it still holds."""
        for table, verdict in ((self._good, True), (self._bad, False)):
            until = table.get(key)
            if until is not None:
                if now < until:
                    return verdict
                del table[key]
        return None

    def note(self, key: bytes, verdict: bool, now: float) -> None:
        """Remember it; the oldest of its kind gives way, so that guesses push no good one out."""
        table = self._good if verdict else self._bad
        table.pop(key, None)
        if len(table) >= MOST:
            del table[next(iter(table))]
        table[key] = now + REMEMBERED


class Guard:
    """The wrap."""

    __slots__ = ("_challenge", "_file", "_verdicts", "_verify")

    def __init__(
        self, section: BasicAuth, file: PasswordFile, verdicts: Verdicts, verify: Callable[[bytes, str], bool] = verify
    ) -> None:
        """:param verify: whether a password fits a stored hash; slow, called on a thread."""
        realm = section.realm.replace("\\", "\\\\").replace('"', '\\"')
        self._challenge = (("WWW-Authenticate", f'Basic realm="{realm}", charset="UTF-8"'),)
        self._file = file
        self._verdicts = verdicts
        self._verify = verify

    def __call__(self, handler: Handler) -> Handler:
        """The handler behind the password."""

        def guarded(exchange: Exchange) -> Answer:
            if isinstance(exchange, Subrequest):
                return handler(exchange)
            user, password = self._sent(exchange)
            key, stored = self._asked(user, password)
            verdict = self._verdicts.known(key, exchange.started)
            if verdict is None:
                return self._later(handler, exchange, key, password, stored, user)
            if not verdict:
                self._refuse(f"a wrong password for {user!r}")
            return handler(exchange)

        return guarded

    def describe(self, exchange: Exchange) -> str:
        """What it would say, as far as it is known without a check."""
        try:
            user, password = self._sent(exchange)
        except Refused:
            return "no credentials: refused with 401"
        verdict = self._verdicts.known(self._asked(user, password)[0], exchange.started)
        said = {None: "the password would be checked", True: "let in", False: "refused with 401"}
        return f"{user.decode('utf-8', 'replace')!r}: {said[verdict]}"

    def foresee(self, exchange: Exchange) -> None:
        """Refuse what is refused without a check, as `explain` asks.

        :raises Refused: no credentials, none that can be read, or a password that was found wrong a moment ago.
        """
        user, password = self._sent(exchange)
        if self._verdicts.known(self._asked(user, password)[0], exchange.started) is False:
            self._refuse(f"a wrong password for {user!r}")

    def _sent(self, exchange: Exchange) -> tuple[bytes, bytes]:
        """Name and password of the request."""
        scheme, _, token = exchange.request.fields.get("authorization", "").partition(" ")
        if scheme.lower() != "basic":
            self._refuse("no credentials")
        try:
            user, colon, password = b64decode(token.strip(), validate=True).partition(b":")
        except (binascii.Error, ValueError):
            user = colon = password = b""
        if not colon or len(password) > LONGEST or len(user) > LONGEST:
            self._refuse("credentials that cannot be read")
        return user, password

    def _asked(self, user: bytes, password: bytes) -> tuple[bytes, str]:
        """The key of the verdict, and the hash to check against: "" for a name that nobody has."""
        self._file.look()
        stored = self._file.entries.get(user.decode("utf-8", "surrogateescape"), "")
        return self._verdicts.key(user, password, stored), stored

    def _refuse(self, why: str) -> NoReturn:
        raise Refused("A name and a password are needed here.", 401, fields=self._challenge, detail=why)

    async def _later(
        self, handler: Handler, exchange: Exchange, key: bytes, password: bytes, stored: str, user: bytes
    ) -> Response | AppCall | Jump:
        if not await self._check(key, password, stored, exchange.started):
            self._refuse(f"a wrong password for {user!r}")
        return await settled(handler(exchange))

    async def _check(self, key: bytes, password: bytes, stored: str, now: float) -> bool:
        """Check on a thread, or wait for whoever checks the same; if he leaves before, take his place."""
        verdicts = self._verdicts
        while key in verdicts.pending:
            await verdicts.pending[key].wait()
            verdict = verdicts.known(key, now)
            if verdict is not None:
                return verdict
        if len(verdicts.pending) >= WAITING:
            raise Refused("Too many passwords are being checked.", 503, retry_after=2)
        verdicts.pending[key] = done = trio.Event()
        try:
            against = stored or next(iter(self._file.entries.values()), "")
            right = await on_thread(self._verify, password, against, limiter=verdicts.limiter)
            verdict = right and bool(stored)
            verdicts.note(key, verdict, trio.current_time())
            return verdict
        finally:
            del verdicts.pending[key]
            done.set()


def basic_auth(section: BasicAuth | None, keep: Keep = anew) -> Guard | None:
    """The wrap for `basic_auth`; None without one."""
    if section is None:
        return None
    file = keep(("passwords", section.file), lambda: PasswordFile(str(section.file)))
    return Guard(section, file, keep(("verdicts", section.file), Verdicts))
