"""Stored responses: where they are kept, `[cache.NAME]`, and the `cache` of a route. Pure data, each key said once.

    cache = "1s"                            micro-caching: answers of 200, 301 and 302 that say nothing of it themselves
    cache = { store = "main", valid = … }   all that can be said

What an answer says itself (X-Accel-Expires, CDN-Cache-Control, Cache-Control, Expires) goes before `valid` (D10).
Words are those of nginx's proxy_cache directives. Durations are seconds, sizes are bytes.
"""

from __future__ import annotations

from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgestack.config.http_kinds import Template
from edgestack.config.keys import key, section
from edgestack.config.kinds import DURATION, DURATION_OR_0, SIZE, SWITCH, TEXT, Choice, Kind, Whole
from edgestack.config.nested_kinds import As, Either, OneOrMany, Pairs
from edgestack.config.place_kinds import NEW_FOLDER
from edgestack.config.positions import Origin
from edgestack.errors import ConfigError

if TYPE_CHECKING:
    from edgestack.config.reading import Spot

__all__ = ["ANY_STATUS", "VALID_ALONE", "Cache", "RouteCache"]

VALID_ALONE = (200, 301, 302)
"""The statuses that a duration alone is for (nginx: `proxy_cache_valid 10m`)."""
ANY_STATUS = 0
"""Stands for every status, where "any" is written."""
NEVER_WHOLE = (206, 304)
"""Parts, and answers about something else, are no answers to the next request."""


class ValidStatuses(Kind):
    """Statuses in one text: "200 301", "404", "any"; gives a tuple of numbers, 0 for any."""

    words = "statuses"

    def read(self, value: Any, spot: Spot) -> tuple[int, ...]:
        """Every status that is meant."""
        found = tuple(map(_status, value.split()))
        if not found:
            raise ConfigError("no status is named", hint='for instance "200 301", or "any"')
        return found


def _status(word: str) -> int:
    if word == "any":
        return ANY_STATUS
    if not (word.isascii() and word.isdigit() and 200 <= int(word) <= 599):
        raise ConfigError(f"{word!r} is not the status of an answer", hint='numbers from 200 on: "200 301", or "any"')
    if int(word) in NEVER_WHOLE:
        raise ConfigError(f"{word} is no whole answer, so it is never stored by itself")
    return int(word)


@section("a cache")
class Cache:
    """A place for stored responses, which routes may share: memory, and a folder for what is to survive a restart."""

    memory: int = key(
        SIZE, "Bytes of memory for stored responses; those asked for longest ago go first.", default=64_000_000,
        shown='"64MB"', example='"256MB"', nginx="proxy_cache_path … keys_zone=",
    )  # fmt: skip
    disk: Path | None = key(
        NEW_FOLDER, "A folder that several processes may share; it is made where it is not there. Without one, memory "
        "is all there is.", default=None, shown="none", example='"/var/cache/edgestack"', nginx="proxy_cache_path",
    )  # fmt: skip
    disk_size: int = key(
        SIZE, "Bytes on disk.", default=1_000_000_000, shown='"1GB"', example='"10GB"',
        nginx="proxy_cache_path … max_size=",
    )  # fmt: skip
    name: str = ""
    """NAME, as routes write it."""
    origin: Origin | None = field(default=None, compare=False, repr=False)
    """Where it is written."""


@section("`cache` of a route")
class RouteCache:
    """Answers are kept and given again (RFC 9111), to everybody: for what is the same for all who ask."""

    store: str = key(
        TEXT, "Which `[cache.NAME]` keeps them.", default="", shown="the only one; without any, 64 MB of memory",
        example='"main"', nginx="proxy_cache",
    )  # fmt: skip
    valid: tuple[tuple[tuple[int, ...], float], ...] = key(
        Either(
            As(DURATION, lambda seconds: ((VALID_ALONE, seconds),)),
            Pairs("a table of statuses and durations", ValidStatuses(), DURATION_OR_0),
            words="a duration, or a table of statuses and durations",
        ),
        "How long answers are fresh that do not say so themselves; a duration alone is for 200, 301 and 302.",
        default=(), shown="as they say themselves", example='{ "200 301" = "10m", "404" = "30s" }',
        nginx="proxy_cache_valid",
    )  # fmt: skip
    """Pairs of statuses and seconds; 0 stands for any status, and one of its own goes before."""
    key_: str = key(
        Template("request"), "Requests for which this template gives the same get the same answer; whatever else "
        "content looks at must be in it, or in `Vary`.",
        default="", shown="the URL: scheme, host and port, path and query", name="key",
        example='"$scheme$host$request_uri"', nginx="proxy_cache_key",
    )  # fmt: skip
    lock: bool = key(
        SWITCH, "Of several requests for what is not stored, one is passed on, and the others wait for its answer.",
        default=True, example="false", nginx="proxy_cache_lock",
    )  # fmt: skip
    lock_timeout: float = key(
        DURATION, "How long they wait; then they are passed on too.", default=5.0, example='"2s"',
        nginx="proxy_cache_lock_timeout",
    )  # fmt: skip
    stale_if_error: float = key(
        DURATION_OR_0, "How long after its time an answer is given where there is none but an error (RFC 5861).",
        default=0.0, shown="as the answer says", example='"1h"', nginx="proxy_cache_use_stale error timeout http_5xx",
    )  # fmt: skip
    stale_while_revalidate: float = key(
        DURATION_OR_0, "How long after its time an answer is given while another one is fetched (RFC 5861).",
        default=0.0, shown="as the answer says", example='"30s"',
        nginx="proxy_cache_use_stale updating, proxy_cache_background_update",
    )  # fmt: skip
    bypass: tuple[str, ...] = key(
        OneOrMany(Template("request"), "text, or an array of texts"),
        "Requests for which one of these is neither empty nor `0` are passed on, and their answers are not stored.",
        default=(), shown="none", example='"$cookie_session"', nginx="proxy_cache_bypass, proxy_no_cache",
    )  # fmt: skip
    methods: tuple[str, ...] = key(
        OneOrMany(Choice("GET", "HEAD"), "a method, or an array of them"),
        "Requests that are answered from it. What answers GET answers HEAD.", default=("GET", "HEAD"),
        example='["GET"]', nginx="proxy_cache_methods",
    )  # fmt: skip
    min_uses: int = key(
        Whole(1), "How often something must have been asked for until it is stored.", default=1, example="2",
        nginx="proxy_cache_min_uses",
    )  # fmt: skip
    cookies: bool = key(
        SWITCH, "Store answers that set cookies too, without their Set-Cookie.", default=False, example="true",
        nginx="proxy_ignore_headers Set-Cookie",
    )  # fmt: skip
