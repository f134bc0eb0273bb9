"""A call on a green thread has a limit until its answer begins; here a timer that is raised when the test says so."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

from edgestack.hosting.bounded import Bound
from edgestack.hosting.order import Order
from edgestack.hosting.restored import Restored
from edgestack.http.facts import Facts
from edgestack.http.hop import FAILED, told
from edgestack.http.messages import Exchange, Request
from edgestack.http.target import read_path


class Timer(BaseException):
    """As in gevent: no `Exception`."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.on = True

    def cancel(self) -> None:
        self.on = False

    def pass_by(self) -> None:
        """Time is over."""
        if self.on:
            raise self


class Call:
    """One call of an application, and what came of it."""

    def __init__(self, application: Callable[..., Iterable[bytes]], timeout: float = 30, **more: str) -> None:
        self.timers: list[Timer] = []
        self.status = ""
        self.fields: list[tuple[str, str]] = []
        self.body = b""
        order = Order("gevent", "a:b", "", -1, -1, "", "ids", timeout=timeout)
        request = Request("GET", "/", "HTTP/1.1", [], {}, read_path("/"), "", "h", True)
        hop = told(Exchange(Facts("192.0.2.1", 4711, "::1", 8443, "https"), request, 7, 0.0), "")
        environ = {"REQUEST_METHOD": "GET", "RAW_URI": "/", "HTTP_X_EDGESTACK_HOP": hop, "timers": self.timers, **more}
        Restored(application, order, Bound(order, self._start))(environ, self._start_response)

    def _start(self, seconds: float) -> Timer:
        self.timers.append(Timer(seconds))
        return self.timers[-1]

    def _start_response(self, status: str, fields: list[tuple[str, str]]) -> Callable[[bytes], Any]:
        self.status, self.fields = status, fields
        return self._write

    def _write(self, data: bytes) -> None:
        self.body += data


def waits(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """For too long, before it says anything."""
    try:
        for timer in environ["timers"]:
            timer.pass_by()
    except Exception:  # the library's timeout is none
        return [b"swallowed"]
    start_response("200 OK", [])
    return [b"done"]


def waits_in_its_answer(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
    """Behind a piece that is empty: that is no beginning."""
    start_response("200 OK", [])
    yield b""
    environ["timers"][0].pass_by()


def goes_on(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
    """It has begun; it may take as long as it likes."""
    start_response("200 OK", [])
    yield b"one, "
    environ["timers"][0].pass_by()
    yield b"two"


def writes(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """The same by PEP 3333's `write`."""
    start_response("200 OK", [])(b"one, ")
    environ["timers"][0].pass_by()
    return [b"two"]


@pytest.mark.parametrize("application", [waits, waits_in_its_answer])
def test_who_does_not_begin_is_ended(
    application: Callable[..., Iterable[bytes]], caplog: pytest.LogCaptureFixture
) -> None:
    """A 504 that is marked; in the log is where it waited."""
    call = Call(application)
    assert [timer.seconds for timer in call.timers] == [32]
    assert call.status == "504 Gateway Timeout"
    assert (FAILED, "1") in call.fields
    (record,) = caplog.records
    assert "the application gave no answer within 32 s and was ended:\n" in record.getMessage()
    assert f"in {application.__name__}" in record.getMessage()


@pytest.mark.parametrize("application", [goes_on, writes])
def test_what_has_begun_is_never_cut(application: Callable[..., Iterable[bytes]]) -> None:
    call = Call(application)
    assert (call.status, call.body) == ("200 OK", b"one, two")


@pytest.mark.parametrize(("timeout", "more"), [(0, {}), (30, {"HTTP_UPGRADE": "WebSocket"})], ids=["none", "websocket"])
def test_where_there_is_no_limit(timeout: float, more: dict[str, str]) -> None:
    """eventlet's WebSockets last as long as the call, and never begin an answer."""
    call = Call(waits, timeout, **more)
    assert (call.timers, call.status, call.body) == ([], "200 OK", b"done")


def test_other_failures_keep_their_names(caplog: pytest.LogCaptureFixture) -> None:
    """And the limit is over: the page is not cut either."""

    def fails(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        raise ValueError("as it was asked to")

    call = Call(fails)
    assert (call.status, call.timers[0].on) == ("500 Internal Server Error", False)
    assert "the application raised ValueError: as it was asked to" in caplog.text
