"""Values as they are written in TOML: for `config show`, the starter file, and the reference page."""

from __future__ import annotations

import json
import re
from typing import Any

from edgestack.config.keys import Key
from edgestack.config.kinds import DURATION, DURATION_OR_0, SIZE

__all__ = ["default_text", "duration_text", "key_text", "size_text", "toml_text"]

_bare = re.compile(r"[A-Za-z0-9_-]+")

DURATIONS = ((86400, "d"), (3600, "h"), (60, "m"), (1, "s"))
SIZES = ((1 << 30, "GiB"), (10**9, "GB"), (1 << 20, "MiB"), (10**6, "MB"), (1 << 10, "KiB"), (10**3, "kB"))


def toml_text(value: Any) -> str:
    """A value on one line; text in double quotes, or in single ones where that saves backslashes."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(toml_text, value))}]"
    if isinstance(value, dict):
        inner = ", ".join(f"{key_text(name)} = {toml_text(one)}" for name, one in value.items())
        return f"{{ {inner} }}" if inner else "{}"
    return str(value)


def key_text(name: str) -> str:
    """A key, in quotes where it needs them."""
    return name if _bare.fullmatch(name) else toml_text(name)


def _text(text: str) -> str:
    if ("\\" in text or '"' in text) and "'" not in text and text.isprintable():
        return f"'{text}'"
    escaped = json.dumps(text, ensure_ascii=False)  # the escapes of JSON are those of TOML, but for DEL
    return escaped.replace("\x7f", "\\u007f")


def duration_text(seconds: float) -> str:
    """Seconds as people write them: "90s", "2m", "500ms"."""
    for unit, name in DURATIONS:
        if seconds >= unit and seconds % unit == 0:
            return f"{int(seconds // unit)}{name}"
    return f"{round(seconds * 1000)}ms" if seconds else "0s"


def size_text(count: int) -> str:
    """Bytes as people write them: "64KiB", "100MB"."""
    for unit, name in SIZES:
        if count >= unit and count % unit == 0:
            return f"{count // unit}{name}"
    return str(count)


def default_text(key: Key, default: Any) -> str:
    """A key's default as the reference shows it: in words, or as it would be written."""
    if key.required:
        return ""
    if key.shown:
        return key.shown
    if key.kind in (DURATION, DURATION_OR_0):
        return toml_text(duration_text(default))
    if key.kind is SIZE:
        return toml_text(size_text(default))
    return toml_text(default) if isinstance(default, bool | int | float | str | tuple) else ""
