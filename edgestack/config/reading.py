"""From a table of TOML to a frozen section: every key looked up, every value read by its kind, every error kept.

    Reading(File).table(Route, value, mark) -> Route | None

`value` is what tomllib gave and `mark` where it stands. An error does not stop the reading: the key takes its default
and the rest is read, so that all errors are told at once. A section whose required key is missing or wrong is None.

Templates are checked at the end (`check_templates`), when all `[map.NAME]` tables and the route's regex are known.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import date, datetime, time
from typing import Any, TypeVar

from edgestack.config.keys import Section, Slot, section_of
from edgestack.config.kinds import FAILED, Kind, NotHere
from edgestack.config.nested_kinds import Table, Tables
from edgestack.config.positions import Mark, letter_places
from edgestack.config.problems import Problem, listed, told
from edgestack.config.unknown import explain_unknown
from edgestack.errors import ConfigError
from edgestack.http.variables import Scope, TemplateError, Use, Variable, compile_template

__all__ = ["Cell", "Reading", "Spot"]

T = TypeVar("T")

TYPE_WORDS: dict[type, str] = {
    str: "text", bool: "true or false", int: "a number", float: "a fraction", dict: "a table", list: "an array",
    datetime: "a date", date: "a date", time: "a time",
}  # fmt: skip

BITS = 63
"""Of a number, beside its sign: what TOML has every reader accept (toml.io, Integer)."""


names_in = re.compile(r"\$\{?(\w+)", re.ASCII).finditer
"""The names of a template's variables."""


class Cell:
    """What the templates of a scoped section can see: the regex beside them, once it was read."""

    __slots__ = ("broken", "pattern", "scope")

    def __init__(self) -> None:
        self.pattern: re.Pattern[str] | None = None
        self.broken = False
        self.scope: Scope | None = None


class Spot:
    """Where a kind reads: the place, the key, and the reading that keeps what is found out."""

    __slots__ = ("mark", "name", "reading")

    def __init__(self, reading: Reading, mark: Mark, name: str) -> None:
        self.reading = reading
        self.mark = mark
        self.name = name

    def part(self, name: str | int) -> Spot:
        """The place of an element or of a key inside."""
        return Spot(self.reading, self.mark.child(name), self.name if isinstance(name, int) else name)

    def attempt(self, kind: Kind, value: Any, name: str | int) -> Any:
        """Read a part with its own kind; FAILED, and an error kept, where that does not work."""
        return self.reading.value(kind, value, self.part(name))


