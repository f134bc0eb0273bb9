"""PEP 3333 as a guard between the edge and an application: as strict as `wsgiref.validate`, but frameworks may run.

    guarded(application)                      for an application inside another: findings are raised there and then
    Guarded(application, findings)            for a test edge: findings are kept

Beyond the rules of `wsgiref.validate` (it names them) it counts: Content-Length against what came, calls of `close()`.
It allows `wsgi.input.read()` without a size, which Werkzeug uses where `wsgi.input_terminated` is set, and passes a
wrapped file on as it is, so that a file takes the road that it takes in production.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from weakref import WeakSet

from edgestack.content.file_wrapper import FileWrapper
from edgestack.testing.guards import GUARDS, Findings

__all__ = ["Guarded", "check_inside", "guarded"]

BARE = ("204", "304")
STATUS = re.compile(r"[1-5][0-9][0-9] .*", re.DOTALL)
NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]*[!#$%&'*+.^`|~0-9A-Za-z]")
"""A token (RFC 9110 §5.6.2) that does not end in `-` or `_`, which validate refuses."""
CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


def guarded(application: Callable[..., Any]) -> Callable[..., Iterable[bytes]]:
    """An application that is watched wherever it is called: inside a middleware that a test edge serves, for instance.

    What is found is raised as `GuardError` from the call that it is found in, which makes a 500 of it; an iterable that
    the caller never closes is told by the edge that ends next.
    """
    return Guarded(application, Findings(GUARDS), at_once=True)


class Guarded:
    """A watched application."""

    def __init__(self, application: Callable[..., Any], findings: Findings, *, at_once: bool = False) -> None:
        """:param at_once: raise what is found, where it is found."""
        self.application = application
        self.findings = findings
        self._at_once = at_once
        self.open: set[_Watched] = set()
        """Iterables that were returned, and not closed so far."""
        if at_once:
            _inside.add(self)

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Call the application."""
        call = _Call(self, environ, start_response)
        result = self.application(call.environ(), call.start_response)
        watched: Iterable[bytes] = call.watched(result)
        return watched

    def __getattr__(self, name: str) -> Any:
        return getattr(self.application, name)

    def found(self, guard: str, what: str) -> None:
        """Note a finding.

        :raises GuardError: where that is to be done at once.
        """
        self.findings.add(guard, what)
        if self._at_once:
            self.findings.check()

    def check(self, findings: Findings | None = None) -> None:
        """The end: what was never closed."""
        unclosed, self.open = self.open, set()
        for one in unclosed:
            (findings or self.findings).add("unclosed", f"{one.call.what}: close() of the iterable was never called")
        if findings is None and self._at_once:
            self.findings.check()


_inside: WeakSet[Guarded] = WeakSet()
"""Those of `guarded`: they belong to no edge, so the next that ends asks them all."""


def check_inside(findings: Findings) -> None:
    """What is still open of applications inside others."""
    for one in list(_inside):
        one.check(findings)


