"""Where each key and each value of a TOML document stands: what `tomllib` does not tell.

    Source(name, text, folder)      a file's text, and its lines
    index_document(source) -> Mark  a tree in the shape of `tomllib.loads(source.text)`

A Mark knows the span of its key and of its value, as offsets into the text, and has `parts`: a dict of Marks for a
table, a list of Marks for an array. A table's value is its `[header]`, where it has one. It reads only documents that
tomllib has accepted, so it checks nothing; a property test holds its tree to tomllib's for every document it can make.

TOML 1.0: https://toml.io/en/v1.0.0
"""

from __future__ import annotations

import re
from bisect import bisect_right
from pathlib import Path
from typing import NamedTuple, TypeAlias

__all__ = ["Mark", "Origin", "Source", "index_document", "letter_places"]


class Origin(NamedTuple):
    """A place as people name it; line and column count from 1. Without a line it is a flag or a variable."""

    file: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file


class Source:
    """A text that was read, or what else a value can come from."""

    __slots__ = ("_starts", "folder", "name", "text")

    def __init__(self, name: str, text: str, folder: Path) -> None:
        """
        :param name: as it is to be shown: a file's path, or `--threads`, or `EDGESTACK_THREADS`.
        :param text: line ends as "\\n" only; "" for what is no file.
        :param folder: what relative paths in it are relative to.
        """
        self.name = name
        self.text = text
        self.folder = folder
        self._starts: list[int] = []

    def place(self, offset: int) -> Origin:
        """The line and column of an offset."""
        if not self.text:
            return Origin(self.name)
        starts = self.starts()
        line = bisect_right(starts, offset)
        return Origin(self.name, line, offset - starts[line - 1] + 1)

    def starts(self) -> list[int]:
        """Where each line begins, the first first."""
        if not self._starts:
            self._starts = [0, *(found.end() for found in re.finditer("\n", self.text))]
        return self._starts

    def line(self, number: int) -> str:
        """A line's text, without its end; lines count from 1."""
        start = self.starts()[number - 1]
        end = self.text.find("\n", start)
        return self.text[start:] if end < 0 else self.text[start:end]


Parts: TypeAlias = "dict[str, Mark] | list[Mark] | None"


class Mark:
    """Where one key and its value stand. Never changed once the document is read."""

    __slots__ = ("end", "key_end", "key_start", "parts", "source", "start")

    def __init__(self, source: Source, key: tuple[int, int], value: tuple[int, int], parts: Parts = None) -> None:
        self.source = source
        self.key_start, self.key_end = key
        self.start, self.end = value
        self.parts: Parts = parts

    def child(self, name: str | int) -> Mark:
        """The Mark of a key in a table or of an element in an array; this one where it has none."""
        parts = self.parts
        if type(parts) is dict:
            return parts.get(str(name), self)
        if type(parts) is list and type(name) is int and name < len(parts):
            return parts[name]
        return self

    @property
    def origin(self) -> Origin:
        """Where the key stands, or an array's element."""
        return self.source.place(self.key_start)


_blank = re.compile(r"(?:[ \t\n\r]+|#[^\n]*)*")
_space = re.compile(r"[ \t]*")
_key = re.compile(r"""([A-Za-z0-9_-]+)|'([^'\n]*)'|"((?:[^"\\\n]|\\.)*)\"""")
_value = re.compile(
    r'''"""(?:[^\\]|\\[\s\S])*?"""(?:"{0,2})'''  # text over several lines may end in one or two quotes of its own
    r"""|'''[\s\S]*?'''(?:'{0,2})"""
    r"""|"(?:[^"\\\n]|\\.)*"|'[^'\n]*'"""
    r"""|\d{4}-\d\d-\d\d[ ]\d\d:[^\s,\]}\#]*"""  # a date and a time, parted by a space
    r"""|[^\s,\]}\#]+"""
)
_escape = re.compile(r"\\(u[0-9A-Fa-f]{4}|U[0-9A-Fa-f]{8}|x[0-9A-Fa-f]{2}|.)")
_escapes = {"b": "\b", "t": "\t", "n": "\n", "f": "\f", "r": "\r", "e": "\x1b"}

Key: TypeAlias = "tuple[str, tuple[int, int]]"


def index_document(source: Source) -> Mark:
    """The Marks of a whole document.

    :param source: of a text that `tomllib.loads` reads without an error.
    """
    return _Index(source).document()


