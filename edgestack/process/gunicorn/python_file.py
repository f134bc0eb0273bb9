"""A configuration that is Python: run as gunicorn runs it, and where each of its names stands.

    run_file(Path("gunicorn.conf.py"))     as the module `__config__`, with the current folder first on sys.path
    run_file(Path("python:shop.conf"))     imported by its name
    run_file(Path("file:gunicorn.conf"))   a file, whatever it is called

The names that it makes are its user's business. What fails in it is a ConfigError with the line at fault, and the
traceback. Which places a name's last assignment has, is read from the source; a name that came by `import *` or by
`exec` has none.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import os
import sys
import traceback
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from edgestack.config.documents import shown_path
from edgestack.config.place_kinds import closest
from edgestack.config.positions import Mark, Source
from edgestack.config.problems import ConfigErrors, Problem, told
from edgestack.errors import ConfigError

__all__ = ["PythonFile", "run_file"]

MODULE, FILE = "python:", "file:"

NAME = "__config__"
"""What the module of a file is called, as gunicorn has it."""


class PythonFile(NamedTuple):
    """What there is to know after a configuration was run."""

    names: dict[str, Any]
    """Everything at the top of the module."""
    marks: dict[str, Mark]
    """Where the last assignment to each name stands, if it stands in this file."""
    source: Source
    path: Path | None
    """The file that was read."""


def run_file(path: Path, folder: Path) -> PythonFile:
    """Run it.

    :param folder: what relative paths in it are relative to.
    :raises ConfigErrors: it is not there, or something in it fails.
    """
    here = os.getcwd()
    if here not in sys.path:
        sys.path.insert(0, here)
    said = str(path)
    module = _imported(said.removeprefix(MODULE)) if said.startswith(MODULE) else _run(Path(said.removeprefix(FILE)))
    file = getattr(module, "__file__", None)
    source = _source(Path(file) if file else None, said, folder)
    return PythonFile(vars(module), _marks(source), source, Path(file) if file else None)


def _imported(name: str) -> ModuleType:
    sys.modules.pop(name, None)  # a reload reads it again
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{name}.".startswith(f"{error.name}."):
            raise ConfigErrors([ConfigError(f"there is no module {name!r} to read a configuration from")]) from None
        raise _failed(error, None) from error
    except (Exception, SystemExit) as error:
        raise _failed(error, None) from error


def _run(path: Path) -> ModuleType:
    """Run a file, as a module of its own."""
    if not path.is_file():
        why = f"the file {path} is a folder" if path.is_dir() else f"the file {path} does not exist"
        raise ConfigErrors([ConfigError(why, hint=closest(path, str(path)))])
    loader = None if path.suffix in (".py", ".pyc") else SourceFileLoader(NAME, str(path))
    spec = importlib.util.spec_from_file_location(NAME, path, loader=loader)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[NAME] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise _failed(error, path) from error
    return module


def _failed(error: BaseException, path: Path | None) -> ConfigErrors:
    """What a configuration raised, at the line where it did, with its traceback."""
    if isinstance(error, OSError) and error.filename == str(path):
        return ConfigErrors([ConfigError(f"the file {path} cannot be read: {told(error)}")])
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame.lineno for frame in frames if path is not None and _is(frame.filename, path)]
    line = error.lineno if isinstance(error, SyntaxError) and error.filename == str(path) else next(iter(own[::-1]), 0)
    what = f"{type(error).__name__}: {error.msg if isinstance(error, SyntaxError) else error}".rstrip(": ")
    made: ConfigError = ConfigError(f"the configuration failed: {what}")
    if path is not None and line:
        source = _source(path, str(path), Path())
        start = source.starts()[line - 1]
        text = source.line(line)
        begin = start + len(text) - len(text.lstrip())
        made = Problem(f"the configuration failed: {what}", source, (begin, start + len(text.rstrip())))
    errors = ConfigErrors([made])
    if len(frames) > 1 and not isinstance(error, SyntaxError):
        shown = traceback.TracebackException.from_exception(error)
        shown.stack[:] = [
            frame for frame in shown.stack if frame.filename != __file__ and "importlib" not in frame.filename
        ]
        errors.traceback_text = "".join(shown.format())
    return errors


def _is(name: str, path: Path) -> bool:
    return os.path.abspath(name) == os.path.abspath(path)


def _source(path: Path | None, said: str, folder: Path) -> Source:
    """The text; none of a file that is compiled."""
    try:
        text = path.read_text("utf-8-sig") if path is not None and path.suffix != ".pyc" else ""
    except (OSError, ValueError):
        text = ""
    return Source(shown_path(path) if path is not None else said, text, folder)


def _marks(source: Source) -> dict[str, Mark]:
    """Where each name is given its value for the last time, outside of functions and classes."""
    try:
        tree = ast.parse(source.text)
    except (SyntaxError, ValueError):
        return {}
    found: dict[str, Mark] = {}
    for node in _statements(tree.body):
        for target, value in _assigned(node):
            found[target.id] = Mark(source, _span(source, target), _span(source, value))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            begin = _offset(source, node.lineno, node.col_offset)
            found[node.name] = Mark(source, (begin, begin), (begin, begin + len(f"def {node.name}")))
    return found


def _statements(body: list[ast.stmt]) -> list[ast.stmt]:
    """All that may run when the module does, in the order of the lines."""
    found: list[ast.stmt] = []
    for node in body:
        found.append(node)
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            for part in ("body", "orelse", "handlers", "finalbody"):
                inner = getattr(node, part, [])
                found += _statements([one for each in inner for one in getattr(each, "body", []) or [each]])
    return [node for node in found if isinstance(node, ast.stmt)]


def _assigned(node: ast.stmt) -> list[tuple[ast.Name, ast.expr]]:
    """Names and the values that they are given."""
    if isinstance(node, ast.Assign):
        return [(target, node.value) for target in node.targets if isinstance(target, ast.Name)]
    if isinstance(node, ast.AnnAssign | ast.AugAssign) and isinstance(node.target, ast.Name) and node.value is not None:
        return [(node.target, node.value)]
    return []


def _span(source: Source, node: ast.expr) -> tuple[int, int]:
    assert node.end_lineno is not None
    assert node.end_col_offset is not None
    begin = _offset(source, node.lineno, node.col_offset)
    if node.end_lineno != node.lineno:  # a caret stays on its line
        return begin, begin + len(
            source.line(node.lineno).encode()[node.col_offset :].decode("utf-8", "replace").rstrip()
        )
    return begin, _offset(source, node.end_lineno, node.end_col_offset)


def _offset(source: Source, line: int, column: int) -> int:
    """Where a place of `ast` is in the text: it counts columns in bytes of UTF-8."""
    return source.starts()[line - 1] + len(source.line(line).encode()[:column].decode("utf-8", "replace"))
