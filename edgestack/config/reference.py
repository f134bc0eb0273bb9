"""The rows of the reference page: every key with type, default, example and nginx's directive; variables; presets.

Made from the same metadata as the checks, so that the page cannot be wrong about what the program takes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from edgestack.config.keys import Slot, section_of, sections_below
from edgestack.config.model import File
from edgestack.config.presets import MEANINGS
from edgestack.config.toml_text import default_text
from edgestack.config.unknown import written
from edgestack.http.variables import FAMILIES, TIMED, VARIABLES

__all__ = ["KeyRow", "SectionRows", "VariableRow", "preset_rows", "reference", "variable_rows"]


class KeyRow(NamedTuple):
    """One key."""

    name: str
    type: str
    default: str
    """In words, or as it is written; "" for a key that must be there, and for tables."""
    example: str
    doc: str
    nginx: str
    flag: str
    """The option of `serve` with the same meaning; "" for none."""
    required: bool = False


class SectionRows(NamedTuple):
    """One table of the file."""

    name: str
    """As it is written: `[server.limits]`, a `[[route]]`."""
    doc: str
    keys: tuple[KeyRow, ...]


class VariableRow(NamedTuple):
    """One variable, or one family of them."""

    name: str
    moment: str
    doc: str


def reference() -> list[SectionRows]:
    """Every table, in the order of the file; one that stands in several places is told once."""
    places: dict[type, list[tuple[str, ...]]] = {}
    for path, cls in sections_below(File):
        places.setdefault(cls, []).append(path)
    return [SectionRows(_name(paths), section_of(cls).doc, tuple(_rows(cls))) for cls, paths in places.items()]


def _name(paths: Sequence[tuple[str, ...]]) -> str:
    """Where a table stands; a route's tables stand in a site's routes as well."""
    plain = [path for path in paths if path[:2] != ("site", "route")]
    names = [written(path) for path in plain]
    first = names[0].rpartition(" of ")[0]
    return " or ".join([names[0], *(name.removeprefix(f"{first} of ") for name in names[1:])])


def _rows(cls: type) -> Iterator[KeyRow]:
    for name, slot in section_of(cls).keys.items():
        key = slot.key
        default = default_text(key, _default(cls, slot))
        kind = key.kind.words.removeprefix("a ").removeprefix("an ")
        option = key.option(name)
        flag = f"--{option.replace('_', '-')}" if option else ""
        yield KeyRow(name, kind, default, key.example, key.doc, key.nginx, flag, key.required)


def _default(cls: Any, slot: Slot) -> Any:
    owner: Any = cls if slot.inside is None else slot.inside[1]
    return next(one.default for one in dataclasses.fields(owner) if one.name == slot.field)


def variable_rows() -> list[VariableRow]:
    """Every variable."""
    rows = [VariableRow(f"${name}", one.moment, one.doc) for name, one in VARIABLES.items()]
    rows += [VariableRow(f"${name}", "request", doc) for name, (_, doc) in TIMED.items()]
    rows += [VariableRow(f"${prefix}…", moment, doc) for prefix, (_, doc, moment) in FAMILIES.items()]
    rows.append(VariableRow("$server_name", "request", "the site's first host"))
    rows.append(VariableRow("$1 … $9", "request", "what the regex caught; named groups are variables by their names"))
    return rows


def preset_rows() -> list[tuple[str, str]]:
    """Every preset, and what it does."""
    return [(name, meaning.doc) for name, meaning in MEANINGS.items()]
