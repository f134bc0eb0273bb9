"""What a user may have meant who named an application that is not there (F15).

Each function gives one sentence for `ConfigError.hint`, or "" when there is nothing to suggest. They look at names
only: no module is imported to make a guess. Used by `loading.py` alone.
"""

from __future__ import annotations

import os
import sys
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType
from typing import Any

__all__ = ["for_application", "for_module", "for_name", "for_target"]

USUAL_NAMES = ("app", "application", "create_app", "make_app", "wsgi_app", "wsgi", "main")
CLOSE = 0.6
"""How alike two names must be: difflib's default."""


def for_target(target: str) -> str:
    """For `src/main.py:app` and its like: the same in dots."""
    name, colon, rest = target.partition(":")
    dotted = name.removeprefix("./").removesuffix(".py").strip("/").replace("/", ".").replace(os.sep, ".")
    if dotted != name and dotted and all(part.isidentifier() for part in dotted.split(".")):
        return f"did you mean {dotted}{colon or ':'}{rest or 'app'}?"
    return "write module:name, such as src.main:app"


def for_module(target: str, missing: str) -> str:
    """A module that is there and has nearly that name.

    :param missing: the beginning of `target` that Python did not find.
    """
    parent, _, last = missing.rpartition(".")
    near = _near(last, _modules_in(parent))
    if near:
        return f"did you mean {f'{parent}.{near}' if parent else near}{target[len(missing) :]}?"
    if parent and parent in sys.modules and not hasattr(sys.modules[parent], "__path__"):
        return f"{parent!r} is a module, not a package: {getattr(sys.modules[parent], '__file__', parent)}"
    return f"the folder looked in first is {os.getcwd()}"


def for_name(name: str, owner: Any, module: ModuleType) -> str:
    """An attribute that is there and has nearly that name; or another module of the same name in the way."""
    near = _near(name, [each for each in dir(owner) if not each.startswith("__")])
    if near:
        return f"did you mean {near}?"
    if owner is not module:
        return ""
    return _clash(module) or for_application(module)


def for_application(module: ModuleType) -> str:
    """Something in `module` that looks like an application."""
    clash = _clash(module)
    if clash:
        return clash
    for name in USUAL_NAMES:
        found = getattr(module, name, None)
        if callable(found):
            call = "()" if name in ("create_app", "make_app") else ""
            return f"did you mean {module.__name__}:{name}{call}?"
    return "name it after a colon, such as module:name"


def _near(name: str, names: list[str]) -> str:
    lower = {each.lower(): each for each in names}
    matches = get_close_matches(name.lower(), list(lower), n=1, cutoff=CLOSE)
    return lower[matches[0]] if matches else ""


def _modules_in(package: str) -> list[str]:
    """The names of the modules and packages below `package`; of the current folder when it is ""."""
    if not package:
        folders = [os.getcwd()]
    else:
        folders = list(getattr(sys.modules.get(package), "__path__", []))
    found = []
    for folder in folders:
        for entry in Path(folder).iterdir() if Path(folder).is_dir() else ():
            name = entry.stem if entry.suffix == ".py" else entry.name if _is_package(entry) else ""
            if name.isidentifier():
                found.append(name)
    return found


def _is_package(entry: Path) -> bool:
    return entry.is_dir() and any(each.suffix == ".py" for each in entry.iterdir())


def _clash(module: ModuleType) -> str:
    """Two things of one name, of which Python took the other: `app/` before `app.py`, or a module of the library."""
    name, here = module.__name__, Path(os.getcwd(), *module.__name__.split("."))
    own_file, own_folder = here.with_suffix(".py"), here
    paths = [str(path) for path in getattr(module, "__path__", [])]
    taken = getattr(module, "__file__", None) or (paths[0] if paths else "")
    if own_file.is_file() and own_folder.is_dir() and taken != str(own_file):
        return f"both {own_file.name} and the folder {own_folder.name}/ are there, and Python takes the folder"
    if own_file.is_file() and taken and not os.path.samefile(taken, own_file):
        return f"another module is called {name!r} too and was there first: {taken}; rename {own_file.name}"
    return ""
