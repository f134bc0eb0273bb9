"""The values of caching: what a route wants, what is kept of a response, and which request it answers (RFC 9111 §4.1).

    CachingRule    what a route wants of its cache
    StoredHead     what is kept of a response beside its body; `to_bytes` and back for a disk
    select         the one of several under a key whose Vary fits the request
    variant_key    what the fields named by Vary say: the second part of the key

Pure. A StoredHead knows neither its key nor its body, nor where it is kept.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

from edgestack.http.messages import FieldPairs
from edgestack.http.remembered import Remembered

__all__ = ["ANY", "READS", "UNSAID", "CachingRule", "StoredHead", "select", "variant_key"]

ANY = 0
"""The status in `CachingRule.valid` that stands for all others (nginx: proxy_cache_valid any)."""
READS = frozenset(["GET", "HEAD"])
UNSAID = -1
"""Seconds of a stale window that the response did not name: the rule's holds."""
BUDGET = 64 * 1024
"""Bytes of one generation of normalised Accept fields: browsers send a dozen."""


@dataclass(frozen=True, slots=True)
class CachingRule:
    """What a route wants of its cache. Times are in seconds."""

    valid: Mapping[int, float] = field(default_factory=dict)
    """Freshness by status where the response says none (nginx: proxy_cache_valid); `ANY` for the others."""
    methods: frozenset[str] = READS
    """GET, or GET and HEAD. Other methods are never answered from the store."""
    stale_if_error: float = 0.0
    """For how long a stale answer may stand in for a failure, where the response does not say (RFC 5861 §4)."""
    stale_while_revalidate: float = 0.0
    """The same, while a fresh one is fetched (RFC 5861 §3)."""
    heed_client: bool = True
    """Whether the Cache-Control of requests counts. It is advice (§5.2.1), and nginx takes none."""
    ignore: frozenset[str] = frozenset()
    """Names of response fields, in lower case, that do not count (nginx: proxy_ignore_headers): cache-control, expires,
    x-accel-expires, cdn-cache-control, set-cookie, vary. A Set-Cookie that does not count is not stored either."""
    cookies: bool = False
    """Whether what was answered to a request with a Cookie may be stored although the response itself does not say for
    how long: `valid` and heuristics are about pages for everybody."""
    hidden: frozenset[str] = frozenset()
    """Names of request fields, in lower case, that content sees otherwise than they came: an answer that varies on one
    of them cannot be told from those for others, and is not stored."""
    identified: bool = False
    """Whether content is told who asks by other means than Authorization: then each answer is as one to that (§3.5)."""
    heuristic: float = 0.1
    """The part of its age since Last-Modified for which a response without another word is fresh (§4.2.2); 0: none."""
    heuristic_most: float = 86400.0
    """The longest time that `heuristic` gives."""


@dataclass(frozen=True, slots=True)
class StoredHead:
    """What is kept of a response beside its body. Times are in seconds since 1970."""

    status: int
    fields: FieldPairs
    """As they were to be sent, without those of one connection or one client (§3.1), Age and Date."""
    came: float
    """When it was received, or last validated."""
    born: float
    """When its age was 0 (§4.2.3): its age is `now - born`."""
    fresh_until: float
    source: str
    """What gave the freshness: x-accel-expires, cdn-cache-control, s-maxage, max-age, expires, valid, heuristic."""
    vary: tuple[str, ...] = ()
    """The request fields that selected it, in lower case, sorted (§4.1)."""
    variant: str = ""
    """`variant_key(vary, fields of its request)`."""
    etag: str | None = None
    modified: int | None = None
    """Last-Modified."""
    while_revalidate: int = UNSAID
    """Seconds of its stale-while-revalidate; `UNSAID` without one."""
    if_error: int = UNSAID
    """Seconds of its stale-if-error; `UNSAID` without one."""
    no_cache: bool = False
    """Never without validation (§5.2.2.4)."""
    strict: bool = False
    """Never stale (§5.2.2.2, §5.2.2.8)."""
    shared: bool = False
    """Never stale by a client's leave alone (§5.2.2.10)."""
    accel: str = ""
    """X-Accel-Expires, which is not in `fields`."""
    tags: tuple[str, ...] = ()
    """What it can be purged by (`response_tags`)."""

    @property
    def validator(self) -> bool:
        """Whether the origin can be asked if it is still so."""
        return self.etag is not None or self.modified is not None

    def useful_until(self, rule: CachingRule) -> float:
        """When it can no longer answer anything, stale or by validation; may be infinite."""
        if self.validator:
            return math.inf
        return self.fresh_until + (0.0 if self.strict else max(self.while_window(rule), self.error_window(rule)))

    def while_window(self, rule: CachingRule) -> float:
        """Seconds for which it is given stale, while it is fetched anew (RFC 5861 §3)."""
        return rule.stale_while_revalidate if self.while_revalidate == UNSAID else self.while_revalidate

    def error_window(self, rule: CachingRule) -> float:
        """Seconds for which it stands in, stale, for a failure (RFC 5861 §4)."""
        return rule.stale_if_error if self.if_error == UNSAID else self.if_error

    def to_bytes(self) -> bytes:
        """For a disk: what `from_bytes` reads, without a line break."""
        return json.dumps(asdict(self), ensure_ascii=True, separators=(",", ":")).encode("ascii")

    @classmethod
    def from_bytes(cls, data: bytes) -> StoredHead:
        """:raises ValueError: it is not what `to_bytes` of this version wrote."""
        try:
            said = json.loads(data)
            said["fields"] = tuple((name, value) for name, value in said["fields"])
            said["vary"], said["tags"] = tuple(said["vary"]), tuple(said["tags"])
            return cls(**said)
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            raise ValueError(f"not a stored head: {error}") from None


def select(stored: Sequence[StoredHead], fields: Mapping[str, str]) -> StoredHead | None:
    """The candidate that the request's fields select; of several the one received last (§4.1)."""
    chosen: StoredHead | None = None
    for head in stored:
        fits = not head.vary or variant_key(head.vary, fields) == head.variant
        if fits and (chosen is None or head.came > chosen.came):
            chosen = head
    return chosen


def variant_key(vary: tuple[str, ...], fields: Mapping[str, str]) -> str:
    """What the request fields named by Vary say, as one text (§4.1): "" where none is named.

    :param vary: names in lower case, sorted.
    :param fields: of the request, folded. A field that is absent matches only its absence.
    """
    return "\n".join([_normal(name, fields.get(name)) for name in vary])


def _normal(name: str, value: str | None) -> str:
    if value is None:
        return "\0"
    return _normals[value] if name in _Normals.NAMES else value


class _Normals(Remembered[str, str]):
    """Accept fields without the white space and the case that mean nothing. Their order may mean something."""

    NAMES = frozenset(["accept-encoding", "accept-language", "accept-charset"])
    __slots__ = ()

    def make(self, key: str) -> str:
        return re.sub(r"[ \t]*([,;])[ \t]*", r"\1", key.lower())

    def weigh(self, key: str, value: str) -> int:
        return 200 + 2 * len(key) if len(key) <= 512 else 0


_normals = _Normals(BUDGET)
