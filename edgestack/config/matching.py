"""Which paths a route is for, as a frozen value; and the choice among several, told once and slowly (criterion B4).

    "/static/"      prefix   the path itself and what is below; the longest wins, unless a regex fits
    "= /x"          exact    that path alone; wins over everything
    "^~ /static/"   final    a prefix that no regex may overtake
    "~ \\.php$"      regex    searched in the path; the first in file order wins over prefixes
    "~* \\.PHP$"     regex    the same, whatever the case
    "@sorry"        named    no path: only `try`, `errors` and `rewrite` lead to it

Paths are compared in their normal form: decoded once, slashes merged, dots resolved. So a match is written decoded, and
one that is not in normal form could never fit: it is refused here. Prefixes end on a segment's boundary: "/api" is for
/api and /api/x, not for /apix (nginx would take that too). Source: nginx's `location`.

`choose` is the rule itself, for the checks and for tests to judge a faster router by.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, TypeAlias

from edgestack.errors import ClientError, ConfigError
from edgestack.http.target import normalize
from edgestack.http.variables import compile_pattern

__all__ = [
    "Condition",
    "Match",
    "MatchKind",
    "choose",
    "covers",
    "literal_beginning",
    "mismatched_slashes",
    "parse_match",
]

MatchKind: TypeAlias = Literal["prefix", "exact", "final", "regex", "named"]

SIGNS = (("^~", "final"), ("~*", "regex"), ("~", "regex"), ("=", "exact"))
"""What may stand before a path, longest first."""

_specials = set("\\.^$*+?{}[]()|")
_repeats = set("*?{")
EVERYTHING = frozenset(
    ("", "^", "/", "^/", ".", "^.", ".*", "^.*", "^/.*", ".*$", "^.*$", "^/.*$", "(.*)", "^(.*)$", "^/(.*)$")
)
"""Regexes that fit every path."""


@dataclass(frozen=True, slots=True)
class Condition:
    """What a field or a query parameter must be: there, absent, a text, or something that a regex fits."""

    name: str
    present: bool = True
    value: str | None = None
    """The whole value; None for any."""
    pattern: str = ""
    """A regex that is searched in the value."""
    ignore_case: bool = False


@dataclass(frozen=True, slots=True)
class Match:
    """When a route is chosen."""

    kind: MatchKind = "prefix"
    pattern: str = "/"
    """The path, the regex, or the name without "@"."""
    ignore_case: bool = False
    methods: tuple[str, ...] = ()
    """Methods that it is for; () for all."""
    query: tuple[Condition, ...] = ()
    """All of them must hold."""
    header: tuple[Condition, ...] = ()
    """All of them must hold; names in lower case."""

    @property
    def regex(self) -> re.Pattern[str] | None:
        """The compiled regex, of this kind."""
        return compiled(self.pattern, self.ignore_case) if self.kind == "regex" else None

    @property
    def conditional(self) -> bool:
        """Whether anything but the path is asked for."""
        return bool(self.methods or self.query or self.header)

    def fits(self, path: str) -> bool:
        """Whether the path alone fits, in its normal form."""
        if self.kind == "regex":
            return compiled(self.pattern, self.ignore_case).search(path) is not None
        if self.kind == "exact":
            return path == self.pattern
        return self.kind != "named" and covers(self.pattern, path)

    def includes(self, other: Match) -> bool:
        """Whether every request that meets the conditions of `other` meets these."""
        methods = not self.methods or (bool(other.methods) and set(other.methods) <= set(self.methods))
        return methods and set(self.query) <= set(other.query) and set(self.header) <= set(other.header)

    def __str__(self) -> str:
        """The path as it is written, without conditions."""
        sign = {"prefix": "", "exact": "= ", "final": "^~ ", "regex": "~* " if self.ignore_case else "~ ", "named": "@"}
        return sign[self.kind] + self.pattern


@lru_cache(maxsize=4096)
def compiled(pattern: str, ignore_case: bool) -> re.Pattern[str]:
    """A regex, compiled once for check, plan and router."""
    return compile_pattern(pattern, ignore_case=ignore_case)


def parse_match(text: str) -> Match:
    """The Match that `text` writes.

    :raises ConfigError: when it is none, or no path could ever fit it.
    :raises re.error: when a regex is none; its `pos` counts from `text`'s own start.
    """
    plain = text.strip()
    if plain.startswith("@"):
        if not re.fullmatch(r"@[\w.-]+", plain):
            raise ConfigError(f"{text!r} is not a name", hint="letters, digits and - _ . after the @")
        return Match("named", plain[1:])
    for sign, kind in SIGNS:
        if plain.startswith(sign):
            pattern = plain.removeprefix(sign).lstrip()
            if kind == "regex":
                return _regex(pattern, sign == "~*", text)
            return Match("exact" if kind == "exact" else "final", _path(pattern, f"{sign} "))
    return Match("prefix", _path(plain, ""))


def _regex(pattern: str, ignore_case: bool, text: str) -> Match:
    try:
        compiled(pattern, ignore_case)
    except re.error as error:
        error.pos = None if error.pos is None else error.pos + text.index(pattern)
        raise
    return Match("regex", pattern, ignore_case)


def _path(path: str, sign: str) -> str:
    """A path to be matched, if one could ever be equal to it."""
    if not path.startswith("/"):
        hint = f'did you mean "{sign}/{path}"?' if path else ""
        if _specials & set(path) - {".", "+"}:
            hint = f'a regex begins with "~": "~ {path}"'
        raise ConfigError(f"the path {path!r} does not begin with a slash", hint=hint)
    if "?" in path or "#" in path:
        raise ConfigError(
            "a match is for the path, without query and fragment",
            hint='for the query: match = { path = "…", query = … }',
        )
    if re.search("%[0-9A-Fa-f]{2}", path):
        raise ConfigError("a match is compared with the decoded path", hint="write the characters themselves, not %20")
    try:
        normal = normalize(path)
    except ClientError:
        raise ConfigError(f"the path {path!r} leads above the root") from None
    if normal != path:
        why = "slashes are merged and dots resolved before a route is chosen, so this never matches"
        raise ConfigError(why, hint=f'did you mean "{sign}{normal}"?')
    return path


def covers(prefix: str, path: str) -> bool:
    """Whether `path` is `prefix` or below it, on a segment's boundary."""
    return path.startswith(prefix) and (prefix.endswith("/") or path[len(prefix) : len(prefix) + 1] in ("", "/"))