class _Index:
    """One reading of one document; `at` is how far it is."""

    __slots__ = ("at", "source", "text")

    def __init__(self, source: Source) -> None:
        self.source = source
        self.text = source.text
        self.at = 0

    def document(self) -> Mark:
        text, end = self.text, len(self.text)
        root = table = Mark(self.source, (0, 0), (0, 0), {})
        while (at := self.blank()) < end:
            if text[at] == "[":
                table = self.header(root)
            else:
                self.pair(table)
        return root

    def blank(self) -> int:
        """Step over white space, line ends and comments."""
        found = _blank.match(self.text, self.at)
        assert found is not None
        self.at = found.end()
        return self.at

    def header(self, root: Mark) -> Mark:
        """`[a.b]` or `[[a.b]]`: the table that the following pairs belong to."""
        start = self.at
        array = self.text.startswith("[[", start)
        self.at += 2 if array else 1
        keys = self.keys()
        self.at += 2 if array else 1
        span = (start, self.at)
        table = root
        for key in keys[:-1]:
            table = self.step(table, key, span)
        return self.append(table, keys[-1], span) if array else self.step(table, keys[-1], span, said=True)

    def keys(self) -> list[Key]:
        """A dotted key, and the white space about it."""
        keys = []
        while True:
            found = _key.match(self.text, _after(_space, self.text, self.at))
            assert found is not None
            bare, literal, quoted = found.groups()
            name = bare or literal or (_unescape(quoted) if quoted and "\\" in quoted else quoted) or ""
            keys.append((name, found.span()))
            self.at = _after(_space, self.text, found.end())
            if self.text[self.at : self.at + 1] != ".":
                return keys
            self.at += 1

    def step(self, table: Mark, key: Key, span: tuple[int, int], *, said: bool = False) -> Mark:
        """The table of that name inside `table`, made where it is not there; of an array its last element.

        :param said: whether a header names this very table.
        """
        parts = table.parts
        assert type(parts) is dict
        inner = parts.get(key[0])
        if inner is None:
            inner = parts[key[0]] = Mark(self.source, key[1], span, {})
        elif type(inner.parts) is list:
            return inner.parts[-1]
        elif said:  # it was only implied by a table inside it; this is where it is written
            (inner.key_start, inner.key_end), (inner.start, inner.end) = key[1], span
        return inner

    def append(self, table: Mark, key: Key, span: tuple[int, int]) -> Mark:
        """A new element of an array of tables."""
        parts = table.parts
        assert type(parts) is dict
        array = parts.get(key[0])
        if array is None:
            array = parts[key[0]] = Mark(self.source, key[1], span, [])
        assert type(array.parts) is list
        made = Mark(self.source, key[1], span, {})
        array.parts.append(made)
        return made

    def pair(self, table: Mark) -> None:
        """`key = value`, in a table or in braces."""
        keys = self.keys()
        self.at = _after(_space, self.text, self.at + 1)
        for key in keys[:-1]:
            table = self.step(table, key, key[1])
        assert type(table.parts) is dict
        name, span = keys[-1]
        table.parts[name] = self.value(span)

    def value(self, key: tuple[int, int] | None = None) -> Mark:
        """The value at hand; an array's element is its own key."""
        start, first = self.at, self.text[self.at]
        parts: Parts = None
        if first == "[":
            parts = self.array()
        elif first == "{":
            parts = self.braces()
        else:
            self.at = _after(_value, self.text, start)
        span = (start, self.at)
        return Mark(self.source, key or span, span, parts)

    def array(self) -> list[Mark]:
        parts: list[Mark] = []
        self.at += 1
        while self.text[self.blank()] != "]":
            parts.append(self.value())
            if self.text[self.blank()] == ",":
                self.at += 1
        self.at += 1
        return parts

    def braces(self) -> dict[str, Mark]:
        parts: dict[str, Mark] = {}
        table = Mark(self.source, (0, 0), (0, 0), parts)
        self.at += 1
        while self.text[self.blank()] != "}":
            self.pair(table)
            if self.text[self.blank()] == ",":
                self.at += 1
        self.at += 1
        return parts


def letter_places(text: str, start: int, end: int) -> list[int]:
    """Where each character stands that a text on one line means, and where it ends.

    :param start: of the opening quote.
    :param end: behind the closing one.
    """
    if text[start] == "'":
        return list(range(start + 1, end))
    places, at = [], start + 1
    while at < end - 1:
        places.append(at)
        escape = _escape.match(text, at)
        at = escape.end() if escape else at + 1
    return [*places, end - 1]


def _after(pattern: re.Pattern[str], text: str, at: int) -> int:
    """Where a match at this very place ends."""
    found = pattern.match(text, at)
    assert found is not None
    return found.end()


def _unescape(text: str) -> str:
    """The characters that a basic string means."""
    return _escape.sub(lambda found: _character(found[1]), text)


def _character(code: str) -> str:
    return chr(int(code[1:], 16)) if len(code) > 1 else _escapes.get(code, code)
