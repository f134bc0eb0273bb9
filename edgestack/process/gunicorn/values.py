"""How each value of gunicorn's is said in the keys of `[server]` and `[tls]`: pure functions, value -> {key: value}.

Keys are named as their options (`config/overrides.py`). A value that makes no sense raises ConfigError, or goes on as
it is where the key's own check says it better.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

from edgestack.config.overrides import FORM
from edgestack.config.processes import WORKER_CLASSES
from edgestack.errors import ConfigError
from edgestack.process.gunicorn.log_atoms import template_of

__all__ = ["Keys", "Read", "worker_class"]

Keys = dict[str, Any]
Read = Callable[[Any], Keys]

DEFAULT_FORM = '%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s"'
"""gunicorn's own format: what is called combined here."""

UNLIMITED = 1 << 20
"""Bytes, where gunicorn's 0 means no limit: nothing that a stranger sends is without one here."""
MOST_FIELDS = 32768
"""gunicorn's own bound, and what its 0 means."""
HEAD = 32 * 1024
"""The default of `server.limits.head`; it is never lowered for the sake of one field."""

CLASS_WORDS = {
    "thread": "gthread", "gthread": "gthread", "sync": "sync", "uvicorn": "asgi", "asgi": "asgi", "asyncio": "asgi",
    "gevent": "gevent", "ggevent": "gevent", "eventlet": "eventlet", "geventlet": "eventlet", "tornado": "tornado",
    "gtornado": "tornado",
}  # fmt: skip
"""Words in the names of worker classes, and the class that does the same here."""


def same(key: str) -> Read:
    """The value as it is."""
    return lambda value: {key: value}


def number(key: str) -> Read:
    """A whole number; text counts, in any base that Python writes."""
    return lambda value: {key: _whole(value)}


def switch(key: str) -> Read:
    """True or false; gunicorn takes the words as well."""
    words = {"true": True, "false": False}
    return lambda value: {key: words.get(value.strip().lower(), value) if isinstance(value, str) else bool(value)}


def several(key: str) -> Read:
    """One or many texts."""
    return lambda value: {key: _list(value)}


def person(key: str) -> Read:
    """A user or a group: a name, or a number; None is whoever starts it."""
    return lambda value: {} if value is None else {key: str(value)}


def path(key: str, *, off: str = "") -> Read:
    """A file; None says nothing, or `off`."""

    def read(value: Any) -> Keys:
        if value is None or value == "":
            return {key: off} if off else {}
        return {key: os.fspath(value) if isinstance(value, os.PathLike) else value}

    return read


def bind(value: Any) -> Keys:
    """Addresses, as gunicorn spells them: `tcp://`, `unix://` and a port of 8000 where none is given."""
    said = [one.strip() for text in _list(value) for one in str(text).split(",")]
    return {"bind": [_address(one) for one in said if one]}


def _address(text: str) -> str:
    for scheme in ("tcp://", "http://"):
        text = text.removeprefix(scheme)
    if text.startswith("http+unix://"):
        return f"unix:{unquote(text.removeprefix('http+unix://'))}"
    if text.startswith("unix:"):
        return f"unix:{text.removeprefix('unix:').removeprefix('//')}"
    if text.startswith("fd://") or text.isdigit() or ":" in text.rpartition("]")[2]:
        return text
    return f"{text}:8000"


def worker_class(value: Any) -> Keys:
    """A name, a path to a class, or the class itself.

    :raises ConfigError: nothing here is like it.
    """
    name = (
        value if isinstance(value, str) else f"{value.__module__}.{value.__name__}" if isinstance(value, type) else ""
    )
    if name in WORKER_CLASSES:
        return {"worker_class": name}
    for word in re.split(r"[^a-z]+", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()):
        if word.removesuffix("worker") in CLASS_WORDS:
            return {"worker_class": CLASS_WORDS[word.removesuffix("worker")]}
    raise ConfigError(f"there is no worker class {name or value!r}", hint=f"there are {', '.join(WORKER_CLASSES)}")