class Reading:
    """One reading of one configuration, and all that was found wrong with it."""

    def __init__(self, root: type) -> None:
        """
        :param root: the section of the whole file.
        """
        self.root = root
        self.problems: list[Problem] = []
        self.warnings: list[Problem] = []
        self.templates: list[tuple[str, str, Use, Spot, Cell]] = []
        self.cell = Cell()
        self.flawed: set[Mark] = set()
        """Values that could not be read, and tables with unknown keys: what follows from them would be noise."""

    # --- telling --------------------------------------------------------------------------------------------------

    def problem(
        self, mark: Mark, why: str, hint: str = "", *, key: str = "", span: tuple[int, int] | None = None
    ) -> None:
        """Keep an error about a value.

        :param span: the part of the value at fault, in characters of what the value means.
        """
        self.problems.append(Problem(why, mark.source, _span(mark, span), hint=hint, key=key))

    def key_problem(self, mark: Mark, why: str, hint: str = "", *, key: str = "") -> None:
        """Keep an error about a key, or a table as a whole."""
        self.problems.append(Problem(why, mark.source, (mark.key_start, mark.key_end), hint=hint, key=key))

    def warn(self, mark: Mark, why: str, hint: str = "", *, key: str = "", on_key: bool = False) -> None:
        """Keep a warning."""
        span = (mark.key_start, mark.key_end) if on_key else (mark.start, mark.end)
        self.warnings.append(Problem(why, mark.source, span, hint=hint, key=key))

    # --- tables ---------------------------------------------------------------------------------------------------

    def table(self, cls: type[T], value: Mapping[str, Any], mark: Mark) -> T | None:
        """Read a table into its section."""
        told = section_of(cls)
        outer = self.cell
        if told.scoped:
            self.cell = Cell()
        values, complete = self._values(told, value, mark)
        self.cell = outer
        return cls(**values) if complete else None

    def _values(self, told: Section, value: Mapping[str, Any], mark: Mark) -> tuple[dict[str, Any], bool]:
        """The fields' values, and whether all that is required is there."""
        values: dict[str, Any] = {}
        lifted: dict[tuple[str, type], dict[str, Any]] = {}
        slots = told.keys
        for name, raw in value.items():
            slot = slots.get(name)
            if slot is None:
                self._unknown(told, name, raw, value, mark)
                continue
            found = self.value(slot.key.kind, raw, Spot(self, mark.child(name), name), slot)
            if found is FAILED:
                continue
            if slot.inside is None:
                values[slot.field] = found
            else:
                lifted.setdefault(slot.inside, {})[slot.field] = found
        for (field, cls), changes in lifted.items():
            values[field] = replace(values.get(field) or cls(), **changes)
        missing = [name for name in told.required if name not in value]
        if missing:
            self.key_problem(mark, f"{told.called} needs {listed(missing)}", _example(slots[missing[0]], missing[0]))
        return values, not missing and all(slots[name].field in values for name in told.required)

    def _unknown(self, told: Section, name: str, raw: Any, value: Mapping[str, Any], mark: Mark) -> None:
        hint = explain_unknown(name, told, raw, set(value), self.root)
        where = "at the top of the file" if told is section_of(self.root) else f"in {told.called}"
        self.key_problem(mark.child(name), f"there is no key `{name}` {where}", hint, key=name)
        self.flawed.add(mark)

    # --- values ---------------------------------------------------------------------------------------------------

    def value(self, kind: Kind, value: Any, spot: Spot, slot: Slot | None = None) -> Any:
        """Read one value; FAILED, and an error kept, where it is not what it should be."""
        found = self._read(kind, value, spot, slot)
        if found is FAILED:
            self.flawed.add(spot.mark)
        return found

    def _read(self, kind: Kind, value: Any, spot: Spot, slot: Slot | None) -> Any:
        example = _example(slot, spot.name) if slot else ""
        if type(value) is int and value.bit_length() > BITS:
            self.problem(spot.mark, "this number is too large", key=spot.name)
            return FAILED
        if type(value) not in kind.takes:
            why = f"`{spot.name}` is {kind.words}, not {TYPE_WORDS.get(type(value), 'that')}"
            self.problem(spot.mark, why, _meant(kind, value, spot, slot) or example, key=spot.name)
            return FAILED
        try:
            return kind.read(value, spot)
        except ConfigError as error:
            hint = error.hint or ("" if isinstance(error, NotHere) else example)
            self.problem(spot.mark, error.why, hint, key=spot.name)
        except re.error as error:
            self.cell.broken = True
            at = None if error.pos is None else (error.pos, error.pos + 1)
            self.problem(spot.mark, f"this regex is not valid: {error.msg}", key=spot.name, span=at)
        except OSError as error:
            self.problem(spot.mark, f"this cannot be looked at: {told(error)}", key=spot.name)
        return FAILED

    # --- templates ------------------------------------------------------------------------------------------------

    def template(self, text: str, moment: str, use: Use, spot: Spot) -> None:
        """Have a template checked once everything that it may name is known."""
        self.templates.append((text, moment, use, spot, self.cell))

    def check_templates(self, maps: Mapping[str, Variable], unfit: Mapping[str, Mark] | None = None) -> None:
        """Compile every template, and keep the errors.

        :param unfit: maps that give something which cannot stand in a field, and where.
        """
        for text, moment, use, spot, cell in self.templates:
            if "$" not in text or cell.broken:
                continue
            if cell.scope is None:
                cell.scope = Scope(cell.pattern, maps)
            try:
                compile_template(text, moment, cell.scope, use=use)
            except TemplateError as error:
                self.problem(spot.mark, error.why, error.hint, key=spot.name, span=error.span)
            if use == "url" and unfit:
                self._check_fits(text, spot, unfit)

    def _check_fits(self, text: str, spot: Spot, unfit: Mapping[str, Mark]) -> None:
        for found in names_in(text):
            if found[1] in unfit:
                why = f"`${found[1]}` may give what cannot stand in a field"
                self.problem(spot.mark, why, f"see {unfit[found[1]].origin}", key=spot.name, span=found.span())


def _span(mark: Mark, inner: tuple[int, int] | None) -> tuple[int, int]:
    """The place of a part of a text, where it stands on one line; else of all of it."""
    start, end = mark.start, mark.end
    if inner is None or mark.source.text[start : start + 3] in ("", '"""', "'''"):
        return start, end
    places = letter_places(mark.source.text, start, end)
    return places[min(inner[0], len(places) - 1)], places[min(inner[1], len(places) - 1)]


def _meant(kind: Kind, value: Any, spot: Spot, slot: Slot | None) -> str:
    """The same value, written as the right type."""
    name = spot.name
    if isinstance(value, str):
        if kind.takes == (bool,) and type(kind.plain(value)) is bool:
            return f"did you mean `{name} = {str(kind.plain(value)).lower()}`?"
        if int in kind.takes and value.strip().isascii() and value.strip().isdigit():
            return f"without the quotes: `{name} = {value.strip()}`"
    if type(value) in (int, float) and str in kind.takes and (slot is None or _reads(kind, str(value), spot)):
        return f'in quotes: `{name} = "{value}"`'
    if isinstance(kind, Tables):
        return f"each one is written `[[{name}]]`, in two brackets"
    if isinstance(value, list) and isinstance(kind, Table):
        return f"there is only one: `[{name}]`, in single brackets"
    return ""


def _reads(kind: Kind, text: str, spot: Spot) -> bool:
    """Whether a text would be right, and not only because any text is."""
    scratch = Reading(spot.reading.root)
    return not kind.any_text() and scratch.value(kind, text, Spot(scratch, spot.mark, spot.name)) is not FAILED


def _example(slot: Slot, name: str) -> str:
    return f"for instance `{name} = {slot.key.example}`" if slot.key.example else ""
