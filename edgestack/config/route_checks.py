"""A route by itself: does it answer, in one way only, and does each of its keys do something?

A key that does nothing is an error: somebody believes that it does.
"""

from __future__ import annotations

from collections.abc import Mapping

from edgestack.config.model import CONTENT, HeaderRules, Limit, Route, Rules
from edgestack.config.positions import Mark
from edgestack.config.problems import did_you_mean, listed
from edgestack.config.reading import Reading
from edgestack.http.variables import FAMILIES, FORMATS, TIMED, VARIABLES

__all__ = ["check_route", "check_rules"]

PARTS = ("rate", "connections", "body", "bandwidth")
"""Of a limit: what can be limited."""

ONLY = "only `static` and `app` go together"

TOGETHER = {
    frozenset(("static", "proxy")): 'for files first: `try = ["$uri", "@name"]` here, and `proxy` in the route "@name"'
}
"""What to do about two contents that do not go together, where there is a way."""


def check_route(route: Route, mark: Mark, reading: Reading) -> None:
    """Everything that can be said without looking at other routes."""
    said = parts(mark)
    _check_content(route, said, mark, reading)
    if "strip" in said and route.match.kind not in ("prefix", "final", "exact"):
        kind = "a regex" if route.match.kind == "regex" else "a named route"
        reading.key_problem(said["strip"], f"{kind} has no prefix that could be stripped", key="strip")
    if "try" in said:
        _check_try(route, said["try"], reading)
    if "spa" in route.preset and route.static is None and "static" not in said:
        reading.problem(mark.child("preset"), 'the preset "spa" needs a folder', "add `static`", key="preset")
    _check_groups(route, mark, reading)


def check_rules(rules: Rules, mark: Mark, formats: Mapping[str, str], reading: Reading) -> None:
    """The rules that sites and routes share."""
    said = parts(mark)
    for at, limit in enumerate(rules.limit):
        _check_limit(limit, element(said["limit"], at), reading)
    for at, rule in enumerate(rules.headers):
        _check_headers(rule, element(said["headers"], at), reading)
    for at, name in enumerate(rules.deny):
        if name in rules.allow:
            reading.problem(element(said["deny"], at), f"{name} is in `allow` as well", key="deny")
    if rules.log and rules.log not in (*FORMATS, *formats, "off"):
        hint = did_you_mean(rules.log, (*FORMATS, *formats, "off"), quote='"') or "its own ones stand in [log_formats]"
        reading.problem(said["log"], f"there is no log format {rules.log!r}", hint, key="log")
    statuses: dict[int, str] = {}
    for (numbers, _), (written, place) in zip(rules.errors, parts(mark.child("errors")).items(), strict=False):
        again = next((number for number in numbers if number in statuses), None)
        if again is not None:
            hint = f'it is in "{statuses[again]}" already'
            reading.key_problem(place, f"{again} has two pages", hint, key=written)
        statuses |= dict.fromkeys(numbers, written)


def parts(mark: Mark) -> dict[str, Mark]:
    """The keys of a table, and where they stand."""
    return mark.parts if isinstance(mark.parts, dict) else {}


def element(mark: Mark, at: int) -> Mark:
    """The place of one of several; of a single one that needs no brackets its own."""
    return mark.child(at) if isinstance(mark.parts, list) else mark


def _check_content(route: Route, said: dict[str, Mark], mark: Mark, reading: Reading) -> None:
    contents = [name for name in said if name in CONTENT]
    if not contents:
        if "rewrite" in said or "all" in route.deny or mark in reading.flawed:
            return
        reading.key_problem(mark, "nothing answers in this route", f"add {listed(CONTENT, 'or')}")
    first = contents[0] if contents else ""
    for name in contents[1:]:
        if {first, name} != {"static", "app"}:
            why = f"a route answers in one way, and `{first}` is here already"
            reading.key_problem(said[name], why, TOGETHER.get(frozenset((first, name)), ONLY), key=name)


def _check_try(route: Route, place: Mark, reading: Reading) -> None:
    """Files are tried in a folder; what is no file can only be the last."""
    if route.static is None:
        reading.key_problem(place, "`try` looks for files, and there is no `static`", key="try")
    for at, one in enumerate(route.try_[:-1]):
        if one.startswith(("=", "@")):
            why = f"{one!r} always holds, so what follows is never tried"
            reading.problem(place.child(at), why, "put it last", key="try")


def _check_groups(route: Route, mark: Mark, reading: Reading) -> None:
    """Named groups become variables, which must not bear another one's name."""
    regex = route.match.regex
    for name in regex.groupindex if regex is not None else ():
        if name in VARIABLES or name in TIMED or name.startswith(tuple(FAMILIES)):
            reading.problem(mark.child("match"), f"the group `{name}` bears the name of a variable", key="match")


def _check_limit(limit: Limit, place: Mark, reading: Reading) -> None:
    said = parts(place)
    if not said.keys() & {*PARTS, "burst", "delay", "by"} and place not in reading.flawed:
        reading.key_problem(place, "nothing is limited", f"add {listed(PARTS, 'or')}", key="limit")
    if limit.rate is None and "rate" not in said:
        for name in ("burst", "delay"):
            if name in said:
                reading.key_problem(said[name], f"`{name}` needs a `rate`", 'for instance `rate = "10/s"`', key=name)
    if "by" in said and not said.keys() & {"rate", "connections"}:
        reading.key_problem(said["by"], "`by` needs a `rate` or `connections`", key="by")
    if "delay" in said and limit.delay > limit.burst:
        reading.problem(said["delay"], f"`delay` is a part of `burst`, which is {limit.burst}", key="delay")


def _check_headers(rule: HeaderRules, place: Mark, reading: Reading) -> None:
    said = parts(place)
    if not said.keys() & {"set", "add", "remove", "replace"} and place not in reading.flawed:
        reading.key_problem(place, "no field is named", "add `set`, `add` or `remove`", key="headers")
    for name, value in rule.set:
        if not value:
            hint = f'to remove the field: `remove = ["{name}"]`'
            reading.problem(said["set"].child(name), f"{name} would be empty", hint, key=name)
