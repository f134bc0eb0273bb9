"""The floors of the house, as data: imports go down only, wings never import each other, libraries in their rooms."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "edgestack"

FLOORS = {
    "errors": 0,
    "http": 1,
    "config": 2,
    "wire": 3,
    "content": 4,
    "asgi": 4,
    "phases": 4,
    "upstream": 4,
    "store": 4,
    "caching": 5,
    "cache": 5,
    "kept": 1,
    "neighbours": 5,
    "codecs": 2,
    "routing": 5,
    "compose": 6,
    "explaining": 7,
    "stack": 7,
    "applications": 5,
    "process": 8,
    "hosting": 8,
    "cli": 8,
    "certs": 8,
    "testing": 8,
    "pytest_plugin": 8,
    "__main__": 9,
    "__init__": 9,
}

LIBRARIES = {
    "errors": set(),
    "http": set(),
    "config": set(),
    "wire": {"trio", "h11"},
    "content": {"trio"},
    "asgi": {"trio", "wsproto"},
    "phases": {"trio"},
    "upstream": {"trio", "dns"},
    "store": set(),
    "caching": {"trio"},
    "cache": set(),
    "kept": set(),
    "neighbours": set(),
    "codecs": {"brotli", "backports", "isal", "compression"},
    "routing": set(),
    "compose": set(),
    "explaining": {"trio"},
    "stack": {"trio"},
    "applications": set(),
    "process": {"trio", "click", "setproctitle", "watchfiles"},
    "hosting": {"trio", "gevent", "eventlet", "tornado"},
    "cli": {"click"},
    "certs": {"click", "trustme", "cryptography"},
    "testing": {"trio", "h11", "cryptography", "httpx2", "django"},
    "pytest_plugin": {"trio", "pytest"},
    "__main__": set(),
    "__init__": set(),
}
"""Third-party libraries that each room may import."""

SOCKETS = {"socket", "ssl", "selectors"}
"""Modules of the standard library that only the wire, what runs it, and what starts it may touch."""

BLOCKING = {"sendall", "settimeout", "create_connection", "makefile"}

FILES = sorted(ROOT.rglob("*.py"))


def room(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imports(path: Path) -> list[tuple[str, bool]]:
    """The modules that a file imports, and whether only for the type checker."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    typing_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(alias.name, id(node) in typing_only) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            assert node.module is not None
            found.append((node.module, id(node) in typing_only))
    return found


def test_every_room_has_a_floor() -> None:
    assert {room(path) for path in FILES} <= set(FLOORS)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_down(path: Path) -> None:
    here = room(path)
    for module, _ in imports(path):
        parts = module.split(".")
        if parts[0] != "edgestack" or len(parts) == 1:
            continue
        there = parts[1]
        if there != here:
            assert FLOORS[there] < FLOORS[here] or FLOORS[here] == FLOORS[there] == 8, (
                f"{path}: floor {FLOORS[here]} imports {module}"
            )


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_libraries_stay_where_they_belong(path: Path) -> None:
    here = room(path)
    for module, _ in imports(path):
        top = module.split(".")[0]
        if top == "edgestack":
            continue
        if top in sys.stdlib_module_names:
            assert top not in SOCKETS or FLOORS[here] in (3, 7, 8), f"{path} imports {module}"
        else:
            assert top in LIBRARIES[here], f"{path} imports {module}"


@pytest.mark.parametrize("path", [p for p in FILES if room(p) in ("wire", "content")], ids=lambda path: path.name)
def test_nothing_blocks_on_the_wire(path: Path) -> None:
    """Rule 15 of the engine: no blocking send, settimeout or sendall in wire/ and content/."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute):
            assert node.attr not in BLOCKING, f"{path}:{node.lineno} {node.attr}"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "setblocking":
            assert ast.literal_eval(node.args[0]) is False, f"{path}:{node.lineno} setblocking(True)"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_one_way_to_a_thread(path: Path) -> None:
    """Rule 13 of the engine: `held_clock.on_thread` knows of all work on threads of trio's."""
    text = path.read_text(encoding="utf-8")
    assert "to_thread" not in text or path.name == "held_clock.py", f"{path} goes to a thread by itself"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_file_opens_with_its_law(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))), f"{path} has no docstring"
