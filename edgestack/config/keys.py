"""How a key of the configuration is said, once: at the field of the frozen section that holds its value.

    @section("a limit")
    class Limit:
        burst: int = key(WHOLE, "How many may come at once.", default=0, example="20", nginx="limit_req … burst=")

From this one line come the check and its errors (`reading.py`), the JSON Schema, `config show`, the starter file and
the reference page. A field without `key` is no key of the file.

- A key is named as its field; `from_` and `try_` are `from` and `try`.
- A `lifted` key stands in the table above its section's: `[server] max_body`, not `[server.limits] body`.
- A `flag` is an option of `serve` too, by the same name or the one that is given, and an environment variable.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar, dataclass_transform

if TYPE_CHECKING:
    from edgestack.config.kinds import Kind

__all__ = ["Key", "Section", "Slot", "holding", "key", "section", "section_of", "sections_below"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Key:
    """What there is to know about one key."""

    kind: Kind
    """What its value may be."""
    doc: str
    """What it does: whole sentences for the reference and the editor."""
    name: str = ""
    """Its name in the file, where that is not the field's."""
    example: str = ""
    """A value as it is written in the file."""
    shown: str = ""
    """The default in words, where it is not the field's own."""
    nginx: str = ""
    """The directive of nginx that it corresponds to."""
    required: bool = False
    lifted: bool = False
    flag: bool | str = False

    def option(self, name: str) -> str:
        """The name of the option that means the same, with underscores; "" for none.

        :param name: of the key in the file.
        """
        return self.flag if isinstance(self.flag, str) else name if self.flag else ""


def key(
    kind: Kind,
    doc: str,
    *,
    default: Any = MISSING,
    name: str = "",
    example: str = "",
    shown: str = "",
    nginx: str = "",
    lifted: bool = False,
    flag: bool | str = False,
) -> Any:
    """A field that is a key. Without a default it is required."""
    told = Key(kind, doc, name, example, shown, nginx, default is MISSING, lifted, flag)
    return field(default=default, metadata={"key": told})


@dataclass(frozen=True, slots=True)
class Slot:
    """A key as a table's reader meets it: where its value goes."""

    key: Key
    field: str
    """The field of the section; for a lifted key that of the section inside."""
    inside: tuple[str, type] | None = None
    """Of a lifted key: the field that holds its section, and that section's class."""


@dataclass(frozen=True, slots=True)
class Section:
    """A table of the file."""

    called: str
    """As errors name it: "a route", "[server]"."""
    doc: str
    keys: Mapping[str, Slot]
    """By their names in the file, in order."""
    lifted: Mapping[str, Slot]
    """Those that stand in the table above instead."""
    scoped: bool
    """Whether a regex in it gives $1 … $9 to the templates beside it."""

    @property
    def required(self) -> list[str]:
        """The keys that must be there."""
        return [name for name, slot in self.keys.items() if slot.key.required]


def holding(*, default: Any) -> Any:
    """A field for a section whose keys are all lifted: it is no table of the file itself."""
    return field(default=default, metadata={"holds": type(default)})


@dataclass_transform(field_specifiers=(key, holding, dataclasses.field))
def section(
    called: str, *, scoped: bool = False, kw_only: bool = False, first: Sequence[str] = ()
) -> Callable[[type[T]], type[T]]:
    """Make a frozen dataclass with slots out of a class, and remember its keys.

    :param called: how errors name such a table.
    :param scoped: whether a regex in it gives $1 … $9 to the templates beside it.
    :param kw_only: whether its fields are given by name only, so that others may come before them in a subclass.
    :param first: the keys that are told first, where the fields' order is not the best one.
    """

    def make(cls: type[T]) -> type[T]:
        made = dataclass(frozen=True, slots=True, kw_only=kw_only)(cls)
        found: dict[str, Slot] = {}
        for one in dataclasses.fields(made):  # type: ignore[arg-type]
            found.update(_slots(one))
        ordered = {name: found[name] for name in (*first, *found)}
        own = {name: slot for name, slot in ordered.items() if slot.inside is not None or not slot.key.lifted}
        lifted = {name: slot for name, slot in ordered.items() if name not in own}
        doc = " ".join((cls.__doc__ or "").split())
        made.__section__ = Section(called, doc, own, lifted, scoped)  # type: ignore[attr-defined]
        return made

    return make


def section_of(cls: type) -> Section:
    """The keys of a class that `section` made."""
    told: Section = cls.__section__  # type: ignore[attr-defined]
    return told


def _slots(one: dataclasses.Field[Any]) -> dict[str, Slot]:
    """The keys that a field stands for: its own, and those that its section lifts into the table above."""
    told: Key | None = one.metadata.get("key")
    inner = one.metadata.get("holds") or getattr(told and told.kind, "cls", None)
    found: dict[str, Slot] = {}
    if told is not None:
        found[told.name or one.name.removesuffix("_")] = Slot(told, one.name)
    if inner is not None:
        for name, slot in section_of(inner).lifted.items():
            found[name] = Slot(slot.key, slot.field, (one.name, inner))
    return found


def sections_below(root: type, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], type]]:
    """Every section that the file may hold, with the names that lead to it; the root comes first, with none."""
    yield path, root
    for name, slot in section_of(root).keys.items():
        if slot.inside is None:
            for inner in slot.key.kind.sections():
                yield from sections_below(inner, (*path, name))
