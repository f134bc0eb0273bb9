"""Routes against each other: one that no request can ever reach, and paths inside the server that lead nowhere.

Other servers tell such things at run time, by a wrong answer; here they are errors with a place. What is called
unreachable is certain: by the rule of `matching.choose` some other route takes every request that it could get.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

from edgestack.config.matching import Match, choose, compiled, covers, literal_beginning, overtakes_all
from edgestack.config.model import Route, Site
from edgestack.config.positions import Mark
from edgestack.config.problems import did_you_mean
from edgestack.config.reading import Reading
from edgestack.config.route_checks import element, parts

__all__ = ["check_inside", "check_reach"]

Placed = tuple[Route, Mark]


def check_reach(placed: Sequence[Placed], reading: Reading) -> None:
    """Routes of one site that can never match."""
    placed = [pair for pair in placed if not _unsure(pair[1], reading)]
    final = [(route.match, mark) for route, mark in placed if route.match.kind == "final"]
    prefixes = [route.match.pattern for route, _ in placed if route.match.kind == "prefix"]
    exact = [(route.match, mark) for route, mark in placed if route.match.kind == "exact"]
    places: dict[tuple[str, str, bool], list[tuple[Match, Mark]]] = {}
    everything: Mark | None = None
    for route, mark in placed:
        match = route.match
        kind = "prefix" if match.kind == "final" else match.kind
        same = places.setdefault((kind, match.pattern, match.ignore_case), [])
        by = next((place for earlier, place in same if earlier.includes(match)), None)
        if by is None and match.kind == "regex":
            by = everything or _kept_away(match, final, prefixes) or _literal(match, exact)
        if by is not None:
            _never(mark, by, reading)
        same.append((match, mark))
        if everything is None and overtakes_all(match):
            everything = mark
    if everything is not None:
        for route, mark in placed:
            if route.match.kind == "prefix":
                _never(mark, everything, reading)


def _unsure(mark: Mark, reading: Reading) -> bool:
    """Whether a route's match is not known: it could not be read, or is perhaps the key that nobody knows."""
    said = parts(mark)
    return said["match"] in reading.flawed if "match" in said else mark in reading.flawed


def _kept_away(match: Match, final: Sequence[tuple[Match, Mark]], prefixes: Sequence[str]) -> Mark | None:
    """The final prefix under which every path lies that a regex fits, when no prefix as long lets regexes in again."""
    literal, whole = literal_beginning(match.pattern)
    if not literal or match.ignore_case:
        return None
    for stop, mark in final:
        inside = literal.startswith(stop.pattern) and (
            stop.pattern.endswith("/") or literal[len(stop.pattern) : len(stop.pattern) + 1] == "/" or
            (whole and literal == stop.pattern)
        )  # fmt: skip
        if not inside or not stop.includes(match):
            continue
        as_long = (one for one in prefixes if covers(stop.pattern, one))
        if not any(one.startswith(literal) or literal.startswith(one) for one in as_long):
            return mark
    return None


def _literal(match: Match, exact: Sequence[tuple[Match, Mark]]) -> Mark | None:
    """The exact route for the only path that a regex fits."""
    literal, whole = literal_beginning(match.pattern)
    if not whole or match.ignore_case:
        return None
    return next((mark for one, mark in exact if one.pattern == literal and one.includes(match)), None)


def _never(mark: Mark, by: Mark, reading: Reading) -> None:
    place = parts(mark).get("match")
    why = "this route can never match"
    hint = f"the one at {by.origin} takes every request"
    if place is None:
        reading.key_problem(mark, why, hint, key="match")
    else:
        reading.problem(place, why, hint, key="match")


# --- paths inside the server ------------------------------------------------------------------------------------------


def check_inside(site: Site, mark: Mark, placed: Sequence[Placed], reading: Reading) -> None:
    """Where `try`, `errors`, `auth_request` and `rewrite` lead: to a route that is there."""
    routes = [route for route, _ in placed]
    matches = [route.match for route in routes]
    named = {route.match.pattern for route in routes if route.match.kind == "named"}
    sources: list[tuple[Site | Route, Mark]] = [(site, mark), *placed]
    used: set[str] = set()
    for rules, place in sources:
        for target, spot in _targets(rules, place):
            if target.startswith("@"):
                used.add(target[1:])
                if target[1:] not in named:
                    hint = did_you_mean(target, [f"@{name}" for name in named], quote='"')
                    reading.problem(spot, f"there is no route {target}", hint or f'one begins with match = "{target}"')
            elif target.startswith("/") and "$" not in target:
                _check_path(target, spot, routes, matches, reading)
    for at, (route, place) in enumerate(placed):
        _check_ring(route, at, place, matches, reading)
        if route.match.kind == "named" and route.match.pattern not in used:
            reading.warn(place.child("match"), "nothing leads to this route", key="match")


def _check_ring(route: Route, at: int, mark: Mark, matches: Sequence[Match], reading: Reading) -> None:
    """A redirect, or a rewrite, of every request to a path that this very route has, and so on without end."""

    def back(to: str) -> str:
        path = to.partition("?")[0].partition("#")[0]
        plain = path.startswith("/") and not set("$%") & set(path) and not route.match.conditional
        return path if plain and choose(matches, path) == at else ""

    if route.redirect is not None and not route.rewrite and not route.internal and back(route.redirect.to):
        reading.problem(mark.child("redirect"), "this redirects to itself", key="redirect")
    for number, rule in enumerate(route.rewrite):
        path = back(rule.to) if rule.flag == "last" else ""
        first = next((one for one in route.rewrite if path and compiled(one.from_, False).search(path)), None)
        if first is rule:
            place = element(parts(mark)["rewrite"], number)
            reading.problem(place.child("to"), "this rewrites to itself, without end", key="to")


def _targets(rules: Site | Route, mark: Mark) -> Iterator[tuple[str, Mark]]:
    """The paths that a table leads to, and where they stand."""
    said = parts(mark)
    if "errors" in said:
        pages = said["errors"]
        for (_, page), spot in zip(rules.errors, parts(pages).values(), strict=False):
            yield page.partition(" ")[2] if page.startswith("=") else page, spot
    if "auth_request" in said and rules.auth_request:
        asked = said["auth_request"]
        yield rules.auth_request.path, parts(asked).get("path", asked)
    if isinstance(rules, Route) and "try" in said and rules.try_:
        last = said["try"]
        yield rules.try_[-1], last.child(len(rules.try_) - 1) if isinstance(last.parts, list) else last


def _check_path(target: str, spot: Mark, routes: Sequence[Route], matches: Sequence[Match], reading: Reading) -> None:
    """Some route answers the path; where that is a folder, the file is there."""
    path = target.partition("?")[0]
    at = choose(matches, path)
    if at is None:
        reading.problem(spot, f"no route answers {path}", f'one could begin with match = "{path}"')
        return
    route = routes[at]
    if route.static is None or route.app is not None or route.try_ or route.rewrite:
        return
    if route.match.conditional or route.match.kind == "regex" or path.endswith("/"):
        return
    below = path if not route.strip else path[len(route.prefix) :]
    if route.match.kind == "exact" and route.strip:  # mounted where the path's own folder is
        below = path.rpartition("/")[2]
    file = route.static.root / below.lstrip("/")
    if not os.path.isfile(file):  # a path that cannot be looked at is one that cannot be served
        reading.problem(spot, f"{path} would be the file {file}, which does not exist")
