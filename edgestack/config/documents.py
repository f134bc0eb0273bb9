"""Files into one document: read, parsed, their places indexed, and their includes put in.

    read_documents(path) -> Document(values, mark, files, warnings)
    read_text(text, folder)                                           the same for what stands in no file

What comes together: tables, key by key; arrays of tables, one after the other; anything else may be said once, and
saying it twice is an error that names both places. Includes are read after the file that names them, in its order; a
glob's files in the order of their names. A file that is reached twice counts once; one that includes itself is an
error.
"""

from __future__ import annotations

import glob
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgestack.config.place_kinds import closest
from edgestack.config.positions import Mark, Source, index_document
from edgestack.config.problems import ConfigErrors, Problem, told
from edgestack.errors import ConfigError

__all__ = ["Document", "merge", "read_documents", "read_text", "shown_path"]


@dataclass(slots=True)
class Document:
    """Several files as one."""

    values: dict[str, Any]
    """As tomllib gives them."""
    mark: Mark
    """Where they stand."""
    files: list[Path] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)


def read_documents(path: Path) -> Document:
    """Read a file and all that it includes.

    :raises ConfigErrors: one is missing, unreadable, no TOML, or says what another one said.
    """
    reader = _Reader()
    return reader.document(reader.read(path, []))


def read_text(text: str, folder: Path, name: str) -> Document:
    """Read a configuration that is at hand, and all that it includes.

    :param folder: where its relative paths begin.
    :param name: what its errors call it.
    :raises ConfigErrors: as above.
    """
    reader = _Reader()
    return reader.document(reader.parse(Source(name, text, folder), []))


def shown_path(path: Path) -> str:
    """A path as short as it can be said here."""
    whole = path.absolute()
    return os.path.relpath(whole) if whole.is_relative_to(Path.cwd()) else str(path)


