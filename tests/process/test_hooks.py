"""Hooks by name: logged or fatal when they raise, and nothing where there is none.

Those around a request are in test_gunicorn_hooks.py.
"""

from __future__ import annotations

import logging
from typing import Any

import pytest

from edgestack.process.hooks import FATAL, HOOKS, Hooks, Worker, hooks_of
from edgestack.process.options import Options


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


def test_an_application_that_takes_anything_is_what_the_user_says() -> None:
    """With the worker class `asgi` it is called as ASGI has it, whatever there is around requests."""
    hooks = Hooks({"pre_request": print})

    def anything(*things: object) -> list[bytes]:
        return []

    assert hooks.around(anything, Worker(1), asgi=True) is anything
    assert hooks.around(anything, Worker(1)) is not anything
