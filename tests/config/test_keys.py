"""What is said of each key, once, and all that is made of it: errors, schema, reference, starter (issue 3)."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from edgestack.config.keys import Slot, section_of, sections_below
from edgestack.config.load import load
from edgestack.config.model import File
from edgestack.config.overrides import FLAGS
from edgestack.config.positions import Source, index_document
from edgestack.config.presets import MEANINGS
from edgestack.config.problems import ConfigErrors
from edgestack.config.reading import Reading, Spot
from edgestack.config.reference import preset_rows, reference, variable_rows
from edgestack.config.rules import PRESETS
from edgestack.config.schema import json_schema
from edgestack.config.starter import starter
from edgestack.config.unknown import NAMED
from edgestack.http.variables import VARIABLES

GOLDEN = Path(__file__).parent / "golden"

KEYS = {
    f"{'.'.join(path)}.{name}".lstrip("."): (cls, slot)
    for path, cls in sections_below(File)
    for name, slot in section_of(cls).keys.items()
}


@pytest.mark.parametrize("path", KEYS)
def test_every_key_is_told(path: str) -> None:
    _, slot = KEYS[path]
    assert re.fullmatch(r"`?[A-Z0-9\"`].*[.]", slot.key.doc), slot.key.doc
    assert slot.key.kind.words
    assert slot.key.example or slot.key.kind.sections(), "an example"


@pytest.mark.parametrize("path", [path for path, (_, slot) in KEYS.items() if slot.key.example])
def test_every_example_is_right(path: str) -> None:
    """It reads as its kind; what it names need not be on this machine."""
    slot: Slot = KEYS[path][1]
    text = f"x = {slot.key.example}"
    reading = Reading(File)
    mark = index_document(Source("x", text, Path())).child("x")
    reading.value(slot.key.kind, tomllib.loads(text)["x"], Spot(reading, mark, "x"), slot)
    assert [one.why for one in reading.problems if "exist" not in one.why and "no module" not in one.why] == []


WRONG: list[Any] = [1.5, True, "\0", 1, ["\0"], {"\0": 1}, tomllib.loads("x = 07:32:00")["x"]]


@pytest.mark.parametrize("path", KEYS)
def test_every_key_refuses_what_it_is_not(path: str) -> None:
    """Each of several types is either taken, or refused with the key's name and what would be right."""
    slot: Slot = KEYS[path][1]
    refused = 0
    for value in WRONG:
        reading = Reading(File)
        mark = index_document(Source("f", "x = 1", Path())).child("x")
        reading.value(slot.key.kind, value, Spot(reading, mark, "x"), slot)
        refused += bool(reading.problems)
        assert all(one.why and one.line == 1 for one in reading.problems)
        if type(value) not in slot.key.kind.takes:
            assert reading.problems[0].why.startswith(f"`x` is {slot.key.kind.words}, not ")
    assert refused


def test_the_golden_files_have_every_key() -> None:
    found: set[str] = set()
    for name in ("everything", "everything_sites", "conf.d/one"):
        walk(tomllib.loads((GOLDEN / f"{name}.toml").read_text()), "", found)
    assert {canonical(path) for path in KEYS} - found == set()


def canonical(path: str) -> str:
    """A key of a route's tables, whichever table above it stands in."""
    deeper = path.startswith("site.") and path.count(".") > 1
    return path.replace("site.route", "route").replace("site.", "route." if deeper else "site.")


def walk(value: Any, path: str, found: set[str]) -> None:
    """Collect the paths of all keys; the names of maps and upstreams are no keys."""
    if isinstance(value, dict):
        for name, inner in value.items():
            here = f"{path}.{name}".lstrip(".")
            found.add(canonical(here))
            for one in inner.values() if here in NAMED else (inner,):
                walk(one, here, found)
    elif isinstance(value, list):
        for one in value:
            walk(one, path, found)


# --- the schema -------------------------------------------------------------------------------------------------------


def conforms(value: Any, schema: dict[str, Any], root: dict[str, Any]) -> bool:
    """JSON Schema, as far as ours goes (draft 2020-12, validation §6 and §10): written for this test alone."""
    if "$ref" in schema:
        return conforms(value, root["$defs"][schema["$ref"].rpartition("/")[2]], root)
    if "anyOf" in schema:
        return any(conforms(value, one, root) for one in schema["anyOf"])
    if "enum" in schema:
        return value in schema["enum"]
    if "const" in schema:
        return type(value) is type(schema["const"]) and value == schema["const"]
    types = [schema["type"]] if isinstance(schema["type"], str) else schema["type"]
    names: dict[type, tuple[str, ...]] = {
        str: ("string",), bool: ("boolean",), int: ("integer", "number"), float: ("number",), dict: ("object",),
        list: ("array",),
    }  # fmt: skip
    if not set(names[type(value)]) & set(types):
        return False
    if isinstance(value, str):
        return re.search(schema.get("pattern", ""), value) is not None
    if isinstance(value, int | float) and not isinstance(value, bool):
        return bool(schema.get("minimum", value) <= value <= schema.get("maximum", value))
    if isinstance(value, list):
        return all(conforms(one, schema["items"], root) for one in value)
    if isinstance(value, dict):
        return conforms_object(value, schema, root)
    return True


def conforms_object(value: dict[str, Any], schema: dict[str, Any], root: dict[str, Any]) -> bool:
    properties, others = schema.get("properties", {}), schema.get("additionalProperties", True)
    for name, one in value.items():
        inner = properties.get(name, others)
        if inner is False or (inner is not True and not conforms(one, inner, root)):
            return False
    return all(name in value for name in schema.get("required", ()))


