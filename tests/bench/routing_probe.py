"""What a configuration of 500 routes costs, timed in this very process: run by `routing.py`, pinned, prints JSON.

    load and check     the file read, checked and composed, with cold tables of regexes
    matching           the handler of the composed plan, for exchanges made before the clock starts, beside the handler
                       of a plan with one route: the difference per request

Every route answers with the same 204 of the configuration, so that nothing but the choice of a route differs.
"""

from __future__ import annotations

import gc
import json
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from statistics import median

from edgestack.compose import Resources, compose
from edgestack.config import matching
from edgestack.config.load import load
from edgestack.config.model import Listener
from edgestack.http.facts import Facts
from edgestack.http.messages import Exchange, Request
from edgestack.http.target import read_path

PREFIXES, EXACT, REGEXES = 250, 200, 50
REQUESTS = 3000
"""In one round of one case: fewer than one generation of the table of known paths."""

Handler = Callable[[Exchange], object]


def text(prefixes: int, exact: int, regexes: int) -> str:
    """A file with so many routes of each kind, and one for the rest."""
    matches = ["/"]
    matches += [f"/section-{number}/part/" for number in range(prefixes - 1)]
    matches += [f"= /page-{number}.html" for number in range(exact)]
    matches += [f"~ ^/user-{number}/(\\\\d+)/[a-z]+\\\\.json$" for number in range(0, regexes, 2)]
    matches += [f"~* \\\\.old{number}$" for number in range(1, regexes, 2)]
    routes = "".join(f'[[route]]\nmatch = "{match}"\nrespond = 204\n' for match in matches)
    return f"[server]\ntls = false\n{routes}"


def loading(file: Path) -> float:
    """Milliseconds for one load, check and compose, as for the first time."""
    matching.compiled.cache_clear()
    re.purge()
    gc.collect()
    began = time.perf_counter()
    compose(load(file).config)
    return (time.perf_counter() - began) * 1000


def handler(file: Path) -> Handler:
    """Where the one listener leads."""
    return compose(load(file).config).assemble(Resources({}))(Listener()).handle


def exchanges(paths: Iterator[str]) -> list[Exchange]:
    """Requests for these paths."""
    facts = Facts()
    made = []
    for path, serial in zip(paths, range(REQUESTS), strict=False):
        request = Request("GET", path, "HTTP/1.1", [], {}, read_path(path), "", "localhost", True)
        made.append(Exchange(facts, request, serial, 0.0))
    return made


def micros(handle: Handler, asked: list[Exchange]) -> float:
    """Microseconds per request."""
    gc.collect()
    gc.disable()
    began = time.perf_counter()
    for exchange in asked:
        handle(exchange)
    took = time.perf_counter() - began
    gc.enable()
    return took / len(asked) * 1e6


def again(paths: list[str]) -> Callable[[], Iterator[str]]:
    """The same few paths, over and over."""
    return lambda: (paths[number % len(paths)] for number in count())


def fresh(numbers: Iterator[int] = count()) -> Iterator[str]:  # noqa: B008 - goes on from round to round
    """Paths that nobody asked for before and that no regex fits: each is looked for among all routes."""
    return (f"/section-{number % (PREFIXES - 1)}/part/{number}.css" for number in numbers)


KINDS: dict[str, Callable[[], Iterator[str]]] = {
    "prefix": again([f"/section-{number}/part/style.css" for number in range(0, PREFIXES - 1, 7)]),
    "exact": again([f"/page-{number}.html" for number in range(0, EXACT, 7)]),
    "known": again([f"/user-{number}/17/x.json" for number in range(0, REGEXES, 2)] + ["/", "/elsewhere/x.OLD7"]),
    "first": fresh,
}


def check(handle: Handler) -> None:
    """The handler chooses what it is timed for."""
    for kind, expected in (("prefix", "prefix"), ("exact", "exact"), ("known", "regex"), ("first", "prefix")):
        (exchange, *_) = exchanges(KINDS[kind]())
        handle(exchange)
        assert exchange.chain.match.kind == expected, (exchange.request.target, exchange.chain.match)
        assert kind != "first" or exchange.chain.match.pattern != "/"


def matching_costs(many: Handler, one: Handler, rounds: int) -> dict[str, list[tuple[float, float]]]:
    """For each kind of path, in each round: microseconds with many routes, and with one."""
    found: dict[str, list[tuple[float, float]]] = {kind: [] for kind in KINDS}
    for number in range(rounds):
        for kind, paths in KINDS.items():
            pair = {}
            for handle in (many, one) if number % 2 else (one, many):
                if kind != "first":
                    micros(handle, exchanges(paths()))  # now they are known
                pair[handle] = micros(handle, exchanges(paths()))
            found[kind].append((pair[many], pair[one]))
    return found


def main() -> None:
    """Time it, as often as the first argument says."""
    rounds = int(sys.argv[1])
    with tempfile.TemporaryDirectory() as folder:
        many, one = Path(folder) / "many.toml", Path(folder) / "one.toml"
        many.write_text(text(PREFIXES, EXACT, REGEXES))
        one.write_text(text(1, 0, 0))
        loads = [loading(many) for _ in range(rounds)]
        chosen = handler(many)
        check(chosen)
        costs = matching_costs(chosen, handler(one), rounds)
    matched = {
        kind: {"more": median(a - b for a, b in pairs), "many": median(a for a, _ in pairs), "rounds": pairs}
        for kind, pairs in costs.items()
    }
    sys.stdout.write(json.dumps({"load": {"median": median(loads), "rounds": loads}, "matching": matched}))


if __name__ == "__main__":
    main()
