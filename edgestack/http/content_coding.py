"""Content codings: whether an answer is to be coded, and what becomes of its fields and validators (criteria D1–D4).

    may_code(policy, response)      of a listed status and type, long enough, not coded, not `no-transform`    D1
    with_vary(fields)               Vary names Accept-Encoding, once                                           D2
    coded_fields(fields, coding)    Content-Encoding, Vary, the ETag's suffix; Accept-Ranges goes              D1–D3
    undone(value)                   entity-tags of a precondition, also without our suffix                     D3

Which coding a client wants is `negotiation.choose_coding`'s business, and making it that of `edgestack/codecs.py`.
Pure. RFC 9110 §8.4 (Content-Encoding), §8.8.3.3 (entity-tags vary with the coding), §12.5.5 (Vary); RFC 9111 §5.2.2.6
(no-transform).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from edgestack.http.conditional import read_tags
from edgestack.http.fields import tokens
from edgestack.http.messages import FieldPairs, Response

__all__ = [
    "LEAST", "PREFERENCE", "TYPES", "Policy", "coded_fields", "coded_tag", "may_code", "retagged", "undone",
    "with_vary",
]  # fmt: skip

PREFERENCE = ("zstd", "br", "gzip")
"""The server's order, best first: it breaks ties (D4)."""

STATUSES = frozenset((200, 403, 404))
"""Of answers that are coded (D1; nginx: ngx_http_gzip_filter_module)."""

LEAST = 1400
"""Bytes: what fits into one packet beside its head gains nothing by being smaller."""

TYPES = (
    "text/*", "*/*+json", "*/*+xml", "application/javascript", "application/json", "application/jsonl",
    "application/rtf", "application/sql", "application/toml", "application/vnd.apple.mpegurl",
    "application/vnd.ms-fontobject", "application/wasm", "application/x-javascript", "application/xml",
    "application/yaml", "font/otf", "font/ttf", "image/bmp", "image/vnd.microsoft.icon", "image/x-icon",
)  # fmt: skip
"""Media types that are worth it: text, and what is like text. Pictures, films, archives and woff are coded already."""

TYPES_KEPT = 256
"""Media types whose fate is remembered."""

_suffix = re.compile(rf'"(.+)-(?:{"|".join(PREFERENCE)})"', re.DOTALL)


class Policy:
    """Which answers are coded, and in what."""

    __slots__ = ("_known", "_types", "_wild", "least", "offered")

    def __init__(self, offered: tuple[str, ...] = PREFERENCE, types: Iterable[str] = TYPES, least: int = LEAST) -> None:
        """
        :param offered: content codings, the best first.
        :param types: media types in lower case; `*` stands for anything.
        :param least: bytes that an answer must have, where that is known.
        """
        self.offered = offered
        self.least = least
        self._types = frozenset(types)
        self._wild = [kind for kind in self._types if "*" in kind]
        self._known: dict[str, bool] = {}

    def fits(self, content_type: str) -> bool:
        """Whether answers of this type are coded."""
        known = self._known.get(content_type)
        if known is None:
            kind = content_type.partition(";")[0].strip().lower()
            known = kind in self._types or any(_is_like(kind, wild) for wild in self._wild)
            if len(self._known) >= TYPES_KEPT:
                self._known.clear()
            self._known[content_type] = known
        return known


def _is_like(kind: str, wild: str) -> bool:
    """Whether a media type is one of those that a pattern means; what is asked for is remembered, so none is kept."""
    return bool(kind) and re.fullmatch("[^/]*".join(map(re.escape, wild.split("*"))), kind) is not None


def may_code(policy: Policy, response: Response) -> bool:
    """Whether an answer is coded for a client that takes it (D1)."""
    if response.status not in STATUSES or (response.length is not None and response.length < policy.least):
        return False
    fitting = False
    for name, value in response.fields:
        lower = name.lower()
        if lower == "content-type":
            fitting = policy.fits(value)
        elif lower == "content-encoding" or (lower == "cache-control" and "no-transform" in tokens(value)):
            return False
    return fitting


def with_vary(fields: FieldPairs) -> FieldPairs:
    """The fields, with Accept-Encoding named by Vary (D2); merged, and not doubled."""
    for at, (name, value) in enumerate(fields):
        if name.lower() == "vary":
            named = tokens(",".join(text for one, text in fields if one.lower() == "vary"))
            if "accept-encoding" in named or "*" in named:
                return fields
            return (*fields[:at], (name, f"{value}, Accept-Encoding" if value.strip() else "Accept-Encoding"),
                    *fields[at + 1 :])  # fmt: skip
    return (*fields, ("Vary", "Accept-Encoding"))


def coded_fields(fields: FieldPairs, coding: str) -> FieldPairs:
    """The fields of an answer that is coded from here on (D1 to D3)."""
    kept = []
    for name, value in fields:
        lower = name.lower()
        if lower == "etag":
            kept.append((name, coded_tag(value, coding)))
        elif lower not in ("accept-ranges", "content-md5", "content-digest"):
            kept.append((name, value))
    return with_vary((*kept, ("Content-Encoding", coding)))


def coded_tag(tag: str, coding: str) -> str:
    """The entity-tag of the same in a coding. A weak one stays: what it promises holds for every coding."""
    return f'{tag[:-1]}-{coding}"' if len(tag) > 1 and tag[0] == tag[-1] == '"' else tag


def undone(value: str) -> str:
    """The entity-tags of If-Match or If-None-Match, and beside each that bears a suffix of ours the one without (D3).

    Both stay: an application may have tags of its own that end like this.
    """
    if not any(f'-{coding}"' in value for coding in PREFERENCE):
        return value
    tags = read_tags(value)
    plain = [f'"{found[1]}"' for tag in tags if (found := _suffix.fullmatch(tag)) is not None]
    return ", ".join(dict.fromkeys((*tags, *plain)))


def retagged(fields: FieldPairs, request: Mapping[str, str]) -> FieldPairs:
    """The fields of a 304, with the entity-tag that the client asked about, and not the one it was undone to (D3)."""
    asked = request.get("if-none-match", "")
    for at, (name, value) in enumerate(fields):
        if name.lower() == "etag" and value.startswith('"'):
            tags = read_tags(asked) if f"{value[:-1]}-" in asked else []
            coded = next((tag for coding in PREFERENCE if (tag := coded_tag(value, coding)) in tags), None)
            return fields if coded is None else with_vary((*fields[:at], (name, coded), *fields[at + 1 :]))
    return fields
