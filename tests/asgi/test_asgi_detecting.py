"""Which objects are ASGI applications, by themselves and where the user says so."""

from __future__ import annotations

import functools
from typing import Any

import pytest

from edgestack.asgi import is_asgi


async def coroutine_function(scope: Any, receive: Any, send: Any) -> None: ...


def wsgi_function(environ: Any, start_response: Any) -> list[bytes]:
    return []


def decorated(scope: Any, receive: Any, send: Any) -> Any:
    return coroutine_function(scope, receive, send)


def takes_anything(*of: Any) -> Any: ...


async def coroutine_of_two(environ: Any, start_response: Any) -> None: ...


class Instance:
    async def __call__(self, scope: Any, receive: Any, send: Any) -> None: ...


class WsgiInstance:
    def __call__(self, environ: Any, start_response: Any) -> list[bytes]:
        return []


class Awaited:
    def __init__(self, scope: Any, receive: Any, send: Any) -> None: ...

    def __await__(self) -> Any: ...


@pytest.mark.parametrize(
    ("found", "by_itself", "said"),
    [
        (coroutine_function, True, True),
        (Instance(), True, True),
        (Instance().__call__, True, True),
        (functools.partial(coroutine_function), True, True),
        (decorated, True, True),
        (takes_anything, False, True),
        (Awaited, False, True),
        (wsgi_function, False, False),
        (WsgiInstance(), False, False),
        (WsgiInstance, False, False),
        (coroutine_of_two, False, False),
    ],
)
def test_which_is_one(found: Any, by_itself: bool, said: bool) -> None:
    assert (is_asgi(found), is_asgi(found, said=True)) == (by_itself, said)
