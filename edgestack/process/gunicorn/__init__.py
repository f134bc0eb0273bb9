"""What gunicorn's users bring with them: its settings, its configuration files, its environment, its hooks.

    settings.py     every setting of gunicorn: the key that says the same here, or what becomes of it
    values.py       a setting's value -> keys of `[server]` and `[tls]`, as they would be written in TOML
    log_atoms.py    `%(h)s` -> `$remote_addr`
    python_file.py  a configuration that is Python: run, and where each name stands in it
    reading.py      such a file -> the same document that a TOML file gives, and a `Said`
    said.py         what no key can hold: hooks, a table for logging.config; and `cfg`, as hooks see it
    words.py        options, GUNICORN_CMD_ARGS, PORT and the like -> overrides

Everything ends in the document and the overrides that `config/` reads and checks: behind this room nobody asks who
spoke gunicorn's language. Source: gunicorn's documentation, "Settings" (https://docs.gunicorn.org/en/stable/settings.html).
"""

from __future__ import annotations

from pathlib import Path

__all__ = ["is_python"]


def is_python(path: Path) -> bool:
    """Whether a configuration of that name is Python: `gunicorn.conf.py`, `file:PATH`, `python:MODULE`."""
    return str(path).startswith(("python:", "file:")) or path.suffix in (".py", ".pyc")