def test_the_schema_is_json_and_names_every_key() -> None:
    schema = json_schema()
    assert json.loads(json.dumps(schema)) == schema
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert set(schema["properties"]) == set(section_of(File).keys)
    for path, cls in sections_below(File):
        if path:
            made = schema["$defs"][cls.__name__]
            assert set(made["properties"]) == set(section_of(cls).keys)
            assert made["additionalProperties"] is False


@pytest.mark.parametrize("name", ["everything", "everything_sites"])
def test_what_loads_conforms_to_the_schema(name: str) -> None:
    schema = json_schema()
    assert conforms(tomllib.loads((GOLDEN / f"{name}.toml").read_text()), schema, schema)


@pytest.mark.parametrize("name", ["types", "types_of_routes", "unknown_keys", "site_as_table", "choices", "numbers"])
def test_what_does_not_does_not(name: str) -> None:
    schema = json_schema()
    assert not conforms(tomllib.loads((GOLDEN / f"{name}.toml").read_text()), schema, schema)


@pytest.mark.parametrize("path", [path for path, (_, slot) in KEYS.items() if slot.key.example])
def test_examples_conform_to_the_schema(path: str) -> None:
    schema = json_schema()
    cls, slot = KEYS[path]
    owner = schema if cls is File else schema["$defs"][cls.__name__]
    name = path.rpartition(".")[2]
    assert all(conforms(one, owner["properties"][name], schema) for one in owner["properties"][name]["examples"])
    assert slot.key.doc in owner["properties"][name]["description"]


# --- the reference ----------------------------------------------------------------------------------------------------


def test_the_reference_lists_every_key_once() -> None:
    """Issue 3: every key with type, default, example and the nginx directive it corresponds to."""
    rows = {(section.name, row.name): row for section in reference() for row in section.keys}
    assert len(rows) == len({(cls, slot.key, slot.field) for cls, slot in KEYS.values()})
    one = rows["[server]", "max_body"]
    assert one.type == "size"
    assert (one.default, one.example) == ('"100MB"', '"100MB"')
    assert (one.nginx, one.flag) == ("client_max_body_size", "--max-body")
    assert rows["a [[route]]", "try"].nginx == "try_files"
    assert rows["`limit` of a [[site]] or a [[route]]", "rate"].default == "none"
    assert rows["[map.NAME]", "from"].default == ""
    assert all(row.type and row.doc for row in rows.values())
    assert not [row for row in rows.values() if re.search(r"criteri|\b[A-F]\d+\b", row.doc)]


def test_variables_and_presets_are_listed() -> None:
    names = {row.name for row in variable_rows()}
    assert {f"${name}" for name in VARIABLES} < names
    assert {"$http_…", "$arg_…", "$cookie_…", "$time_local", "$server_name", "$1 … $9"} < names
    assert all(row.doc and row.moment in ("request", "upstream", "response") for row in variable_rows())
    assert [name for name, _ in preset_rows()] == list(MEANINGS) == list(PRESETS)


def test_every_flag_has_its_key() -> None:
    assert set(FLAGS) == {
        "bind", "tls", "cert", "key", "redirect_http", "redirect_plain", "threads", "max_body", "max_connections",
        "keepalive", "graceful_timeout", "access_log", "error_log", "log_format", "ready_file", "pid", "open", "dev",
        "trusted_proxies", "client_ca", "backlog", "limit_request_line", "limit_request_fields", "limit_request_head",
        "log_level", "log_config", "capture_output", "workers", "worker_class", "timeout", "max_requests",
        "max_requests_jitter", "preload", "reload", "reload_extra_files", "chdir", "pythonpath", "env", "name", "user",
        "group", "umask", "asgi_loop", "proxy_protocol", "proxy_protocol_from",
    }  # fmt: skip


# --- the starter file -------------------------------------------------------------------------------------------------


def uncommented(text: str) -> str:
    return re.sub(r"(?m)^#(?=\S)", "", text)


def test_the_starter_file_is_valid_as_it_is_and_uncommented(tmp_path: Path) -> None:
    for name in ("site/assets", "certs", "src"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("site/404.html", "certs/chain.pem", "certs/key.pem", "src/main.py"):
        (tmp_path / name).touch()
    file = tmp_path / "edgestack.toml"
    file.write_text(starter())
    assert [str(route.match) for route in load(file).config.routes] == ["/"]
    file.write_text(uncommented(starter()))
    loaded = load(file)
    assert [str(route.match) for route in loaded.config.routes] == [
        "/", "/assets/", "/api/", "/service/", "= /health", "~ ^/blog/(\\d+)$",
    ]  # fmt: skip
    assert not loaded.warnings
    assert len(loaded.config.tests) == 1


@pytest.mark.parametrize(
    ("static", "app", "live"),
    [("site/", "", 'static = "site/"'), ("", "src.main:app", 'app = "src.main:app"'), ("", "", "")],
)
def test_the_starter_file_begins_with_what_is_there(static: str, app: str, live: str) -> None:
    lines = [line for line in starter(static, app).splitlines() if line and not line.startswith("#")]
    assert lines == ["[server]", "[[route]]", live] if live else ["[server]"]
    assert max(map(len, starter(static, app).splitlines())) <= 100


def test_errors_are_errors_of_configuration() -> None:
    with pytest.raises(ConfigErrors) as caught:
        load(GOLDEN / "types.toml")
    assert caught.value.source == "configuration"
    assert len(caught.value.errors) == len(str(caught.value).split("\n\n"))
