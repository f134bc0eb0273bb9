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
    """Print the hash of a password; with a NAME, the line for a password file.

    The password is asked for twice on a terminal; elsewhere it is the first line of standard input.

    \b
      edgestack hash-password alice >> users.htpasswd
    """
    from edgestack.phases.passwords import hash_password as hashed

    if ":" in name or any(ord(letter) < 32 for letter in name):
        raise ConfigError(f"the name {name!r} cannot stand in a password file", hint="leave out the colon")
    secret = _asked() if on_a_terminal() else sys.stdin.readline().rstrip("\r\n")
    if not secret:
        raise ConfigError("an empty password lets everybody in", hint="nothing was hashed")
    click.echo((f"{name}:" if name else "") + hashed(secret))


def on_a_terminal() -> bool:
    """Whether somebody can be asked."""
    return sys.stdin.isatty()


def _asked() -> str:
    """The password, typed twice without being shown."""
    answer: str = click.prompt("Password", hide_input=True, confirmation_prompt="Again", err=True)
    return answer
