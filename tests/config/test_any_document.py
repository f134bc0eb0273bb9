"""Whatever somebody writes, there is a configuration or there are errors, each with a place (issue 3, "Its errors")."""

from __future__ import annotations

import tempfile
import tomllib
from pathlib import Path
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from edgestack.config.keys import section_of, sections_below
from edgestack.config.load import load
from edgestack.config.model import File
from edgestack.config.problems import ConfigErrors, Problem
from edgestack.config.toml_text import duration_text, size_text, toml_text
from edgestack.config.values import duration, size

NAMES = sorted({name for _, cls in sections_below(File) for name in section_of(cls).keys} - {"include"})
TEXTS = [
    "", "/", "/x/", "= /x", "~ ^/(", "~ ^/(a)", "^~ /x/", "@x", "$uri", "$1", "${", "$host$status", "10/s", "1MB",
    "30s", "example.com", "*.example.com", "10.0.0.0/8", "all", "GET /", "GET https://a/", "off", "json", "spa", "5xx",
    "-", ".", "..", "a:b", ":80", "unix:x", "apex", "true", "\n", "é", "max-age=1",
]  # fmt: skip

leaves = st.one_of(
    st.sampled_from(TEXTS), st.booleans(), st.integers(-2, 9000), st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=4), st.times(), st.dates(),
)  # fmt: skip
names = st.one_of(st.sampled_from(NAMES), st.sampled_from(["404", "5xx", "X-A", "plan", "é"]))
values = st.recursive(
    leaves,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(names, inner, max_size=4)),
    max_leaves=12,
)


def valid(cls: type, draw: st.DrawFn) -> dict[str, Any]:
    """A table whose keys are a section's, with values that are often right."""
    table = {}
    for name, slot in section_of(cls).keys.items():
        if name == "include" or not draw(st.booleans()):
            continue
        inner = slot.key.kind.sections()
        if inner and draw(st.booleans()):
            made = valid(inner[0], draw)
            table[name] = [made] if list in slot.key.kind.takes else made
        elif slot.key.example and draw(st.booleans()):
            table[name] = tomllib.loads(f"x = {slot.key.example}")["x"]
        elif draw(st.integers(0, 4)) == 0:
            table[name] = draw(values)
    return table


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    return draw(st.dictionaries(names, values, max_size=6)) if draw(st.booleans()) else valid(File, draw)


def check(document: dict[str, Any]) -> None:
    text = "".join(f"{toml_text(name)} = {toml_text(value)}\n" for name, value in document.items())
    assert tomllib.loads(text) == document
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "edgestack.toml")
        file.write_text(text, "utf-8")
        try:
            load(file)
        except ConfigErrors as errors:
            found = [(type(one), one.line, bool(one.why), bool(one.shown())) for one in errors.errors]  # type: ignore[attr-defined]
        else:
            found = []
    assert all(kind is Problem and line and why and shown for kind, line, why, shown in found)


@settings(max_examples=150)
@given(documents())
@example({"route": [{"match": {"path": "~ ^/("}, "respond": "$1"}]})
@example({"site": [{"route": [{}]}, {}], "route": [{}]})
@example({"test": [{"request": "GET /", "expect": {"route": "~ ("}}]})
@example({"map": {"a": {"from": "$a", "to": {}}}})
def test_a_configuration_or_errors_with_places(document: dict[str, Any]) -> None:
    check(document)


@given(st.integers(0, 10**9).map(lambda number: number / 1000))
def test_durations_are_read_as_they_are_written(seconds: float) -> None:
    assert abs(duration(duration_text(seconds)) - seconds) < 1e-9


@given(st.integers(0, 1 << 45))
def test_sizes_are_read_as_they_are_written(count: int) -> None:
    assert size(size_text(count)) == count


@given(values)
def test_values_are_read_as_they_are_written(value: Any) -> None:
    assert tomllib.loads(f"x = {toml_text(value)}") == {"x": value}
