"""Whether an object is called as ASGI 3 has it, `await app(scope, receive, send)`, or as PEP 3333 has it.

As uvicorn and asgiref tell: a coroutine function, or an object whose `__call__` is one. What takes three arguments and
not two (a function that returns an awaitable, behind a decorator) can be nothing else; what takes any number counts
where the user says that it is ASGI. Pure.
"""

from __future__ import annotations

import functools
import inspect
from typing import Any

__all__ = ["is_asgi"]


def is_asgi(found: Any, *, said: bool = False) -> bool:
    """Whether `found` is an ASGI application.

    :param said: the user has said so (`worker_class = "asgi"`): taking three arguments is enough then.
    """
    while isinstance(found, functools.partial):
        found = found.func
    if inspect.isclass(found):
        return said and hasattr(found, "__await__")
    if inspect.iscoroutinefunction(found) or inspect.iscoroutinefunction(getattr(found, "__call__", None)):  # noqa: B004
        return _takes(found, 3)
    return _takes(found, 3) and (said or not _takes(found, 2))


def _takes(found: Any, count: int) -> bool:
    try:
        signature = inspect.signature(found)
    except (ValueError, TypeError):
        return False
    try:
        signature.bind(*[None] * count)
    except TypeError:
        return False
    return True
