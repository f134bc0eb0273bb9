"""What a test edge looks at besides the answers: guards, each with a name, each of which can be switched off.

    pep3333          the application breaks PEP 3333 where the edge itself would forgive it (pep3333.py)
    unclosed         an iterable that an application returned was never closed
    content-length   an application announced another length than it gave
    set-cookie       an answer that caches may give to others sets a cookie
    threads          a thread that began during the test is alive at its end

The first three know WSGI alone, and leave ASGI applications be.

A guard changes nothing that a client sees: it notes a finding, and whoever runs the edge raises `GuardError` at the
end. Thread-safe.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Collection, Iterable

from edgestack.http.messages import Exchange

__all__ = ["GUARDS", "Findings", "GuardError", "ThreadWatch", "chosen", "look_at_cookies"]

GUARDS = frozenset(("pep3333", "unclosed", "content-length", "set-cookie", "threads"))
"""All of them."""
FROM_STORE = frozenset(("HIT", "STALE", "UPDATING", "REVALIDATED"))
"""What `Record.cache` says of answers that others have got as well."""
PATIENCE = 1.0
"""Seconds that threads may take to their end once the test is over: a stop that was asked for is on its way."""
LOOK = 0.01
"""Seconds between two looks at one."""
OWN = re.compile(
    r"edgestack (test loop|files)$|app-\d+$|Trio thread |trio-|pymonitor|pydevd|ThreadManager|execnet|pytest_timeout"
)
"""Names of threads that are the edge's, trio's (idle ones go by themselves), or of whoever runs the tests."""
SHARED = re.compile(r"(?:^|,)\s*(?:public|s-maxage\s*=\s*\"?[1-9])", re.IGNORECASE)


class GuardError(AssertionError):
    """What the guards have found; `str()` names each guard."""


class Findings:
    """What was found."""

    def __init__(self, guards: frozenset[str]) -> None:
        """:param guards: those that are on."""
        self.guards = guards
        self._found: list[str] = []
        self._errors: list[Exception] = []

    def failed(self, error: Exception) -> None:
        """A function of the test's, called in the edge's loop, raised this. On any thread."""
        where = error.__traceback__
        while where is not None and where.tb_next and where.tb_frame.f_globals.get("__package__") == __package__:
            where = where.tb_next  # the test's own lines are those that matter
        self._errors.append(error.with_traceback(where))

    def raised(self) -> list[Exception]:
        """What such functions raised; told by whoever asks, and so not raised any more."""
        errors, self._errors = self._errors, []
        return errors

    def add(self, guard: str, what: str) -> None:
        """One more, said once however often it is found."""
        text = f"[{guard}] {what}"
        if guard in self.guards and text not in self._found:
            self._found.append(text)

    def check(self) -> None:
        """Tell what was found, once.

        :raises GuardError: something was.
        :raises Exception: what a function of the test's raised; several of them as an ExceptionGroup.
        """
        __tracebackhide__ = True
        errors = self.raised()
        if len(errors) > 1:
            raise ExceptionGroup("functions of scripted upstreams failed", errors)
        if errors:
            raise errors[0]
        found, self._found = self._found, []
        if found:
            raise GuardError("\n".join(found))


def chosen(guards: bool | Iterable[str]) -> frozenset[str]:
    """Those that are on: all, none, or these.

    :raises ValueError: there is none of that name.
    """
    if isinstance(guards, bool):
        return GUARDS if guards else frozenset()
    names = frozenset(guards)
    if names - GUARDS:
        raise ValueError(f"there is no guard {min(names - GUARDS)!r}; there are {', '.join(sorted(GUARDS))}")
    return names


def look_at_cookies(exchange: Exchange, findings: Findings) -> None:
    """The guard of shared answers: RFC 9111 §7.3 lets caches store Set-Cookie with the answer that has it."""
    head = getattr(exchange, "head", b"").lower()
    if b"\r\nset-cookie:" not in head:
        return
    request = exchange.request
    came = exchange.cached[0] if hasattr(exchange, "cached") else ""
    if came in FROM_STORE:
        findings.add(
            "set-cookie", f"{request.method} {request.target}: Set-Cookie on an answer from the cache ({came})"
        )
    values = re.findall(rb"\r\n(?:cdn-)?cache-control:([^\r]*)", head)
    if any(SHARED.search(value.decode("latin-1")) for value in values):
        why = "Set-Cookie on an answer that Cache-Control gives to shared caches"
        findings.add("set-cookie", f"{request.method} {request.target}: {why}")


class ThreadWatch:
    """The threads that there were before."""

    def __init__(self) -> None:
        self._before = set(threading.enumerate())

    def check(self, findings: Findings, own: Collection[threading.Thread] = ()) -> None:
        """Those that are more now, after some patience.

        :param own: threads of the edge itself.
        """
        if "threads" not in findings.guards:
            return
        until = time.monotonic() + PATIENCE
        for thread in threading.enumerate():
            if thread in self._before or thread in own or OWN.match(thread.name):
                continue
            while thread.is_alive() and time.monotonic() < until and not OWN.match(thread.name):
                thread.join(LOOK)
            if thread.is_alive() and not OWN.match(thread.name):  # trio's bear the name of their job until it is done
                findings.add("threads", f"the thread {thread.name!r} began during the test and is alive at its end")
