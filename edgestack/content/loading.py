"""Finding the application that a user named (F15).

    module:app    module:create_app()    module:make("prod", debug=True)    module:object.attribute    module

Without a colon the names `application` and `app` are tried. Arguments are literals, as gunicorn allows them: nothing is
evaluated. The current folder comes first on sys.path, as with `python -m`.

Whatever goes wrong is a ConfigError with one sentence and, where there is one, the closest thing that would be right.
"No such module" and "an import inside it failed" are told apart by the traceback: only the second one has frames that
are neither ours nor importlib's. Then, and when a factory raised, `traceback_text` is the application's own traceback.
The guesses of the hints are in `loading_hints.py`.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import os
import sys
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any, Literal, TypeAlias

from edgestack.content import loading_hints as hints
from edgestack.errors import ConfigError

__all__ = ["DEFAULT_NAMES", "Application", "load"]

Application: TypeAlias = "Callable[..., Iterable[bytes]]"
Kind: TypeAlias = Literal["either", "wsgi", "any"]

DEFAULT_NAMES = ("application", "app")
"""What is looked for when only a module is named: mod_wsgi's name, then Flask's."""

KEY = "app"


def load(target: str, folder: Path | None = None, *, kind: Kind = "either") -> Application:
    """The WSGI or ASGI callable that `target` names, as `module:expression` or `module`.

    :param folder: comes before the current one: that of the file that names the application.
    :param kind: what it may be; "any" is somebody else's business: tornado's own applications are neither.
    :raises ConfigError: there is none; `.why`, `.hint` and, where the application itself failed, `.traceback_text`.
    """
    name, colon, text = target.partition(":")
    if os.sep in name or name.endswith(".py") or not all(part.isidentifier() for part in name.split(".")):
        raise ConfigError(f"{target!r} does not name an application", hint=hints.for_target(target), key=KEY)
    steps = _parse(text, target) if colon else None
    for path in (os.getcwd(), str(folder or "")):
        if path and path not in sys.path:
            sys.path.insert(0, path)
    module = _import(name, target)
    found = _default(module) if steps is None else _resolve(module, steps, f"{name}:")
    if kind != "any":
        _check(found, target, kind)
    return found  # type: ignore[no-any-return]


# --- the expression ---------------------------------------------------------------------------------------------------


def _parse(text: str, target: str) -> ast.expr:
    """The expression after the colon: names, dots, and calls with literal arguments."""
    try:
        node = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError):
        node = None
    if node is None or not _is_plain(node):
        raise ConfigError(
            f"{text!r} in {target!r} names no application",
            hint="write a name, a dotted name, or a call with literal arguments, such as create_app()",
            key=KEY,
        )
    return node


def _is_plain(node: ast.expr) -> bool:
    if isinstance(node, ast.Attribute):
        return _is_plain(node.value)
    if isinstance(node, ast.Call):
        named = all(keyword.arg is not None for keyword in node.keywords)
        values = [*node.args, *(keyword.value for keyword in node.keywords)]
        return named and _is_plain(node.func) and all(_is_literal(value) for value in values)
    return isinstance(node, ast.Name)


def _is_literal(node: ast.expr) -> bool:
    try:
        ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return False
    return True


def _resolve(module: ModuleType, node: ast.expr, said: str) -> Any:
    """What the expression stands for in `module`.

    :param said: what the user wrote before the expression, for messages.
    """
    if isinstance(node, ast.Name):
        return _attribute(module, node.id, f"module {module.__name__!r}", module)
    if isinstance(node, ast.Attribute):
        return _attribute(_resolve(module, node.value, said), node.attr, repr(said + ast.unparse(node.value)), module)
    assert isinstance(node, ast.Call)
    function = _resolve(module, node.func, said)
    return _call(function, node, said)


def _attribute(owner: Any, name: str, owner_text: str, module: ModuleType) -> Any:
    try:
        return getattr(owner, name)
    except AttributeError as error:
        if _foreign_frames(error.__traceback__):  # a property, or a module's __getattr__
            raise _with_traceback(f"{owner_text} failed to give {name!r}", error) from error
        hint = hints.for_name(name, owner, module)
        raise ConfigError(f"{owner_text} has no {name!r}", hint=hint, key=KEY) from None
    except Exception as error:
        raise _with_traceback(f"{owner_text} failed to give {name!r}", error) from error


def _call(function: Any, node: ast.Call, said: str) -> Any:
    text = said + ast.unparse(node)
    if not callable(function):
        raise ConfigError(f"{said}{ast.unparse(node.func)} is no factory: it cannot be called", key=KEY)
    args = [ast.literal_eval(arg) for arg in node.args]
    named = {str(keyword.arg): ast.literal_eval(keyword.value) for keyword in node.keywords}
    try:
        return function(*args, **named)
    except (Exception, SystemExit) as error:
        if isinstance(error, TypeError) and not _foreign_frames(error.__traceback__):
            raise ConfigError(f"{text} does not fit the factory: {error}", key=KEY) from None
        raise _with_traceback(f"{text} failed: {type(error).__name__}: {error}", error) from error


# --- the module -------------------------------------------------------------------------------------------------------


def _import(name: str, target: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and f"{name}.".startswith(f"{error.name}.") and not _foreign_frames(error.__traceback__):
            raise ConfigError(
                f"there is no module {name!r}", hint=hints.for_module(target, error.name), key=KEY
            ) from None
        raise _with_traceback(f"module {name!r} is there, but an import inside it failed: {error}", error) from error
    except SystemExit as error:
        raise _with_traceback(f"module {name!r} ended the process while it was imported", error) from error
    except Exception as error:
        why = f"module {name!r} is there, but importing it failed: {type(error).__name__}: {error}"
        raise _with_traceback(why, error) from error


def _default(module: ModuleType) -> Any:
    for name in DEFAULT_NAMES:
        if hasattr(module, name):
            return getattr(module, name)
    names = " nor ".join(repr(name) for name in DEFAULT_NAMES)
    hint = hints.for_application(module)
    raise ConfigError(f"module {module.__name__!r} has neither {names}", hint=hint, key=KEY)


def _check(found: Any, target: str, wanted: Kind) -> None:
    """Refuse what can be called neither as PEP 3333 has it nor as ASGI, before the first request finds out."""
    if not callable(found):
        kind = type(found).__name__
        article = "an" if kind[0] in "aeiou" else "a"
        raise ConfigError(f"{target!r} is {article} {kind}, which cannot be called", key=KEY)
    if _takes(found, 2) is False and (wanted == "wsgi" or not _takes(found, 3)):
        hint = f"did you mean {target}()?" if _takes(found, 0) else ""
        if _takes(found, 3):
            hint = "an ASGI application runs in the worker classes gthread, asgi and process"
        why = f"{target!r} cannot be called with (environ, start_response) as WSGI asks, nor as ASGI does"
        raise ConfigError(why, hint=hint, key=KEY)


def _takes(found: Any, count: int) -> bool | None:
    """Whether `found` takes `count` positional arguments; None when that is not known."""
    try:
        signature = inspect.signature(found)
    except (ValueError, TypeError):
        return None
    try:
        signature.bind(*[None] * count)
    except TypeError:
        return False
    return True


# --- tracebacks -------------------------------------------------------------------------------------------------------


def _is_own(frame_file: str) -> bool:
    return frame_file == __file__ or "importlib" in frame_file.replace("<frozen ", "")


def _foreign_frames(tb: TracebackType | None) -> bool:
    """Whether the traceback leads through code that is neither ours nor the import system's."""
    while tb is not None:
        if not _is_own(tb.tb_frame.f_code.co_filename):
            return True
        tb = tb.tb_next
    return False


def _with_traceback(why: str, error: BaseException) -> ConfigError:
    """A ConfigError that carries the application's own traceback, without our frames and importlib's."""
    shown = traceback.TracebackException.from_exception(error)
    told: traceback.TracebackException | None = shown
    while told is not None:
        told.stack[:] = [frame for frame in told.stack if not _is_own(frame.filename)]
        told = told.__cause__ or told.__context__
    made = ConfigError(why, hint="the traceback is the application's own", key=KEY)
    made.traceback_text = "".join(shown.format())
    return made
