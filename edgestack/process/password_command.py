"""`edgestack hash-password`: a line for a password file, from a password that nobody sees.

    edgestack hash-password alice >> users.htpasswd      asked for twice, on the terminal
    pass show shop | edgestack hash-password alice       or the first line of standard input

The question goes to standard error, so that standard output is the line and nothing else.
"""

from __future__ import annotations

import sys

import click

from edgestack.errors import ConfigError
from edgestack.process.serve_options import HELP

__all__ = ["hash_password"]


@click.command("hash-password", context_settings=HELP)
@click.argument("name", required=False, default="")
def hash_password(name: str) -> None:
    """Print the hash of a password, for a password file.

    With a NAME, it is the whole line. The password is asked for twice on a terminal; elsewhere it is the first line of
    standard input.

    \b
      edgestack hash-password alice >> users.htpasswd
    """
    from edgestack.phases.passwords import LONGEST
    from edgestack.phases.passwords import hash_password as hashed

    if ":" in name or name.startswith("#") or not name.isprintable():
        hint = "it has no colon, no control characters, and no # at its beginning"
        raise ConfigError(f"the name {name!r} cannot stand in a password file", hint=hint)
    secret = _asked() if on_a_terminal() else sys.stdin.readline().rstrip("\r\n")
    if not secret:
        raise ConfigError("an empty password lets everybody in", hint="nothing was hashed")
    if "\0" in secret or len(secret.encode("utf-8", "surrogateescape")) > LONGEST:
        raise ConfigError(f"a password has at most {LONGEST} bytes, and no NUL", hint="nothing was hashed")
    click.echo((f"{name}:" if name else "") + hashed(secret))


def on_a_terminal() -> bool:
    """Whether somebody can be asked."""
    return sys.stdin.isatty()


def _asked() -> str:
    """The password, typed twice without being shown."""
    answer: str = click.prompt("Password", hide_input=True, confirmation_prompt="Again", err=True)
    return answer