class _Reader:
    """One reading of one tree of files."""

    def __init__(self) -> None:
        self.files: list[Path] = []
        self.problems: list[ConfigError] = []
        self.warnings: list[Problem] = []

    def document(self, found: tuple[dict[str, Any], Mark] | None) -> Document:
        """All that was read.

        :raises ConfigErrors: not all could be.
        """
        if self.problems:
            raise ConfigErrors(self.problems)
        assert found is not None
        return Document(*found, self.files, self.warnings)

    def read(self, path: Path, above: list[Path], spot: Mark | None = None) -> tuple[dict[str, Any], Mark] | None:
        """A file with its includes; None, and the problem kept, where that does not work.

        :param above: the files that led here, the outermost first.
        :param spot: where the last of them includes it.
        """
        source = self._source(path, spot)
        return self.parse(source, above, path) if source is not None else None

    def parse(self, source: Source, above: list[Path], path: Path | None = None) -> tuple[dict[str, Any], Mark] | None:
        """A text with its includes.

        :param path: of the file that it stands in, where it does in one.
        """
        import tomllib  # not for those who have no file, nor is what explains its errors

        from edgestack.config.syntax import deepest, explain_syntax, longest_number

        try:
            values = tomllib.loads(source.text)
            mark = index_document(source)
        except tomllib.TOMLDecodeError as error:
            self.problems.append(explain_syntax(str(error), source))
            return None
        except RecursionError:
            self.problems.append(Problem("this is nested too deeply", source, deepest(source.text)))
            return None
        except ValueError:  # more digits than int() takes (sys.set_int_max_str_digits)
            self.problems.append(Problem("this number is too large", source, longest_number(source.text)))
            return None
        here = [path] if path is not None else []
        self.files += here
        for pattern, spot in _includes(values, mark):
            for inner in self._matches(pattern, spot):
                self._include(inner, spot, (values, mark), [*above, *here])
        return values, mark

    def _include(self, path: Path, spot: Mark, into: tuple[dict[str, Any], Mark], above: list[Path]) -> None:
        same = [one.resolve() for one in above]
        if path.resolve() in same:
            ring = " → ".join(shown_path(one) for one in (*above[same.index(path.resolve()) :], path))
            self.problems.append(Problem(f"the files include each other: {ring}", spot.source, (spot.start, spot.end)))
            return
        if path.resolve() in [one.resolve() for one in self.files]:
            return
        found = self.read(path, above, spot)
        if found is not None:
            found[0].pop("include", None)
            merge(into[0], into[1], *found, self.problems)

    def _source(self, path: Path, spot: Mark | None) -> Source | None:
        """The file's text."""
        name = shown_path(path)
        try:
            raw = path.read_bytes()
        except OSError as error:
            hint = closest(path, str(path)) if isinstance(error, FileNotFoundError) else ""
            why = f"the file {name} cannot be read: {told(error)}"
            if spot is None:
                self.problems.append(ConfigError(why, hint=hint))
            else:
                self.problems.append(Problem(why, spot.source, (spot.start, spot.end), hint=hint, key="include"))
            return None
        try:
            text = raw.decode("utf-8-sig").replace("\r\n", "\n")
        except UnicodeDecodeError as error:
            whole = Source(name, raw.decode("utf-8", "replace"), path.parent)
            at = len(raw[: error.start].decode("utf-8", "replace"))
            self.problems.append(Problem("this byte is not UTF-8", whole, (at, at + 1), hint="save the file as UTF-8"))
            return None
        return Source(name, text, path.parent)

    def _matches(self, pattern: str, spot: Mark) -> list[Path]:
        """The files that an element of `include` means; the problem kept, where they cannot be looked at."""
        why = "this is no path"
        try:
            if pattern and "\0" not in pattern:
                return self._found(pattern, spot)
        except OSError as error:
            why = f"this cannot be looked at: {told(error)}"
        self.problems.append(Problem(why, spot.source, (spot.start, spot.end), key="include"))
        return []

    def _found(self, pattern: str, spot: Mark) -> list[Path]:
        """The files, looked for."""
        folder = spot.source.folder
        if not glob.has_magic(pattern):
            path = folder / pattern
            if not path.is_file():
                hint, why = closest(path, pattern), f"the file {pattern} does not exist"
                if path.is_dir():
                    hint, why = f'did you mean "{pattern.rstrip("/")}/*.toml"?', f"{pattern} is a folder"
                self.problems.append(Problem(why, spot.source, (spot.start, spot.end), hint=hint, key="include"))
                return []
            return [path]
        names = sorted(glob.glob(pattern, root_dir=folder, recursive=True))
        found = [folder / name for name in names if (folder / name).is_file()]
        if not found:
            self.warnings.append(Problem("no file is like this", spot.source, (spot.start, spot.end), key="include"))
        return found


def _includes(values: dict[str, Any], mark: Mark) -> list[tuple[str, Mark]]:
    """The elements of `include`; what is no text is told when the keys are read."""
    said = values.get("include")
    spot = mark.child("include")
    if isinstance(said, str):
        return [(said, spot)]
    if isinstance(said, list):
        return [(one, spot.child(at)) for at, one in enumerate(said) if isinstance(one, str)]
    return []


def merge(values: dict[str, Any], mark: Mark, others: dict[str, Any], other: Mark, problems: list[ConfigError]) -> None:
    """Put a second table into a first one."""
    assert isinstance(mark.parts, dict)
    for name, value in others.items():
        spot = other.child(name)
        if name not in values:
            values[name], mark.parts[name] = value, spot
            continue
        there, first = values[name], mark.parts[name]
        if isinstance(there, dict) and isinstance(value, dict):
            merge(there, first, value, spot, problems)
        elif _tables(there) and _tables(value):
            assert isinstance(first.parts, list)
            assert isinstance(spot.parts, list)
            there += value
            first.parts += spot.parts
        else:
            why = f"`{name}` is said twice: here and at {first.origin}"
            problems.append(Problem(why, spot.source, (spot.key_start, spot.key_end), key=name))


def _tables(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, dict) for one in value)