def asgi_loop(value: Any) -> Keys:
    """One of asyncio's is one of asyncio's, whoever has written it; None is gunicorn's word for its default.

    :raises ConfigError: there is no such loop.
    """
    loops = {None: "auto", "auto": "auto", "asyncio": "asyncio", "uvloop": "asyncio", "trio": "trio"}
    if not isinstance(value, str | None) or value not in loops:
        raise ConfigError(f"there is no loop {value!r}", hint="there are auto, trio and asyncio")
    return {"asgi_loop": loops[value]}


def proxy_protocol(value: Any) -> Keys:
    """A version, or any: both are read in either case.

    :raises ConfigError: there is no such version.
    """
    word = value.strip().lower() if isinstance(value, str) else value
    if word in ("off", "false", "none", "", False, None):
        return {"proxy_protocol": False}
    if word in ("auto", "v1", "v2", "true", True):
        return {"proxy_protocol": True}
    raise ConfigError(f"{value!r} is no version of the PROXY protocol", hint="there are v1, v2, auto and off")


def umask(value: Any) -> Keys:
    """A number, or its octal digits."""
    return {"umask": f"{value:03o}" if isinstance(value, int) else value}


def chdir(value: Any) -> Keys:
    """A folder; it is made whole where it is known from where."""
    return {"chdir": os.fspath(value) if isinstance(value, os.PathLike) else value} if value != "" else {}


def environment(value: Any) -> Keys:
    """`NAME=value`, several.

    :raises ConfigError: one has no `=`.
    """
    pairs = [str(one).partition("=") for one in _list(value)]
    for name, equals, _ in pairs:
        if not equals:
            raise ConfigError(f"{name!r} is not NAME=VALUE")
    return {"env": {name: text for name, _, text in pairs}} if pairs else {}


def trusted(key: str) -> Read:
    """Addresses and networks; `*` is everybody, and a unix socket is trusted as it is there."""
    return lambda value: {key: _networks(value)}


def _networks(value: Any) -> list[str]:
    said = [one.strip() for text in _list(value) for one in str(text).split(",") if one.strip()]
    every = [network for one in said for network in (("0.0.0.0/0", "::/0") if one == "*" else (one,))]
    return [*every, "unix:"]


def request_line(value: Any) -> Keys:
    """Bytes; 0 is no limit."""
    return {"limit_request_line": _whole(value) or UNLIMITED}


def request_fields(value: Any) -> Keys:
    """How many; 0 is no limit."""
    return {"limit_request_fields": _whole(value) or MOST_FIELDS}


def field_size(value: Any) -> Keys:
    """Bytes of one field; 0 is no limit. The bound here is on the whole head, which is raised so that one such fits."""
    most = _whole(value)
    if not isinstance(most, int):
        return {"limit_request_head": most}
    return {"limit_request_head": max(HEAD, most + HEAD // 2 if most else UNLIMITED)}


def certificate(value: Any) -> Keys:
    """The chain, PEM."""
    return {"cert": [value], "tls": True} if value else {}


def key(value: Any) -> Keys:
    """Its key, PEM."""
    return {"key": [value]} if value else {}


def level(value: Any) -> Keys:
    """A level of Python's logging, in any case."""
    return {"log_level": value.lower() if isinstance(value, str) else value}


def folders(value: Any) -> Keys:
    """Folders in one text, separated by commas."""
    return {"pythonpath": [one for one in value.split(",") if one]} if isinstance(value, str) else {}


def form(value: Any) -> Keys:
    """The form of the access log's lines."""
    if value == DEFAULT_FORM:
        return {"log_format": "combined"}
    return {FORM: template_of(value)[0]} if isinstance(value, str) else {FORM: value}


def nothing(value: Any) -> Keys:
    """What no key says."""
    return {}


def _list(value: Any) -> list[Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, list | tuple) else [value]


def _whole(value: Any) -> Any:
    """A number; what is none goes on as it is."""
    if isinstance(value, str):
        try:
            return int(value, 0)
        except ValueError:
            return value
    return value
