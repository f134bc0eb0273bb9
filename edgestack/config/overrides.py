"""What is said outside the file: flags, then environment variables, both stronger than the file.

    from_flags({"threads": 4, "static": "site"})            each as `--threads`, `--static`
    from_environment({"EDGESTACK_THREADS": "4"})            each as the variable
    apply(overrides, document)                              later ones win: environment first, then flags
    put(document, "cache.pages.path", "…", origin)          any key, in the place of what the file says: for tests

Every key marked as a flag has both names, made from its own: `max_body`, `--max-body`, EDGESTACK_MAX_BODY. Besides
there are `--static`, `--app` and `--listing`, which say the content of the route "/", `--proxy`, which says that of
the routes that it names, and a form of the access log without a name. Values come as text, or as click has read them;
what is wrong with one is told under the name by which it was said. A command may have defaults of its own, which are
weaker than the file.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from edgestack.config.documents import Document
from edgestack.config.keys import Slot, section_of
from edgestack.config.model import CONTENT, File
from edgestack.config.positions import Mark, Source
from edgestack.config.problems import Problem
from edgestack.config.proxy_targets import parse_place
from edgestack.errors import ConfigError

__all__ = ["FLAGS", "FORM", "SHORTHAND", "Flag", "Override", "apply", "from_environment", "from_flags", "put"]


class Flag(NamedTuple):
    """A key that is a flag."""

    tables: tuple[str, ...]
    """The tables that it stands in, the outermost first."""
    name: str
    """Its name there."""
    slot: Slot


def _flags() -> dict[str, Flag]:
    """The keys that are flags, by the names of these."""
    found = {}
    for tables in (("server",), ("server", "timeouts"), ("server", "limits"), ("tls",)):
        cls: Any = File
        for table in tables:
            kind: Any = section_of(cls).keys[table].key.kind
            cls = kind.cls
        for name, slot in section_of(cls).keys.items():
            if slot.key.flag:
                found[slot.key.option(name)] = Flag(tables, name, slot)
    return found


FLAGS = _flags()
"""Names, which are flags with dashes for underscores."""

FORM = "access_log_format"
"""The name of a form of the access log that an option brings."""

SHORTHAND = ("static", "app", "listing", "proxy")
"""Flags that say what routes answer with."""


@dataclass(frozen=True, slots=True)
class Override:
    """One value from outside the file."""

    name: str
    """Of the key, with underscores."""
    value: Any
    origin: str
    """`--threads` or `EDGESTACK_THREADS`."""
    unless: tuple[str, ...] = ()
    """Of a default: keys of `[server]` and `[tls]`, or tables, that make it void where somebody says one of them."""
    folder: Path = Path()
    """What relative paths in it are relative to."""
    remark: str = ""
    """What is odd about it."""


def from_flags(said: Mapping[str, Any]) -> list[Override]:
    """The flags that were given.

    :param said: by the names of their keys; None, and an empty tuple, mean not given; other names are ignored.
    """
    return [
        Override(name, _plain(name, value), f"--{name.replace('_', '-')}")
        for name, value in said.items()
        if (name in FLAGS or name in SHORTHAND) and value is not None and value != ()
    ]


def from_environment(environ: Mapping[str, str]) -> list[Override]:
    """The variables that are set and not empty."""
    found = []
    for name in (*FLAGS, *SHORTHAND):
        variable = f"EDGESTACK_{name.upper()}"
        if environ.get(variable):
            found.append(Override(name, _plain(name, environ[variable]), variable))
    return found


def _plain(name: str, value: Any) -> Any:
    """The TOML value that is meant."""
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, tuple):
        parts = [_plain("", one) for one in value]
        return FLAGS[name].slot.key.kind.gathered(parts) if name in FLAGS else parts
    if isinstance(value, str) and name == "proxy":
        return value.replace(",", " ").split()
    if isinstance(value, str) and name == "listing":
        return value.lower() in ("1", "true", "yes", "on")
    return FLAGS[name].slot.key.kind.plain(value) if isinstance(value, str) and name in FLAGS else value


def apply(overrides: Iterable[Override], document: Document) -> list[ConfigError]:
    """Put them into the document, in the place of what the file says.

    :returns: what is wrong with them.
    """
    overrides = list(overrides)
    latest = {one.name: one for one in overrides if not one.unless}
    defaults = [one for one in overrides if one.unless and not _said(one.unless, latest, document)]
    for one in (*defaults, *latest.values()):
        if one.name in FLAGS:
            flag = FLAGS[one.name]
            table = document.values, document.mark
            for name in flag.tables:
                table = _table(*table, name, one)
            _put(*table, flag.name, one.value, one)
        elif one.name == FORM:
            _put(*_table(document.values, document.mark, "log_formats", one), FORM, one.value, one)
            _put(*_table(document.values, document.mark, "server", one), "log_format", FORM, one)
    short = {name: latest[name] for name in SHORTHAND if name in latest}
    if short and "site" in document.values:
        why = "it makes a route, and the file has sites: write it into the site that is meant"
        return [_problem(why, next(iter(short.values())))]
    proxied = short.pop("proxy", None)
    wrong = _shorthand(short, document) if short else []
    return wrong + (_proxied(proxied, short, document) if proxied is not None else [])


def put(document: Document, path: str, value: Any, origin: str) -> None:
    """Say one key, whatever the file says of it.

    :param path: the tables and the key, with dots; a table that is not there is made.
    :param value: as TOML has it.
    :param origin: by which errors call it.
    """
    *tables, name = path.split(".")
    values, mark, said = document.values, document.mark, Override(name, value, origin)
    for table in tables:
        values, mark = _table(values, mark, table, said)
    _put(values, mark, name, value, said)


def _said(names: Collection[str], latest: Mapping[str, Override], document: Document) -> bool:
    """Whether one of these keys is said: in the file, or outside."""
    tables = [document.values, *(document.values.get(name) for name in ("server", "tls"))]
    return any(name in latest for name in names) or any(
        isinstance(table, dict) and name in table for table in tables for name in names
    )


def _table(values: dict[str, Any], mark: Mark, name: str, said: Override) -> tuple[dict[str, Any], Mark]:
    """The table of that name, made where it is not there."""
    if not isinstance(values.get(name), dict):
        _put(values, mark, name, {}, said)
    return values[name], mark.child(name)


def _put(values: dict[str, Any], mark: Mark, name: str, value: Any, said: Override) -> None:
    assert isinstance(mark.parts, dict)
    values[name] = value
    mark.parts[name] = _marked(value, Source(said.origin, "", said.folder))


def _marked(value: Any, source: Source) -> Mark:
    """Marks for a value that stands in no file."""
    parts: Any = None
    if isinstance(value, dict):
        parts = {name: _marked(inner, source) for name, inner in value.items()}
    elif isinstance(value, list):
        parts = [_marked(inner, source) for inner in value]
    return Mark(source, (0, 0), (0, 0), parts)


def _shorthand(said: dict[str, Override], document: Document) -> list[ConfigError]:
    """Put `--static`, `--app` and `--listing` into the route "/"."""
    first = next(iter(said.values()))
    route, mark = _route("/", document.values, document.mark, first)
    if said.keys() & {"static", "app"}:
        _give_way(route, mark, set(CONTENT) - {"static", "app"})
    for name in ("static", "app"):
        if name in said:
            _put(route, mark, name, said[name].value, said[name])
    if "listing" in said:
        return _listing(route, mark, said["listing"])
    return []


def _proxied(said: Override, content: Collection[str], document: Document) -> list[ConfigError]:
    """Put each `[PREFIX=]URL` into the route of its prefix.

    :param content: what else is said outside the file about the route "/".
    """
    wrong: list[ConfigError] = []
    seen: set[str] = set()
    for text in said.value:
        try:
            prefix, url = parse_place(text)
        except ConfigError as error:
            wrong.append(_problem(error.why, said, error.hint))
            continue
        others = [f"--{name}" for name in ("static", "app") if name in content and prefix == "/"]
        if others or prefix in seen:
            already = " and ".join(others) or "another URL"
            wrong.append(_problem(f"{already} answers at {prefix} already", said, f"give it a prefix: /api/={url}"))
            continue
        seen.add(prefix)
        route, mark = _route(prefix, document.values, document.mark, said)
        _give_way(route, mark, set(CONTENT) - {"proxy"})
        proxy = route.get("proxy")
        if isinstance(proxy, dict):  # its other keys hold
            _put(proxy, mark.child("proxy"), "to", url, said)
        else:
            _put(route, mark, "proxy", url, said)
    return wrong


def _problem(why: str, said: Override, hint: str = "") -> Problem:
    """Something that is wrong with one value."""
    return Problem(why, Source(said.origin, "", Path()), (0, 0), hint=hint)


def _route(prefix: str, values: dict[str, Any], mark: Mark, said: Override) -> tuple[dict[str, Any], Mark]:
    """The route of a prefix without a site, made where it is not there."""
    routes = values.get("route")
    if isinstance(routes, list):
        for at, route in enumerate(routes):
            if isinstance(route, dict) and route.get("match", "/") == prefix:
                return route, mark.child("route").child(at)
    else:
        _put(values, mark, "route", [], said)
    values["route"].append({})
    parts = mark.child("route").parts
    assert isinstance(parts, list)
    parts.append(_marked({}, Source(said.origin, "", said.folder)))
    if prefix != "/":
        _put(values["route"][-1], parts[-1], "match", prefix, said)
    return values["route"][-1], parts[-1]


def _give_way(route: dict[str, Any], mark: Mark, names: Iterable[str]) -> None:
    """Other kinds of content are not what is wanted any more."""
    assert isinstance(mark.parts, dict)
    for name in names:
        route.pop(name, None)
        mark.parts.pop(name, None)


def _listing(route: dict[str, Any], mark: Mark, said: Override) -> list[ConfigError]:
    """Put `--listing` beside the folder that it is about."""
    if "static" not in route:
        if not said.value:
            return []
        return [_problem("it shows folders, and none is served", said, "add --static DIR")]
    if not isinstance(route["static"], dict):
        root, place = route["static"], mark.child("static")
        route["static"] = {"root": root}
        place.parts = {"root": Mark(place.source, (place.key_start, place.key_end), (place.start, place.end))}
    _put(route["static"], mark.child("static"), "listing", said.value, said)
    return []
