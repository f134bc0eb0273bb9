"""Hooks by name: called with what gunicorn says, logged or fatal when they raise, and nothing where there is none."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from edgestack.process.hooks import FATAL, HOOKS, Hooks, Worker, hooks_of
from edgestack.process.options import Options

ENVIRON = {
    "REQUEST_METHOD": "GET", "PATH_INFO": "/a", "QUERY_STRING": "b=c", "RAW_URI": "/a?b=c",
    "SERVER_PROTOCOL": "HTTP/1.1", "HTTP_X_NAME": "value",
}  # fmt: skip


def test_without_a_configuration_of_gunicorns_there_are_none() -> None:
    hooks = hooks_of(Options())
    for name in HOOKS:
        hooks.call(name, "anything")
    assert hooks.functions == {}


@pytest.mark.parametrize("name", HOOKS)
def test_one_that_raises(name: str, caplog: pytest.LogCaptureFixture) -> None:
    def raises(*things: object) -> None:
        raise ZeroDivisionError

    hooks = Hooks({name: raises})
    if name in FATAL:
        with pytest.raises(ZeroDivisionError):
            hooks.call(name)
    else:
        hooks.call(name)
        assert [(one.levelno, one.getMessage()) for one in caplog.records] == [
            (logging.ERROR, f"the hook {name} failed")
        ]


def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    start_response("201 Created", [("X-Thing", "1")])
    return [b"made"]


def test_an_application_without_hooks_is_itself() -> None:
    assert Hooks({"when_ready": print}).around(application, Worker(1)) is application


def test_around_a_request() -> None:
    """post_request comes when the answer is closed, with what was asked and answered."""
    said: list[Any] = []
    worker = Worker(7)

    def before(one: Worker, request: Any) -> None:
        said.append((one.age, request.method, request.path, request.query, request.uri, request.version))
        said.append(request.headers)

    def after(one: Worker, request: Any, environ: dict[str, Any], response: Any) -> None:
        said.append((request.path, environ["PATH_INFO"], response.status, response.headers))

    hooked = Hooks({"pre_request": before, "post_request": after}).around(application, worker)
    result = hooked(ENVIRON, lambda status, headers, exc_info=None: said.append(status))
    assert list(result) == [b"made"]
    assert said == [(7, "GET", "/a", "b=c", "/a?b=c", (1, 1)), [("X-NAME", "value")], "201 Created"]
    result.close()  # type: ignore[attr-defined]
    assert said[-1] == ("/a", "/a", "201 Created", [("X-Thing", "1")])


def test_an_application_that_raises_has_ended_too() -> None:
    ended: list[object] = []

    def broken(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        raise ZeroDivisionError

    hooked = Hooks({"post_request": lambda *things: ended.append(things)}).around(broken, Worker(1))
    with pytest.raises(ZeroDivisionError):
        hooked(ENVIRON, None)
    assert len(ended) == 1
