"""A configuration that is Python: run as gunicorn runs it, and where each of its names stands.

    run_file(Path("gunicorn.conf.py"))     as the module `__config__`, with the current folder first on sys.path
    run_file(Path("python:shop.conf"))     the module of that name, whatever was imported before
    run_file(Path("file:gunicorn.conf"))   a file, whatever it is called

The names that it makes are its user's business. What fails in it is a ConfigError with the line at fault, and the
traceback. Which places a name's last assignment has, is read from the source; a name that came by `import *` or by
`exec` has none.
"""

from __future__ import annotations

import ast
import importlib.util
import os
import sys
import traceback
from collections.abc import Iterable, Iterator
from importlib.machinery import SourceFileLoader
from importlib.util import decode_source
from pathlib import Path
from typing import Any, NamedTuple

from edgestack.config.documents import shown_path
from edgestack.config.place_kinds import closest
from edgestack.config.positions import Mark, Source
from edgestack.config.problems import ConfigErrors, Problem, told
from edgestack.errors import ConfigError

__all__ = ["PythonFile", "Script", "run_file", "run_script"]

MODULE, FILE = "python:", "file:"

NAME = "__config__"
"""What the module of a file is called, as gunicorn has it."""


class Script(NamedTuple):
    """A configuration as it was read. Workers run this text, not the file: that may have been changed since."""

    name: str
    """Of the module that it becomes."""
    path: str
    text: str
    """"" for one that is compiled."""
    folder: str
    """Where the process was started, which comes first on sys.path."""


class PythonFile(NamedTuple):
    """What there is to know after a configuration was run."""

    names: dict[str, Any]
    """Everything at the top of the module."""
    marks: dict[str, Mark]
    """Where the last assignment to each name stands, if it stands in this file."""
    source: Source
    script: Script


def run_file(path: Path, folder: Path) -> PythonFile:
    """Read and run it.

    :param folder: what relative paths in it are relative to.
    :raises ConfigErrors: it is not there, or something in it fails.
    """
    here = os.getcwd()
    if here not in sys.path:
        sys.path.insert(0, here)
    said = str(path)
    name, file = NAME, Path(said.removeprefix(FILE))
    if said.startswith(MODULE):
        name, file = _found(said.removeprefix(MODULE))
    return run_script(_script(name, file, here), folder)


def run_script(script: Script, folder: Path = Path()) -> PythonFile:
    """Run what was read.

    :raises ConfigErrors: something in it fails.
    """
    if script.folder not in sys.path:
        sys.path.insert(0, script.folder)
    spec = importlib.util.spec_from_file_location(script.name, script.path, loader=_loader(script))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[script.name] = module
    source = Source(shown_path(Path(script.path)), script.text, folder)
    try:
        if script.text:
            exec(compile(script.text, script.path, "exec", dont_inherit=True), vars(module))
        elif script.path.endswith(".pyc"):
            spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise _failed(error, source, script.path) from error
    return PythonFile(vars(module), _marks(source), source, script)


def _loader(script: Script) -> SourceFileLoader | None:
    """For a file whose name does not tell that it is Python."""
    return None if script.path.endswith((".py", ".pyc")) else SourceFileLoader(script.name, script.path)


def _found(name: str) -> tuple[str, Path]:
    """Where a module is.

    :raises ConfigErrors: it is nowhere.
    """
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        spec = None
    if spec is None or spec.origin is None or not os.path.isfile(spec.origin):
        raise ConfigErrors([ConfigError(f"there is no module {name!r} to read a configuration from")])
    return name, Path(spec.origin)


def _script(name: str, path: Path, here: str) -> Script:
    """A file, read."""
    try:
        text = "" if path.suffix == ".pyc" and path.is_file() else decode_source(path.read_bytes())
    except IsADirectoryError:
        raise ConfigErrors([ConfigError(f"{path} is a folder, not a file")]) from None
    except FileNotFoundError:
        hint = closest(path, str(path))
        raise ConfigErrors([ConfigError(f"the file {path} does not exist", hint=hint)]) from None
    except OSError as error:
        raise ConfigErrors([ConfigError(f"the file {path} cannot be read: {told(error)}")]) from None
    except (SyntaxError, ValueError) as error:
        raise ConfigErrors([ConfigError(f"the file {path} is no text: {error}")]) from None
    return Script(name, str(path), text, here)


def _failed(error: BaseException, source: Source, path: str) -> ConfigErrors:
    """What a configuration raised, at the line where it did, with its traceback."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename != __file__]
    line = next((frame.lineno for frame in reversed(frames) if frame.filename == path), 0)
    message = str(error)
    if isinstance(error, SyntaxError):
        message = error.msg
        line = error.lineno if error.filename == path else line
    why = f"the configuration failed: {type(error).__name__}: {message}".rstrip(": ")
    made: ConfigError = ConfigError(f"{source.name}: {why}")
    if line and source.text:
        start, text = source.starts()[line - 1], source.line(line)
        made = Problem(why, source, (start + len(text) - len(text.lstrip()), start + len(text.rstrip())))
    errors = ConfigErrors([made])
    if len(frames) > 1 and not isinstance(error, SyntaxError):
        shown = traceback.TracebackException.from_exception(error)
        shown.stack[:] = [frame for frame in shown.stack if frame.filename != __file__]
        errors.traceback_text = "".join(shown.format())
    return errors


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


def _statements(body: Iterable[ast.AST]) -> Iterator[ast.stmt]:
    """All that may run when the module does, in the order of the lines."""
    for node in body:
        if isinstance(node, ast.stmt):
            yield node
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            for part in ("body", "handlers", "orelse", "finalbody"):
                yield from _statements(getattr(node, part, ()))


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
        return begin, source.starts()[node.lineno - 1] + len(source.line(node.lineno).rstrip())
    return begin, _offset(source, node.end_lineno, node.end_col_offset)


def _offset(source: Source, line: int, column: int) -> int:
    """Where a place of `ast` is in the text: it counts columns in bytes of UTF-8."""
    return source.starts()[line - 1] + len(source.line(line).encode()[:column].decode("utf-8", "replace"))
