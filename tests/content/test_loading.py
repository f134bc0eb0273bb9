"""Finding the application that the user named (F15): what is found, and one clear sentence for what is not."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from edgestack.content.loading import load
from edgestack.errors import ConfigError

APPLICATION = """
def app(environ, start_response):
    return [b"app"]

def other(environ, start_response):
    return [b"other"]

class Site:
    def __init__(self, name="plain", debug=False):
        self.name, self.debug = name, debug
    def __call__(self, environ, start_response):
        return [self.name.encode()]
    def wsgi(self, environ, start_response):
        return [b"method"]

def create_app(*args, **named):
    return Site(*args, **named)

site = Site("instance")
site.inner = Site("inner")
registry = {}
text = "not an application"

async def asgi(scope, receive, send):
    pass

def failing():
    raise RuntimeError("no database")

def exiting():
    raise SystemExit(3)

def none():
    return None

def strict(config):
    return app
"""

Write = Callable[[str, str], None]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Writes modules into a current folder of its own; sys.path and sys.modules are put back afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    before = set(sys.modules)

    def write(name: str, text: str) -> None:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    yield write
    for name in set(sys.modules) - before:
        del sys.modules[name]
    sys.path_importer_cache.pop(str(tmp_path), None)


@pytest.fixture
def main(write: Write) -> None:
    write("shop_main.py", APPLICATION)


def answer(target: str) -> bytes:
    result: Any = load(target)({}, None)
    return b"".join(result)


def refused(target: str) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        load(target)
    assert caught.value.key == "app"
    return caught.value


@pytest.mark.usefixtures("main")
def test_an_asgi_application_is_found() -> None:
    """How it is called is for others to tell (`asgi/detecting.py`)."""
    assert load("shop_main:asgi").__name__ == "asgi"  # type: ignore[attr-defined]


@pytest.mark.usefixtures("main")
@pytest.mark.parametrize(
    ("target", "expected"),
    [
        pytest.param("shop_main:app", b"app", id="F15 a name"),
        pytest.param("shop_main", b"app", id="F15 no name: app"),
        pytest.param("shop_main: app ", b"app", id="F15 spaces"),
        pytest.param("shop_main:site", b"instance", id="F15 an instance"),
        pytest.param("shop_main:site.inner", b"inner", id="F15 an attribute"),
        pytest.param("shop_main:site.inner.wsgi", b"method", id="F15 dotted attributes, a method"),
        pytest.param("shop_main:create_app()", b"plain", id="F15 a factory"),
        pytest.param("shop_main:create_app('prod')", b"prod", id="F15 a factory with an argument"),
        pytest.param("shop_main:create_app(name='x', debug=True)", b"x", id="F15 a factory with names"),
        pytest.param("shop_main:create_app(*('a',))", None, id="F15 no star"),
        pytest.param("shop_main:Site('y').wsgi", b"method", id="F15 an attribute of what a factory made"),
    ],
)
def test_what_is_found(target: str, expected: bytes | None) -> None:
    if expected is None:
        assert "names no application" in refused(target).why
    else:
        assert answer(target) == expected


def test_application_comes_before_app(write: Write) -> None:
    """F15: the default names, in their order."""
    write("shop_both.py", "def app(e, s): return [b'app']\ndef application(e, s): return [b'application']\n")
    assert answer("shop_both") == b"application"


def test_a_class_and_a_builtin_may_be_applications(write: Write) -> None:
    """F15: what takes (environ, start_response), or does not say what it takes."""
    write("shop_class.py", "class app(list):\n    def __init__(self, e, s): super().__init__([b'c'])\nodd = dict\n")
    assert answer("shop_class") == b"c"
    assert load("shop_class:odd") is dict


def test_packages_and_namespaces(write: Write, tmp_path: Path) -> None:
    """F15: a package, a folder without __init__, and the current folder on sys.path, once and first."""
    write("shop_package/__init__.py", "")
    write("shop_package/wsgi.py", APPLICATION)
    write("shop_folder/main.py", APPLICATION)
    assert answer("shop_package.wsgi:app") == b"app"
    assert answer("shop_folder.main:other") == b"other"
    assert sys.path[0] == str(tmp_path)
    assert sys.path.count(str(tmp_path)) == 1


@pytest.mark.usefixtures("main")
@pytest.mark.parametrize(
    ("target", "why", "hint"),
    [
        pytest.param("shop_mian:app", "no module 'shop_mian'", "did you mean shop_main:app?", id="F15 module misspelt"),
        pytest.param("quite_other:app", "no module 'quite_other'", "looked in first is", id="F15 nothing near"),
        pytest.param(
            "shop_main.deep:app", "no module 'shop_main.deep'", "is a module, not a package", id="F15 no package"
        ),
        pytest.param("shop_main:ap", "has no 'ap'", "did you mean app?", id="F15 name misspelt"),
        pytest.param("shop_main:Create_App()", "has no 'Create_App'", "did you mean create_app?", id="F15 case"),
        pytest.param("shop_main:zzz", "has no 'zzz'", "did you mean shop_main:app?", id="F15 nothing near: the usual"),
        pytest.param(
            "shop_main:site.iner", "'shop_main:site' has no 'iner'", "did you mean inner?", id="F15 attribute"
        ),
        pytest.param("shop_main:site.zzz", "'shop_main:site' has no 'zzz'", "", id="F15 attribute, nothing near"),
        pytest.param("shop_main:text", "is a str, which cannot be called", "", id="F15 not callable"),
        pytest.param("shop_main:none()", "is a NoneType, which cannot be called", "", id="F15 a factory of nothing"),
        pytest.param("shop_main:text()", "shop_main:text is no factory", "", id="F15 no factory"),
        pytest.param("shop_main:strict()", "does not fit the factory", "", id="F15 arguments missing"),
        pytest.param(
            "shop_main:none",
            "cannot be called with (environ",
            "did you mean shop_main:none()?",
            id="F15 a factory, uncalled",
        ),
        pytest.param("shop_main:", "names no application", "write a name", id="F15 nothing after the colon"),
        pytest.param("shop_main:app[0]", "names no application", "", id="F15 no subscripts"),
        pytest.param("shop_main:create_app(open('x'))", "names no application", "", id="F15 literals only"),
        pytest.param("shop_main:create_app(", "names no application", "", id="F15 unbalanced"),
        pytest.param("shop_main:5", "names no application", "", id="F15 a number"),
        pytest.param("src/main.py:app", "does not name", "did you mean src.main:app?", id="F15 a path"),
        pytest.param("./main.py", "does not name", "did you mean main:app?", id="F15 a path without a name"),
        pytest.param("", "does not name", "write module:name", id="F15 nothing"),
        pytest.param(":app", "does not name", "write module:name", id="F15 no module"),
        pytest.param("a-b:app", "does not name", "write module:name", id="F15 no identifier"),
        pytest.param("..shop_main:app", "does not name", "", id="F15 relative"),
    ],
)
def test_what_is_not_found(target: str, why: str, hint: str) -> None:
    error = refused(target)
    assert why in error.why
    assert hint in error.hint
    assert error.traceback_text == ""
    assert "\n" not in str(error)


def test_a_submodule_misspelt(write: Write) -> None:
    """F15."""
    write("shop_package/__init__.py", "")
    write("shop_package/wsgi.py", APPLICATION)
    assert refused("shop_package.wsgy:app").hint == "did you mean shop_package.wsgi:app?"
    assert refused("shop_packege.wsgi:app").hint == "did you mean shop_package.wsgi:app?"


def test_neither_default_name(write: Write) -> None:
    """F15."""
    write("shop_factory.py", "def create_app():\n    return print\n")
    error = refused("shop_factory")
    assert "neither 'application' nor 'app'" in error.why
    assert error.hint == "did you mean shop_factory:create_app()?"


@pytest.mark.parametrize(
    ("text", "why", "last"),
    [
        pytest.param(
            "import shop_absent_thing\n", "an import inside it failed", "shop_absent_thing", id="F15 import inside"
        ),
        pytest.param(
            "from os import shop_absent\n", "importing it failed: ImportError", "shop_absent", id="F15 name inside"
        ),
        pytest.param("import shop_broken.inner\n", "an import inside it failed", "shop_broken", id="F15 of itself"),
        pytest.param("1 / 0\n", "importing it failed: ZeroDivisionError", "ZeroDivisionError", id="F15 raises"),
        pytest.param("def app(:\n", "importing it failed: SyntaxError", "SyntaxError", id="F15 syntax"),
        pytest.param("raise SystemExit(2)\n", "ended the process", "SystemExit", id="F15 exits"),
    ],
)
def test_an_import_that_fails_inside(write: Write, text: str, why: str, last: str) -> None:
    """F15: the application's own traceback, and none of our frames or importlib's."""
    write("shop_broken.py", text)
    error = refused("shop_broken:app")
    assert why in error.why
    assert "shop_broken.py" in error.traceback_text
    assert last in error.traceback_text.splitlines()[-1]
    assert "loading.py" not in error.traceback_text
    assert "importlib" not in error.traceback_text


@pytest.mark.usefixtures("main")
@pytest.mark.parametrize(("name", "last"), [("failing", "RuntimeError: no database"), ("exiting", "SystemExit: 3")])
def test_a_factory_that_fails(name: str, last: str) -> None:
    """F15."""
    error = refused(f"shop_main:{name}()")
    assert f"shop_main:{name}() failed" in error.why
    assert error.traceback_text.splitlines()[-1] == last
    assert "loading.py" not in error.traceback_text


def test_a_type_error_inside_a_factory_is_its_own(write: Write) -> None:
    """F15: it has frames of the application, unlike arguments that do not fit."""
    write("shop_typed.py", "def make():\n    return len(5)\n")
    error = refused("shop_typed:make()")
    assert "failed: TypeError" in error.why
    assert "in make" in error.traceback_text


def test_an_attribute_that_fails_inside(write: Write) -> None:
    """F15: a property, or a module's own __getattr__, is the application's code."""
    write(
        "shop_lazy.py",
        "class S:\n"
        "    @property\n    def app(self):\n        return {}.missing\n"
        "    @property\n    def bad(self):\n        return 1 / 0\n"
        "s = S()\n",
    )
    assert "in app" in refused("shop_lazy:s.app").traceback_text
    assert "ZeroDivisionError" in refused("shop_lazy:s.bad").traceback_text


def test_two_things_of_one_name(write: Write, tmp_path: Path) -> None:
    """F15: a package hides the module beside it; a module imported before hides a file in the current folder."""
    write("shop_twice.py", APPLICATION)
    write("shop_twice/__init__.py", "")
    assert "Python takes the folder" in refused("shop_twice:app").hint
    write("json.py", APPLICATION)
    hint = refused("json:app").hint
    assert "rename json.py" in hint
    assert "json/__init__.py" in hint
    assert "rename json.py" in refused("json").hint


def test_nothing_to_suggest(write: Write) -> None:
    """F15: then the form is said."""
    write("shop_nothing.py", "x = 5\n")
    assert (
        refused("shop_nothing:zzz").hint == refused("shop_nothing").hint == "name it after a colon, such as module:name"
    )
