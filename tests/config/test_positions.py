"""Where keys and values stand, held to `tomllib`: the same tree, and each span reads as its value.

The generator writes documents from the grammar of TOML 1.0, not by our own scanner, and tomllib is the oracle.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from edgestack.config.positions import Mark, Source, index_document

BLANKS = st.sampled_from(["", " ", "\t", "  "])
LINES = st.sampled_from(["\n", "\n\n", " # note = [1\n", "\n\t\n", "#]]'\"\n", "\r\n"])

bare = st.text("abcXYZ019_-", min_size=1, max_size=3)
plain = st.text(st.characters(exclude_categories=["Cc", "Cs"], exclude_characters="\"'\\"), max_size=6)
ESCAPED = st.sampled_from(["\\n", '\\"', "\\\\", "\\u00e9", "\\U0001F600", "\\t", "#", "[", "]", "=", ".", "'"])
basic = st.lists(st.one_of(plain, ESCAPED), max_size=3).map(lambda parts: f'"{"".join(parts)}"')
literal = st.lists(st.one_of(plain, st.sampled_from(["\\", '"', "#", "\\n"])), max_size=3).map(
    lambda parts: f"'{''.join(parts)}'"
)
long_basic = st.lists(
    st.one_of(plain, ESCAPED, st.sampled_from(["\n", '"', '""', "\\\n  ", "'''", "\r\n"])), max_size=5
).map(lambda parts: f'"""{"".join(parts)}"""')
long_literal = st.lists(st.one_of(plain, st.sampled_from(["\n", "'", "''", "\\", '"""'])), max_size=5).map(
    lambda parts: f"'''{''.join(parts)}'''"
)
ATOMS = st.sampled_from(
    [
        "true", "false", "0", "-17", "+1_000", "0xdead_BEEF", "0o17", "0b101", "1.5", "-2e10", "6.6E-3", "inf", "-nan",
        "1979-05-27", "07:32:00", "1979-05-27T07:32:00Z", "1979-05-27 07:32:00.5", "1979-05-27 07:32:00+01:00",
    ]
)  # fmt: skip
scalars = st.one_of(ATOMS, basic, literal, long_basic, long_literal)
keys = st.lists(st.one_of(bare, bare, bare, basic, literal), min_size=1, max_size=3).flatmap(
    lambda names: st.tuples(*[BLANKS for _ in names[1:]]).map(
        lambda gaps: names[0] + "".join(f"{gap}.{gap}{name}" for gap, name in zip(gaps, names[1:], strict=True))
    )
)


@st.composite
def arrays(draw: st.DrawFn, inner: st.SearchStrategy[str]) -> str:
    parts = draw(st.lists(inner, max_size=3))
    gaps = st.one_of(BLANKS, LINES)
    body = "".join(draw(gaps) + part + draw(gaps) + "," for part in parts)
    return f"[{body[:-1] if body and draw(st.booleans()) else body}{draw(gaps)}]"


@st.composite
def braces(draw: st.DrawFn, inner: st.SearchStrategy[str]) -> str:
    parts = [f"{draw(keys)}{draw(BLANKS)}={draw(BLANKS)}{draw(inner)}" for _ in range(draw(st.integers(0, 3)))]
    return "{" + ",".join(draw(BLANKS) + part + draw(BLANKS) for part in parts) + "}"


values = st.recursive(scalars, lambda inner: st.one_of(arrays(inner), braces(inner)), max_leaves=6)


@st.composite
def documents(draw: st.DrawFn) -> str:
    out: list[str] = [draw(LINES)]
    for _ in range(draw(st.integers(0, 8))):
        kind = draw(st.sampled_from(["pair", "pair", "pair", "table", "array"]))
        if kind == "pair":
            out.append(f"{draw(BLANKS)}{draw(keys)}{draw(BLANKS)}={draw(BLANKS)}{draw(values)}")
        else:
            left, right = ("[", "]") if kind == "table" else ("[[", "]]")
            out.append(f"{draw(BLANKS)}{left}{draw(BLANKS)}{draw(keys)}{draw(BLANKS)}{right}")
        out.append(draw(BLANKS) + draw(LINES))
    return "".join(out)


def check(value: Any, mark: Mark, text: str) -> None:
    """The tree has the value's shape, and what stands at each place reads as what tomllib gives."""
    if isinstance(value, dict):
        assert isinstance(mark.parts, dict)
        assert list(mark.parts) == list(value)
        for name, inner in value.items():
            part = mark.parts[name]
            assert tomllib.loads(f"{text[part.key_start : part.key_end]} = 1") == {name: 1}
            check(inner, part, text)
    elif isinstance(value, list):
        assert isinstance(mark.parts, list)
        assert len(mark.parts) == len(value)
        for inner, part in zip(value, mark.parts, strict=True):
            check(inner, part, text)
    else:
        assert mark.parts is None
        read = tomllib.loads(f"x = {text[mark.start : mark.end]}")["x"]
        assert read == value or (read != read and value != value)


def source(text: str) -> Source:
    return Source("x.toml", text.replace("\r\n", "\n"), Path())


@settings(max_examples=200)
@given(documents())
def test_it_agrees_with_tomllib(text: str) -> None:
    try:
        read = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        assume(False)
    one = source(text)
    check(read, index_document(one), one.text)


DOCUMENT = """\
# a comment
top = 1
[server]
  threads = 8   # "eight"
"odd \\u00e9" . x = 'y'

[[route]]
match = "/a"
headers = { set = { A = "1" }, remove = ["B", "C"] }
[route.limit]
rate = "10/s"
[[route]]
match = '''
/b'''
"""


@pytest.mark.parametrize(
    ("path", "place", "written"),
    [
        (("top",), (2, 1), "1"),
        (("server",), (3, 2), "[server]"),
        (("server", "threads"), (4, 3), "8"),
        (("server", "odd é"), (5, 1), '"odd \\u00e9"'),
        (("server", "odd é", "x"), (5, 16), "'y'"),
        (("route",), (7, 3), "[[route]]"),
        (("route", 0), (7, 3), "[[route]]"),
        (("route", 0, "headers", "set", "A"), (9, 21), '"1"'),
        (("route", 0, "headers", "remove", 1), (9, 47), '"C"'),
        (("route", 0, "limit", "rate"), (11, 1), '"10/s"'),
        (("route", 1), (12, 3), "[[route]]"),
        (("route", 1, "match"), (13, 1), "'''\n/b'''"),
        (("route", 1, "absent"), (12, 3), "[[route]]"),
    ],
)
def test_places(path: tuple[str | int, ...], place: tuple[int, int], written: str) -> None:
    mark = index_document(source(DOCUMENT))
    for step in path:
        mark = mark.child(step)
    assert mark.origin[1:] == place
    assert DOCUMENT[mark.start : mark.end] == written


def test_lines_and_ends() -> None:
    one = source("a = 1\n\nb = 2")
    assert [tuple(one.place(at)[1:]) for at in (0, 4, 5, 6, 7, 12)] == [(1, 1), (1, 5), (1, 6), (2, 1), (3, 1), (3, 6)]
    assert [one.line(number) for number in (1, 2, 3)] == ["a = 1", "", "b = 2"]
    assert str(one.place(7)) == "x.toml:3"
    assert str(Source("--threads", "", Path()).place(0)) == "--threads"
