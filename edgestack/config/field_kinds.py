"""Kinds of values that become response fields: Cache-Control, Strict-Transport-Security, and plain text."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from edgestack.config.kinds import Kind, Text
from edgestack.config.problems import did_you_mean, nearest
from edgestack.config.values import duration
from edgestack.errors import ConfigError
from edgestack.http.fields import is_field_value, is_token, split_list

if TYPE_CHECKING:
    from edgestack.config.reading import Spot

__all__ = ["CACHE_CONTROL", "FIELD_TEXT", "HSTS", "NO_FIELD"]

TIMED = ("max-age", "s-maxage", "stale-while-revalidate", "stale-if-error")
"""Directives that have a number of seconds (RFC 9111 §5.2.2, RFC 5861)."""

PLAIN = ("public", "private", "no-cache", "no-store", "no-transform", "must-revalidate", "proxy-revalidate",
         "must-understand", "immutable")  # fmt: skip
"""Directives that have none, or need none (RFC 9111 §5.2.2, RFC 8246)."""

YEAR = 365 * 86400

NO_FIELD = "line ends, control characters and what is beyond latin-1 cannot stand in a field"


class FieldText(Text):
    """Text that stands in a field as it is."""

    def read(self, value: Any, spot: Spot) -> str:
        """The text itself."""
        if not is_field_value(value):
            raise ConfigError(NO_FIELD)
        return str(value)


class CacheControl(Kind):
    """The value of Cache-Control. Extensions are let through, slips are not."""

    words = "a Cache-Control"

    def read(self, value: Any, spot: Spot) -> str:
        """The text itself."""
        if not is_field_value(value) or not value.strip():
            raise ConfigError("this is no value for Cache-Control", hint='for instance "public, max-age=3600"')
        for directive in split_list(value):
            self._check(directive)
        return str(value)

    def _check(self, directive: str) -> None:
        name, equals, argument = (part.strip() for part in directive.partition("="))
        lower = name.lower()
        if lower in TIMED:
            if not (argument.isascii() and argument.isdigit()):
                raise ConfigError(f"`{lower}` needs a number of seconds", hint=self._seconds(lower, argument))
        elif lower not in PLAIN and (not is_token(name) or nearest(lower.replace("_", "-"), (*TIMED, *PLAIN))):
            hint = did_you_mean(lower.replace("_", "-"), (*TIMED, *PLAIN))
            raise ConfigError(f"`{name}` is no directive of Cache-Control", hint=hint)
        elif lower in PLAIN and equals and lower not in ("private", "no-cache"):
            raise ConfigError(f"`{lower}` has no value")

    def _seconds(self, name: str, argument: str) -> str:
        try:
            return f"did you mean `{name}={int(duration(argument))}`?"
        except ConfigError:
            return f"for instance `{name}=3600`"


class Hsts(Kind):
    """Strict-Transport-Security in one word (RFC 6797); gives the field's value, "" for none."""

    words = 'true, a duration, "subdomains" or "preload"'
    takes = (bool, str)

    def read(self, value: Any, spot: Spot) -> str:
        """true is a year; "subdomains" binds them too; "preload" is what the browsers' list asks for: two years."""
        if isinstance(value, bool):
            return f"max-age={YEAR}" if value else ""
        if value == "subdomains":
            return f"max-age={YEAR}; includeSubDomains"
        if value == "preload":
            return f"max-age={2 * YEAR}; includeSubDomains; preload"
        if not re.match(r"\s*\d", value):
            hint = did_you_mean(value, ("subdomains", "preload"), quote='"') or f"it is {self.words}"
            raise ConfigError(f"`{spot.name}` cannot be {value!r}", hint=hint)
        return f"max-age={int(duration(value))}"

    def schema(self) -> dict[str, Any]:
        """A boolean or a text."""
        return {"type": ["boolean", "string"]}


CACHE_CONTROL = CacheControl()
FIELD_TEXT = FieldText()
HSTS = Hsts()