class _Call:
    """One call."""

    def __init__(self, guard: Guarded, environ: dict[str, Any], start_response: Callable[..., Any]) -> None:
        self._guard = guard
        self._environ = environ
        self._start_response = start_response
        self.method = environ.get("REQUEST_METHOD", "")
        self.what = f"{self.method} {environ.get('PATH_INFO', '')}"
        self.status = ""
        self.announced: int | None = None
        self.came = 0

    def found(self, what: str, guard: str = "pep3333") -> None:
        """Note a finding of this call."""
        self._guard.found(guard, f"{self.what}: {what}")

    def environ(self) -> dict[str, Any]:
        """With streams that are watched."""
        environ = self._environ
        if type(environ) is not dict:
            self.found(f"environ must be a dict, and is {type(environ).__name__}")
        environ["wsgi.input"] = _Stream(environ["wsgi.input"], self, "wsgi.input")
        environ["wsgi.errors"] = _Stream(environ["wsgi.errors"], self, "wsgi.errors")
        return environ

    def start_response(self, *said: Any, **named: Any) -> Callable[[bytes], Any]:
        """The application's start_response, checked and passed on."""
        if named or len(said) not in (2, 3):
            self.found("start_response takes (status, headers) or (status, headers, exc_info), by position")
        status, headers, exc_info = (*said, None, None, None)[:3]
        if self.status and exc_info is None:
            self.found("start_response was called a second time without exc_info")
        self._look_at_status(status)
        self._look_at_fields(status, headers)
        if exc_info is not None and not isinstance(exc_info, tuple):
            self.found(f"exc_info must be a tuple, and is {type(exc_info).__name__}")
        self.status = str(status)
        write = self._start_response(*said, **named)

        def checked(data: bytes) -> Any:
            if type(data) is not bytes:
                self.found(f"write() takes bytes, and was given {type(data).__name__}")
            self.came += len(data)
            return write(data)

        return checked

    def _look_at_status(self, status: Any) -> None:
        if type(status) is not str:
            self.found(f"the status must be a str, and is {type(status).__name__}")
        elif not STATUS.fullmatch(status):
            self.found(f"the status {status!r} is not three digits, a space, and a reason")

    def _look_at_fields(self, status: Any, headers: Any) -> None:
        if type(headers) is not list:
            self.found(f"the headers must be a list, and are {type(headers).__name__}")
            headers = list(headers) if isinstance(headers, tuple) else []
        names: list[str] = []
        for pair in headers:
            if type(pair) is not tuple or len(pair) != 2 or not all(isinstance(one, str) for one in pair):
                self.found(f"a header must be a tuple of two str, and is {pair!r}")
                continue
            name, value = pair
            names.append(name.lower())
            if not NAME.fullmatch(name) or name.lower() == "status":
                self.found(f"a header may not be called {name!r}")
            if CONTROL.search(value):
                self.found(f"the header {name} has control characters: {value!r}")
            if name.lower() == "content-length" and value.strip().isdigit():
                self.announced = int(value)
        bare = str(status)[:3] in BARE
        if bare and "content-type" in names:
            self.found(f"Content-Type on an answer without a body ({status})")
        if not bare and "content-type" not in names:
            self.found(f"no Content-Type on an answer with the status {status}")

    # -- the iterable --------------------------------------------------------------------------------------------------

    def watched(self, result: Any) -> Any:
        """What the application returned, watched where there is something to watch."""
        if isinstance(result, str | bytes):
            self.found(f"the application returned {type(result).__name__}: an iterable of bytes is asked for")
            return result
        if isinstance(result, FileWrapper):
            return result
        if type(result) in (list, tuple):
            for piece in result:
                self.look_at(piece)
            self.over(exhausted=True)
            return result
        if not hasattr(result, "__iter__") and not hasattr(result, "__getitem__"):
            self.found(f"the application returned {type(result).__name__}, which cannot be iterated")
            return result
        watched = _Watched(result, self, self._guard)
        self._guard.open.add(watched)
        return watched

    def look_at(self, piece: Any) -> None:
        """One piece of the body."""
        if type(piece) is not bytes:
            self.found(f"a piece of the body must be bytes, and is {type(piece).__name__}")
            return
        self.came += len(piece)
        if not self.status:
            self.found("a piece of the body came before start_response was called")

    def over(self, *, exhausted: bool) -> None:
        """The end of the body, or of what was wanted of it."""
        if not self.status:
            if exhausted:
                self.found("the body ended and start_response was never called")
            return
        announced, came = self.announced, self.came
        if announced is None or self.method == "HEAD" or self.status[:3] in BARE:
            return
        if came > announced or (exhausted and came < announced):
            self.found(f"Content-Length said {announced} bytes, and {came} came", "content-length")


class _Watched:
    """An iterable that somebody must close."""

    def __init__(self, inner: Any, call: _Call, guard: Guarded) -> None:
        self._inner = inner
        self.call = call
        self._guard = guard
        self._iterator: Iterator[Any] | None = None
        self._closed = False

    def __iter__(self) -> _Watched:
        return self

    def __next__(self) -> Any:
        if self._closed:
            self.call.found("the iterable was iterated after close()")
        if self._iterator is None:
            self._iterator = iter(self._inner)
        try:
            piece = next(self._iterator)
        except StopIteration:
            self.call.over(exhausted=True)
            raise
        self.call.look_at(piece)
        return piece

    def close(self) -> None:
        """Close what the application returned."""
        if self._closed:
            self.call.found("close() of the iterable was called twice")
        self._closed = True
        self._guard.open.discard(self)
        self.call.over(exhausted=False)
        close = getattr(self._inner, "close", None)
        if close is not None:
            close()


class _Stream:
    """`wsgi.input` or `wsgi.errors`, which are not the application's to close."""

    def __init__(self, inner: Any, call: _Call, name: str) -> None:
        self._inner = inner
        self._call = call
        self._name = name

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._inner)

    def write(self, text: Any) -> Any:
        """To the error log."""
        if type(text) is not str:
            self._call.found(f"{self._name}.write() takes str, and was given {type(text).__name__}")
        return self._inner.write(text)

    def close(self) -> None:
        """Refused."""
        self._call.found(f"{self._name}.close() was called: it is the server's")
