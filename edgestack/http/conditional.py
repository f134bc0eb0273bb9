"""Conditional requests: whether a request still wants the representation that was selected for it (RFC 9110 §13).

Pure functions over the folded request fields and the two validators of the selected representation. The order of
§13.2.2 is this file's flow (criterion C2):

    If-Match             no strong match                       412
    If-Unmodified-Since  (without If-Match) changed since      412
    If-None-Match        a weak match                          304 for GET and HEAD, else 412
    If-Modified-Since    (without If-None-Match) not changed   304, GET and HEAD only
    Range, If-Range      `range_applies`                       206, or the whole (criterion C4)

`validators` makes the two of a file from its mtime and size (criteria C1 and C10).

An entity-tag is the text of the ETag field, `"x"` or `W/"x"`. A field that cannot be read is no match, and a date that
cannot be read is as if absent. Dates are seconds since 1970.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from edgestack.http.dates import parse_http_date

__all__ = ["CONDITIONAL", "evaluate", "range_applies", "read_tags", "undated", "validators"]

CONDITIONAL = frozenset(
    ["if-match", "if-unmodified-since", "if-none-match", "if-modified-since", "range", "if-range"]
)  # fmt: skip
"""The fields this file reads. A request with none of them wants the whole: `CONDITIONAL.isdisjoint(fields)`."""

SAFE = frozenset(["GET", "HEAD"])
SECOND = 1_000_000_000
MOST_TAGS = 128
"""Entity-tags read of one list, so that a long field costs no more than a short one; ours to choose."""

_TAG = re.compile(r'[ \t]*((?:W/)?"[\x21\x23-\x7e\x80-\xff]*")[ \t]*(?:,|\Z)')
_EMPTY = re.compile(r"[ \t]*,")


def validators(mtime: int, size: int, now: int, digest: str = "", coding: str = "") -> tuple[str, int | None]:
    """ETag and Last-Modified of a file.

    The tag is weak while the mtime is younger than a second, or still to come: the file may change again without
    another mtime. A date to come is now (RFC 9110 §8.8.2.1), and one that says nothing is None.

    :param mtime: nanoseconds since 1970, as is `now`.
    :param digest: hash of the content, which makes the tag instead of mtime and size.
    :param coding: content coding, which distinguishes the tag (RFC 9110 §8.8.3.3); "" for identity.
    """
    etag = f'"{digest or f"{mtime:x}-{size:x}"}{"-" + coding if coding else ""}"'
    if not digest and now - mtime < SECOND:
        etag = "W/" + etag
    return etag, None if undated(mtime) else min(mtime, now) // SECOND


def undated(mtime: int) -> bool:
    """Whether an mtime (in ns) is a reproducible build's second 0 or 1, or older, and so tells nothing (C10)."""
    return mtime // SECOND <= 1


def evaluate(method: str, fields: Mapping[str, str], etag: str | None, modified: int | None) -> int:
    """What the preconditions of a request come to: 200 (go on), 304 or 412.

    :param fields: the folded request fields, names in lower case.
    :param etag: entity-tag of the selected representation; None when it has none.
    :param modified: its Last-Modified; None when it has none.
    """
    value = fields.get("if-match")
    if value is not None:
        if not _matches(value, etag, strong=True):
            return 412
    elif _changed_since(fields.get("if-unmodified-since"), modified) is True:
        return 412
    value = fields.get("if-none-match")
    if value is not None:
        if _matches(value, etag, strong=False):
            return 304 if method in SAFE else 412
    elif method in SAFE and _changed_since(fields.get("if-modified-since"), modified) is False:
        return 304
    return 200


def range_applies(fields: Mapping[str, str], etag: str | None, modified: int | None, now: int) -> bool:
    """Whether Range may be honoured: there is no If-Range, or it names exactly what would be sent (RFC 9110 §13.1.5).

    :param now: the current time. A date is a strong validator only if it lies at least a second back (§8.8.2.2).
    """
    value = fields.get("if-range")
    if value is None:
        return True
    value = value.strip(" \t")
    if '"' in value:
        return etag == value and not value.startswith("W/")
    return modified is not None and parse_http_date(value, now) == modified and modified < now


def read_tags(value: str) -> list[str]:
    """The entity-tags of a list; empty when `value` is not such a list. Commas inside the quotes belong to the tag."""
    tags: list[str] = []
    at = 0
    while at < len(value) and len(tags) < MOST_TAGS:
        found = _TAG.match(value, at)
        if found is not None:
            tags.append(found[1])
        else:
            found = _EMPTY.match(value, at)  # RFC 9110 §5.6.1.2: empty elements are skipped
            if found is None:
                return tags if not value[at:].strip(" \t") else []
        at = found.end()
    return tags


def _matches(value: str, etag: str | None, strong: bool) -> bool:
    """Whether a list of entity-tags, or `*`, names the representation (RFC 9110 §8.8.3.2)."""
    if value.strip(" \t") == "*":
        return True
    if etag is None:
        return False
    if strong:
        return not etag.startswith("W/") and etag in read_tags(value)
    opaque = etag.removeprefix("W/")
    return value == etag or any(tag.removeprefix("W/") == opaque for tag in read_tags(value))


def _changed_since(value: str | None, modified: int | None) -> bool | None:
    """Whether the representation is newer than the date in `value`; None where there is nothing to compare."""
    if value is None or modified is None:
        return None
    since = parse_http_date(value)
    return None if since is None else modified > since
