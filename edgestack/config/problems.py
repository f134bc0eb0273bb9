"""Errors that people like: each with its place, the line, a caret under the culprit, why, and what was probably meant.

    edgestack.toml:12:1: there is no key `mach` in a route
    12 | mach = "/static/"
       | ^^^^ did you mean `match`?

A `Problem` is one of them; `ConfigErrors` holds all that a configuration has. Both are ConfigErrors, so that one
`except` is enough. Pure text: who prints it chooses where.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from unicodedata import east_asian_width

from edgestack.config.positions import Source
from edgestack.errors import ConfigError

__all__ = ["ConfigErrors", "Problem", "did_you_mean", "listed", "nearest", "told"]

LONGEST = 100
"""Columns of a source line that are shown; a longer one is cut around the caret."""

_long = re.compile(r"(\S{39})\S{3,}(\S{20})")
"""A word of more than 61 letters; it stands whole in the file, and is told by its beginning and its end."""

CONTROLS = {code: 0x2400 + code for code in range(0x20) if code != 0x09} | {
    0x7F: 0x2421, **dict.fromkeys(range(0x80, 0xA0), 0xFFFD)
}  # fmt: skip
"""Control characters, and the signs that stand for them: one for one, so that columns hold. No file moves a cursor."""


class Problem(ConfigError):
    """One thing that is wrong, or worth a warning, with the place where it stands."""

    def __init__(self, why: str, source: Source, span: tuple[int, int], *, hint: str = "", key: str = "") -> None:
        """
        :param span: the culprit's start and end, as offsets into the source's text.
        """
        place = source.place(span[0])
        super().__init__(why, hint=hint, file=place.file, line=place.line, column=place.column, key=key)
        self.excerpt = source.line(place.line) if place.line else ""
        self.width = max(span[1] - span[0], 1)

    def shown(self) -> str:
        """Everything about it, in two or three lines."""
        if not self.line:
            return str(self)
        number = str(self.line)
        line, column = self._cut()
        width = max(min(self.width, len(line) - column), 1)
        carets = _blanks(line[:column]) + "^" * max(_columns(line[column : column + width]), 1)
        margin = " " * len(number)
        hint = f" {self.hint}".translate(CONTROLS) if self.hint else ""
        if len(carets) + len(hint) > LONGEST and hint:
            hint = f"\n{margin} ={hint}"
        why = _long.sub(r"\1…\2", self.why.translate(CONTROLS))
        first = f"{self.file}:{self.line}:{self.column}: {why}"
        return f"{first}\n{number} | {line}\n{margin} | {carets}{hint}"

    def _cut(self) -> tuple[str, int]:
        """The line, shortened where it is long, and the culprit's place in it, from 0."""
        line, column = self.excerpt.rstrip().translate(CONTROLS), self.column - 1
        if len(line) <= LONGEST:
            return line, column
        start = max(0, min(column - LONGEST // 3, len(line) - LONGEST))
        cut = line[start : start + LONGEST]
        if start:
            cut = "…" + cut[1:]
        if start + LONGEST < len(line):
            cut = cut[:-1] + "…"
        return cut, column - start


class ConfigErrors(ConfigError):
    """All that is wrong with a configuration, in the order of the files and their lines."""

    def __init__(self, errors: Sequence[ConfigError]) -> None:
        super().__init__(errors[0].why if len(errors) == 1 else f"{len(errors)} errors")
        self.errors = tuple(errors)

    def __str__(self) -> str:
        """The whole report, an empty line between two errors."""
        return "\n\n".join(one.shown() if isinstance(one, Problem) else str(one) for one in self.errors)


def nearest(said: str, known: Iterable[str]) -> str:
    """The closest of what is known, whatever the case; "" when nothing is close."""
    names = {name.lower(): name for name in known}
    near = get_close_matches(said.lower(), names, n=1)
    return names[near[0]] if near else ""


def did_you_mean(said: str, known: Iterable[str], *, quote: str = "`") -> str:
    """The hint that names the closest of what is known; "" when nothing is close."""
    name = nearest(said, known)
    return f"did you mean {quote}{name}{quote}?" if name else ""


def listed(names: Iterable[str], last: str = "and") -> str:
    """`a`, `b` and `c`."""
    quoted = [f"`{name}`" for name in names]
    return f" {last} ".join([", ".join(quoted[:-1]), quoted[-1]]) if len(quoted) > 1 else "".join(quoted)


def told(error: OSError) -> str:
    """What the system says, as the end of a sentence."""
    return (error.strerror or str(error)).lower()


def _blanks(text: str) -> str:
    """Blanks as wide as `text` in a terminal; tabs stay."""
    return "".join("\t" if letter == "\t" else " " * _columns(letter) for letter in text)


def _columns(text: str) -> int:
    return sum(2 if east_asian_width(letter) in "WF" else 1 for letter in text)
