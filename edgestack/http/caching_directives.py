"""Cache directives: what a response allows, and what a request wishes (RFC 9111 §5.2, RFC 5861, RFC 9213).

    read_directives     Cache-Control -> {"max-age": "60", "public": ""}
    read_targeted       CDN-Cache-Control -> the same; None where it is empty or malformed, so that it does not count
    seconds             one directive's argument (§1.2.2), None where it is absent
    wishes              what a request asks of the cache: no-cache, max-age, max-stale, only-if-cached …

Cache-Control is read as leniently as §5.2 asks (quoted arguments, any case, what is unknown is ignored); a targeted
field is a structured field, which is right as a whole or not there (RFC 9213 §2.1). Where a number cannot be read, or
is given twice and differently, it is 0: the answer counts as stale (§4.2.1). Pure functions over text.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edgestack.http.fields import split_list, unquote
from edgestack.http.structured_fields import BareItem, dictionary

__all__ = ["LONGEST", "Directives", "Wishes", "delta_seconds", "read_directives", "read_targeted", "seconds", "wishes"]

Directives = Mapping[str, str]
"""Arguments by directive's name in lower case; "" for one without."""

LONGEST = 2**31
"""Seconds, for every number too large to count (§1.2.2)."""
CONTRADICTION = "?"
"""Stands for an argument that was given twice, and differently."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a request asks of the cache. They are advice (§5.2.1): a rule says whether it is taken."""

    no_cache: bool = False
    """Nothing without validation."""
    no_store: bool = False
    only_if_cached: bool = False
    max_age: int | None = None
    """Seconds: no older than that."""
    min_fresh: int = 0
    """Seconds for which it is still to be fresh."""
    max_stale: int | None = None
    """Seconds for which it may have been stale; None for not at all."""
    stale_if_error: int | None = None
    """Seconds, as `max_stale`, where the origin fails (RFC 5861 §4)."""


NONE = Wishes()


def read_directives(value: str) -> dict[str, str]:
    """The directives of a Cache-Control field (§5.2)."""
    found: dict[str, str] = {}
    for element in split_list(value):
        name, _, argument = element.partition("=")
        name, argument = name.strip(" \t").lower(), unquote(argument.strip(" \t"))
        found[name] = argument if found.get(name, argument) == argument else CONTRADICTION
    return found


def read_targeted(value: str) -> dict[str, str] | None:
    """The directives of a targeted field (RFC 9213 §2.1); None where it is to be ignored: empty, or malformed."""
    members = dictionary(value)
    if not members:
        return None
    return {name: _argument(member) for name, member in members.items() if member is not False}


def _argument(member: BareItem) -> str:
    """A member as Cache-Control would have it: true is a directive without argument; only integers are numbers."""
    if member is True:
        return ""
    return str(member) if type(member) is int else CONTRADICTION


def delta_seconds(text: str) -> int | None:
    """A number of seconds (§1.2.2), at most `LONGEST`; None where it is none."""
    if not text.isascii() or not text.isdigit():
        return None
    digits = text.lstrip("0")
    return min(int(digits or "0"), LONGEST) if len(digits) < 11 else LONGEST


def seconds(directives: Directives, name: str) -> int | None:
    """The seconds that a directive names; 0 where they cannot be read, None where it is absent."""
    argument = directives.get(name)
    if argument is None:
        return None
    return delta_seconds(argument) or 0


def wishes(fields: Mapping[str, str]) -> Wishes:
    """What a request asks of the cache; Pragma counts where Cache-Control is absent (§5.4).

    :param fields: of the request, folded, names in lower case.
    """
    value = fields.get("cache-control")
    if value is None:
        return Wishes(no_cache=True) if "no-cache" in read_directives(fields.get("pragma", "")) else NONE
    found = read_directives(value)
    return Wishes(
        no_cache="no-cache" in found,
        no_store="no-store" in found,
        only_if_cached="only-if-cached" in found,
        max_age=seconds(found, "max-age"),
        min_fresh=seconds(found, "min-fresh") or 0,
        max_stale=LONGEST if found.get("max-stale") == "" else seconds(found, "max-stale"),
        stale_if_error=seconds(found, "stale-if-error"),
    )
