"""The conditions of a match besides its path, compiled: all of them must hold.

    match = { path = "/api/", methods = ["GET"], query = { v = "2" }, header = { Accept = "~ json" } }

GET stands for HEAD too (RFC 9110 §9.3.2; nginx: limit_except). Parameters are compared decoded, the first of each name.
"""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import parse_qsl

from edgestack.config.matching import Condition, Match, compiled
from edgestack.http.messages import Request

__all__ = ["conditions", "fits"]

Test = Callable[[str | None], bool]


def conditions(match: Match) -> Callable[[Request], bool] | None:
    """Whether a request meets them; None where there are none."""
    if not match.conditional:
        return None
    methods = frozenset((*match.methods, *(("HEAD",) if "GET" in match.methods else ())))
    fields = [(one.name, fits(one)) for one in match.header]
    parameters = [(one.name, fits(one)) for one in match.query]

    def holds(request: Request) -> bool:
        if methods and request.method not in methods:
            return False
        for name, test in fields:
            if not test(request.fields.get(name)):
                return False
        return not parameters or _query_holds(request.query, parameters)

    return holds


def _query_holds(query: str, parameters: list[tuple[str, Test]]) -> bool:
    try:
        pairs = parse_qsl(query, keep_blank_values=True, errors="surrogateescape", max_num_fields=MOST_PARAMETERS)
    except ValueError:  # more than anybody means
        return False
    found = dict(reversed(pairs))
    return all(test(found.get(name)) for name, test in parameters)


MOST_PARAMETERS = 1000
"""Of a query; one that has more meets no condition. Our number, against queries of 8,000 parameters."""


def fits(condition: Condition) -> Test:
    """Whether a value is what a condition asks for; None stands for one that is not there."""
    if condition.pattern:
        search = compiled(condition.pattern, condition.ignore_case).search
        return lambda value: value is not None and search(value) is not None
    if condition.value is not None:
        return lambda value: value == condition.value
    return lambda value: (value is not None) is condition.present
