"""What holds, and who said so: the data of `edgestack config show`.

    settings(loaded) -> [Setting("server.threads", "4", "EDGESTACK_THREADS"), …]

An origin is "default", a file and its line, a variable, or a flag. Of `[server]` and `[tls]` every key is there; of the
rest what was said, and what a route has from its site.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any, NamedTuple

from edgestack.config.keys import Slot, section_of
from edgestack.config.load import Loaded
from edgestack.config.model import File
from edgestack.config.positions import Mark
from edgestack.config.rules import Rules
from edgestack.config.toml_text import default_text, key_text, toml_text
from edgestack.config.unknown import ARRAYS

__all__ = ["DEFAULT", "Setting", "settings"]

DEFAULT = "default"


class Setting(NamedTuple):
    """One effective value."""

    key: str
    """Its path: `server.threads`, `route[0].match`."""
    value: str
    """As TOML, or in words where a default is no value."""
    origin: str


def settings(loaded: Loaded) -> list[Setting]:
    """Everything that holds."""
    values, mark = loaded.values, loaded.mark
    found: list[Setting] = []
    for name in ("server", "tls"):
        kind: Any = section_of(File).keys[name].key.kind
        found += _complete(kind.cls, values.get(name, {}), mark.child(name), name)
    for name, value in values.items():
        if name in ("upstream", "cache"):
            for group, table in value.items():
                found += _group(table, mark.child(name).child(group), f"{name}.{key_text(group)}")
        elif name not in ("server", "tls"):
            found += _said(value, mark.child(name), key_text(name))
    return found


def _group(value: dict[str, Any], mark: Mark, path: str) -> Iterator[Setting]:
    """A line for each key of an upstream, or a cache."""
    for name, one in value.items():
        yield Setting(f"{path}.{key_text(name)}", toml_text(one), str(mark.child(name).origin))


def _complete(cls: type, values: dict[str, Any], mark: Mark, path: str) -> Iterator[Setting]:
    """Every key of a section, with its default where nobody said it."""
    for name, slot in section_of(cls).keys.items():
        inner = getattr(slot.key.kind, "cls", None)
        where = f"{path}.{name}"
        if inner is not None:
            yield from _complete(inner, values.get(name, {}), mark.child(name), where)
        elif name in values:
            yield Setting(where, toml_text(values[name]), str(mark.child(name).origin))
        else:
            yield Setting(where, default_text(slot.key, _default(cls, slot)), DEFAULT)


def _default(cls: type, slot: Slot) -> Any:
    owner = cls if slot.inside is None else slot.inside[1]
    fields: Any = owner
    return next(one.default for one in dataclasses.fields(fields) if one.name == slot.field)


def _said(value: Any, mark: Mark, path: str, inherited: dict[str, Setting] | None = None) -> Iterator[Setting]:
    """What a table, or an array of tables, says; down to the keys, whose values are shown whole."""
    if isinstance(value, list) and mark.parts and all(isinstance(one, dict) for one in value) and _is_section(path):
        for at, one in enumerate(value):
            yield from _table(one, mark.child(at), f"{path}[{at}]", inherited or {})
    elif isinstance(value, dict) and path.count(".") == 0 and "[" not in path:
        for name, one in value.items():
            yield from _said(one, mark.child(name), f"{path}.{key_text(name)}")
    else:
        yield Setting(path, toml_text(value), str(mark.origin))


def _table(value: dict[str, Any], mark: Mark, path: str, inherited: dict[str, Setting]) -> Iterator[Setting]:
    """One element of an array of tables, and what it has from the site above."""
    rules = {
        name: Setting(name, toml_text(one), str(mark.child(name).origin))
        for name, one in value.items()
        if name in Rules.__dataclass_fields__
    }
    for name, one in value.items():
        yield from _said(one, mark.child(name), f"{path}.{key_text(name)}", rules)
    for name, setting in inherited.items():
        if name not in value and not (name in ("allow", "deny") and value.keys() & {"allow", "deny"}):
            yield setting._replace(key=f"{path}.{name}")


def _is_section(path: str) -> bool:
    return path.rpartition(".")[2] in ARRAYS
