"""The way in: a file, flags and the environment in, a checked `Config` out, or all errors at once.

    load(path, overrides) -> Loaded(config, warnings, …)        raises ConfigErrors

    documents.py    files parsed, includes put in        overrides.py   flag > environment > file
    reading.py      tables read into sections            assembling.py  sections checked as a whole

Syntax errors are told alone: what follows from half a file would be noise. Everything else is told together.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgestack.config.assembling import assemble
from edgestack.config.documents import Document, read_documents
from edgestack.config.model import Config, File
from edgestack.config.overrides import Override, apply
from edgestack.config.positions import Mark, Source
from edgestack.config.problems import ConfigErrors, Problem
from edgestack.config.reading import Reading
from edgestack.errors import ConfigError

__all__ = ["FILE_NAME", "Loaded", "find", "load", "load_document", "nothing"]

FILE_NAME = "edgestack.toml"


@dataclass(frozen=True, slots=True)
class Loaded:
    """A configuration, and where it comes from."""

    config: Config
    warnings: tuple[Problem, ...]
    values: dict[str, Any]
    """What was said, as TOML values: files, includes, environment and flags together."""
    mark: Mark
    """Where each of them stands."""
    files: tuple[Path, ...]
    """The files that were read, the first first."""

    def says(self, *path: str) -> bool:
        """Whether anybody said the key that these names lead to."""
        value: Any = self.values
        for name in path:
            if not isinstance(value, dict) or name not in value:
                return False
            value = value[name]
        return True


def find(folder: Path) -> Path | None:
    """The configuration file of a folder, when there is one."""
    path = folder / FILE_NAME
    return path if os.path.isfile(path) else None


def load(path: Path | str | None, overrides: Iterable[Override] = ()) -> Loaded:
    """Read and check a configuration.

    :param path: the file; None for what flags and environment alone say.
    :param overrides: what is said outside the file, the weakest first.
    :raises ConfigErrors: with everything that is wrong.
    """
    return load_document(read_documents(Path(path)) if path is not None else nothing(), overrides)


def load_document(document: Document, overrides: Iterable[Override] = ()) -> Loaded:
    """The same for what was read already.

    :raises ConfigErrors: with everything that is wrong.
    """
    reading = Reading(File)
    outside = apply(overrides, document)
    file = reading.table(File, document.values, document.mark)
    assert file is not None  # no key of the file as a whole is required
    config = assemble(file, document.mark, reading, document.files)
    errors = [*outside, *reading.problems]
    if errors:
        raise ConfigErrors(_in_order(errors, document))
    warnings = (*document.warnings, *reading.warnings)
    return Loaded(config, warnings, document.values, document.mark, tuple(document.files))


def nothing() -> Document:
    """What no file says."""
    return Document({}, Mark(Source("", "", Path()), (0, 0), (0, 0), {}))


def _in_order(errors: list[ConfigError], document: Document) -> list[ConfigError]:
    """By file as they were read, line and column; what stands in no file first."""
    names = list(dict.fromkeys(error.file for error in errors))
    return sorted(errors, key=lambda error: (bool(error.line), names.index(error.file), error.line, error.column))
