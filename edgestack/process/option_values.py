"""What the texts of options mean, where no key's own check says it as early and as well.

Each raises ConfigError with what is wrong; what only the whole configuration can tell is told later.
"""

from __future__ import annotations

import re

import click

from edgestack.config.process_kinds import OCTAL
from edgestack.config.values import size
from edgestack.errors import ConfigError

__all__ = ["bound", "called", "count", "octal", "pid_file", "processes", "refuse", "variable", "whole"]

DIGITS = re.compile("[0-9]{1,9}")
"""More of anything than nine digits can say is not meant."""

UNLIMITED = 1 << 20
"""Bytes of a request line: more than any client sends."""


def count(text: str) -> int:
    """A number of things.

    :raises ConfigError: when `text` is no whole number, or 0.
    """
    if not DIGITS.fullmatch(text) or not int(text):
        raise ConfigError(f"{text!r} is not a whole number from 1 on")
    return int(text)


def processes(text: str) -> str:
    """A number of processes, or "auto".

    :raises ConfigError: it is neither.
    """
    if text != "auto" and not (DIGITS.fullmatch(text) and int(text)):
        raise ConfigError(f"{text!r} is neither a whole number from 1 on nor auto")
    return text


def whole(text: str) -> int:
    """A number, which may be 0.

    :raises ConfigError: it is none.
    """
    if not DIGITS.fullmatch(text):
        raise ConfigError(f"{text!r} is not a whole number")
    return int(text)


def bound(text: str) -> int:
    """Bytes; gunicorn's 0, which is no bound, is one that nothing honest reaches.

    :raises ConfigError: it is no size.
    """
    return size(text) or UNLIMITED


def octal(text: str) -> str:
    """Mode bits.

    :raises ConfigError: they are no octal number.
    """
    if not OCTAL.fullmatch(text):
        raise ConfigError(f"{text!r} is no umask", hint="write up to three octal digits, such as 027")
    return text


def pid_file(text: str) -> str:
    """A file; who types a port means something else.

    :raises ConfigError: it looks like a port.
    """
    if text.isdigit():
        raise ConfigError(
            f"{text!r} would be a file of that name", hint=f"-p is the pid file; did you mean -b :{text}?"
        )
    return text


def variable(text: str) -> str:
    """`NAME=VALUE`.

    :raises ConfigError: it has no `=`, or no name.
    """
    if not text.partition("=")[0] or "=" not in text:
        raise ConfigError(f"{text!r} is not NAME=VALUE")
    return text


def called(text: str) -> str:
    """A worker class by one of the names that gunicorn's users have for it.

    :raises ConfigError: nothing here is like it.
    """
    from edgestack.process.gunicorn.values import worker_class

    return str(worker_class(text)["worker_class"])


def looped(text: str) -> str:
    """A loop by one of the names that gunicorn's users have for it.

    :raises ConfigError: there is none.
    """
    from edgestack.process.gunicorn.values import asgi_loop

    return str(asgi_loop(text)["asgi_loop"])


def refuse(context: click.Context, parameter: click.Parameter, value: bool) -> None:
    """What is not done here, and what to do instead."""
    if value:
        from edgestack.process.gunicorn.settings import DAEMON

        raise click.UsageError(f"{DAEMON[0]}: {DAEMON[1]}")
