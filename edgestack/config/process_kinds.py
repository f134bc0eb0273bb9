"""Kinds of values that say how processes run: mode bits, and variables of the environment.

UMASK VARIABLE Variables
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from edgestack.config.kinds import Kind
from edgestack.config.nested_kinds import Pairs
from edgestack.errors import ConfigError

if TYPE_CHECKING:
    from edgestack.config.reading import Spot

__all__ = ["UMASK", "VARIABLE", "Variables"]

OCTAL = re.compile("(?:0o?)?([0-7]{1,3})", re.IGNORECASE)
"""As umask(1) and Python write it; 0o777 is all that umask(2) looks at."""


class Umask(Kind):
    """Mode bits, as an octal number in quotes: TOML's own numbers cannot begin with 0."""

    words = "an octal number in quotes"

    def read(self, value: Any, spot: Spot) -> str:
        """The text."""
        if not OCTAL.fullmatch(value):
            raise ConfigError(f"{value!r} is no umask", hint='write up to three octal digits, for instance "027"')
        return str(value)


class VariableName(Kind):
    """The name of an environment variable (environ(7): no `=`)."""

    words = "a variable's name"

    def read(self, value: Any, spot: Spot) -> str:
        """The name."""
        if not value or "=" in value or "\0" in value:
            raise ConfigError(f"{value!r} is no name of a variable")
        return str(value)


class Variables(Pairs):
    """A table of variables; an option says one at a time."""

    def plain(self, text: str) -> Any:
        """`NAME=VALUE`, or several of them, as an environment variable separates words in a shell."""
        import shlex

        try:
            pairs = [word.partition("=") for word in shlex.split(text)]
        except ValueError:  # a quotation that is not closed
            return text
        return {name: value for name, equals, value in pairs} if all(equals for _, equals, _ in pairs) else text

    def gathered(self, values: list[Any]) -> Any:
        """One a flag."""
        pairs = [str(text).partition("=") for text in values]
        return {name: value for name, _, value in pairs}


UMASK = Umask()
VARIABLE = VariableName()
