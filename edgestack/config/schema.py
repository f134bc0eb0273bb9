"""The JSON Schema of `edgestack.toml`, for editors (Even Better TOML, Taplo): made from the metadata of the keys.

Draft 2020-12. It knows types, choices, defaults and unknown keys; what needs the disk or other keys only `check` knows.
"""

from __future__ import annotations

import tomllib
from typing import Any

from edgestack.config.keys import Key, Section, section_of, sections_below
from edgestack.config.model import File

__all__ = ["json_schema"]


def json_schema() -> dict[str, Any]:
    """The whole schema."""
    definitions = {cls.__name__: _object(section_of(cls)) for path, cls in sections_below(File) if path}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "edgestack.toml",
        **_object(section_of(File)),
        "$defs": dict(sorted(definitions.items())),
    }


def _object(told: Section) -> dict[str, Any]:
    """A table."""
    made: dict[str, Any] = {
        "type": "object",
        "description": told.doc,
        "properties": {name: _property(slot.key) for name, slot in told.keys.items()},
        "additionalProperties": False,
    }
    if told.required:
        made["required"] = told.required
    return made


def _property(key: Key) -> dict[str, Any]:
    """A key."""
    made = key.kind.schema() | {"description": key.doc}
    if key.shown:
        made["description"] += f" Default: {key.shown}."
    if key.example:
        made["examples"] = [tomllib.loads(f"x = {key.example}")["x"]]
    return made
