"""Variables of the user's own, log formats and tests: names that are free, maps in the order in which they can be made
out, regexes that are.

A map may look at another map; the circle that two of them could make is an error.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

from edgestack.config.matching import parse_match
from edgestack.config.model import MapTable, Site, Test
from edgestack.config.positions import Mark
from edgestack.config.problems import did_you_mean
from edgestack.config.reading import Reading
from edgestack.config.route_checks import parts
from edgestack.config.slow_regexes import warn_slow
from edgestack.errors import ConfigError
from edgestack.http.fields import is_field_value
from edgestack.http.messages import Exchange
from edgestack.http.variables import (
    FAMILIES,
    FORMATS,
    MOMENTS,
    TIMED,
    VARIABLES,
    Scope,
    TemplateError,
    Variable,
    compile_pattern,
    compile_template,
    map_read,
)  # fmt: skip

__all__ = [
    "check_formats", "check_noted", "check_tests", "own_variables", "settled_maps", "unfit_maps",
]  # fmt: skip

Map = tuple[str, MapTable]

DEEPEST = 32
"""Maps that one map may lead to, one after the other: each is a call inside the one before. Our number."""

_name = re.compile(r"\$\{?(\w+)")


def settled_maps(maps: Sequence[Map], mark: Mark, reading: Reading) -> tuple[Map, ...]:
    """The maps, each after those that it looks at."""
    tables = dict(maps)
    for name, table in maps:
        place = mark.child(name)
        if _taken(name):
            reading.key_problem(place, f"`${name}` is a variable already", key=name)
        for key, _ in table.to:
            _check_regex(key, place.child("to").child(key), reading)
    ordered: dict[str, MapTable] = {}
    for name in tables:
        _place(name, tables, ordered, [], mark, reading)
    return tuple(ordered.items())


def _place(
    name: str, tables: dict[str, MapTable], ordered: dict[str, MapTable], above: list[str], mark: Mark, reading: Reading
) -> None:
    """Put a map, and before it those that it looks at, into the order."""
    if name in above:
        ring = " → ".join(f"${one}" for one in (*above[above.index(name) :], name))
        reading.problem(mark.child(above[-1]).child("from"), f"these maps look at each other: {ring}", key="from")
        return
    if name in ordered:
        return
    if len(above) == DEEPEST:
        why = f"these maps look at each other, more than {DEEPEST} deep"
        reading.problem(mark.child(name).child("from"), why, key="from")
        return
    for inner in _name.findall(tables[name].from_):
        if inner in tables:
            _place(inner, tables, ordered, [*above, name], mark, reading)
    ordered[name] = tables[name]


def own_variables(maps: Sequence[Map], sites: Iterable[Site], names: Iterable[str] = ()) -> dict[str, Variable]:
    """The variables that maps and `auth_request` make. A map's is known as soon as all that it looks at; of a map that
    does not compile, which is told elsewhere, nothing comes.

    :param maps: each after those that it looks at.
    :param names: of maps that could not be read, too.
    """
    made = {name: Variable("request", lambda exchange: None) for name in names} | _noted_variables(sites)
    for name, table in maps:
        for moment in MOMENTS:
            try:
                source = compile_template(table.from_, moment, Scope(maps=made))
                read = map_read(source, table.to, table.default)
            except (TemplateError, re.error):
                continue  # too early, perhaps
            made[name] = Variable(moment, read, certain=True)
            break
    return made


def unfit_maps(maps: Sequence[Map], mark: Mark) -> dict[str, Mark]:
    """The maps that give something which cannot stand in a field, and where it is written."""
    found: dict[str, Mark] = {}
    for name, table in maps:
        place = mark.child(name)
        given = [(value, place.child("to").child(key)) for key, value in table.to]
        for value, where in [*given, (table.default, place.child("default"))]:
            if not is_field_value(value):
                found.setdefault(name, where)
    return found


def _taken(name: str) -> bool:
    """Whether a name is a variable's."""
    return name in VARIABLES or name in TIMED or name == "server_name" or name.startswith(tuple(FAMILIES))


def _noted_variables(sites: Iterable[Site]) -> dict[str, Variable]:
    """The variables that `auth_request` sets; where it does not, they have no value."""
    asked = [rules.auth_request for site in sites for rules in (site, *site.routes) if rules.auth_request is not None]
    return {name: Variable("content", _noted(name)) for one in asked for name, _ in one.set}


def _noted(name: str) -> Callable[[Exchange], str | None]:
    def read(exchange: Exchange) -> str | None:
        noted: dict[str, str] = getattr(exchange, "noted", {})
        return noted.get(name)

    return read


def check_noted(marks: Iterable[Mark], maps: Sequence[Map], reading: Reading) -> None:
    """The variables that `auth_request` sets have names that are free.

    :param marks: of the sites and routes.
    """
    tables = dict(maps)
    for mark in marks:
        asked = parts(mark).get("auth_request")
        names = parts(asked).get("set") if asked is not None else None
        for name, place in parts(names).items() if names is not None else ():
            if _taken(name) or name in tables:
                reading.key_problem(place, f"`${name}` is a variable already", key=name)


def _check_regex(key: str, place: Mark, reading: Reading) -> None:
    if key.startswith("~"):
        ignore_case = key.startswith("~*")
        try:
            pattern = compile_pattern(key[1 + ignore_case :].lstrip(), ignore_case=ignore_case)
            warn_slow(pattern, reading, place, key, on_key=True)
        except re.error as error:
            reading.key_problem(place, f"this regex is not valid: {error.msg}", key=key)


def check_formats(formats: Sequence[tuple[str, str]], used: str, mark: Mark, reading: Reading) -> None:
    """Names that are free, and a `server.log_format` that is there."""
    for name, _ in formats:
        if name in (*FORMATS, "off"):
            reading.key_problem(mark.child("log_formats").child(name), f"`{name}` is a format already", key=name)
    names = (*FORMATS, *(name for name, _ in formats))
    if used not in names:
        place = mark.child("server").child("log_format")
        hint = did_you_mean(used, names, quote='"') or "formats of your own stand in [log_formats]"
        reading.problem(place, f"there is no log format {used!r}", hint, key="log_format")


def check_tests(tests: Sequence[tuple[Test, Mark]], sites: Sequence[Site], reading: Reading) -> None:
    """Tests that expect something that could be."""
    hosts = [host for site in sites for host in site.hosts]
    matches = {str(route.match) for site in sites for route in site.routes}
    for test, mark in tests:
        place = mark.child("expect")
        said = parts(place)
        if not said:
            reading.problem(place, "nothing is expected", "for instance `expect = { status = 200 }`", key="expect")
        if test.expect.site and test.expect.site not in hosts:
            hint = did_you_mean(test.expect.site, hosts, quote='"')
            reading.problem(said["site"], f"no site has the host {test.expect.site}", hint, key="site")
        if test.expect.route and _written(test.expect.route) not in matches:
            hint = did_you_mean(test.expect.route, matches, quote='"')
            reading.problem(said["route"], f'no route has the match "{test.expect.route}"', hint, key="route")


def _written(text: str) -> str:
    """A match as `str(Match)` writes it."""
    try:
        return str(parse_match(text))
    except (ConfigError, re.error):
        return text