def choose(matches: Sequence[Match], path: str) -> int | None:
    """Which of the matches a path goes to, by criterion B4; conditions are taken to hold. None when nothing fits.

    Exact, else the longest prefix; a final one stops; else the first regex in order; else that longest prefix.
    """
    best: int | None = None
    for index, match in enumerate(matches):
        if match.kind == "exact" and match.fits(path):
            return index
        if match.kind in ("prefix", "final") and match.fits(path):
            best = index if best is None or len(match.pattern) > len(matches[best].pattern) else best
    if best is None or matches[best].kind != "final":
        first = next((index for index, match in enumerate(matches) if match.kind == "regex" and match.fits(path)), None)
        return best if first is None else first
    return best


def literal_beginning(pattern: str) -> tuple[str, bool]:
    """The text with which every path must begin that a regex fits, and whether the regex is nothing but that text."""
    if not pattern.startswith("^") or "|" in pattern or "(?" in pattern:
        return "", False
    literal, at = "", 1
    while at < len(pattern):
        letter, step = pattern[at], 1
        if letter == "\\" and at + 1 < len(pattern) and not pattern[at + 1].isalnum():
            letter, step = pattern[at + 1], 2
        elif letter in _specials:
            return literal, pattern[at:] == "$"
        if pattern[at + step : at + step + 1] in _repeats and pattern[at + step : at + step + 1]:
            return literal, False
        literal, at = literal + letter, at + step
    return literal, False


def overtakes_all(match: Match) -> bool:
    """Whether it is a regex that fits every path, whatever the request."""
    return match.kind == "regex" and match.pattern in EVERYTHING and not match.conditional


def mismatched_slashes(prefix: str, target: str) -> str:
    """What goes wrong when a prefix that ends in a slash is replaced by one that does not, or the other way (B2).

    :param prefix: of the route.
    :param target: the path that takes its place; "" when nothing is replaced.
    :returns: one sentence, or "" when all is well.
    """
    if not target or prefix.endswith("/") == target.endswith("/"):
        return ""
    rest = "x" if prefix.endswith("/") else "/x"
    return f"{prefix}{rest} would become {target}{rest}: end both with a slash, or neither"
