"""Cache-Status: what a cache did for a request, for its client to see (RFC 9211).

    edgestack; hit; ttl=47                                       stored, fresh
    edgestack; hit; ttl=-5                                       stored, stale, and given all the same
    edgestack; fwd=uri-miss; fwd-status=200; stored              fetched, and kept
    edgestack; fwd=stale; fwd-status=304; ttl=60                 stored, and still so
    edgestack; fwd=uri-miss; collapsed                           another request fetched it
    edgestack; fwd=bypass; detail="…"                            past the cache

`hit` and `fwd` exclude each other (§2.2). A member that an upstream's cache wrote stays in front of ours (§2).
"""

from __future__ import annotations

from edgestack.http.structured_fields import string

__all__ = ["NAME", "cache_status"]

NAME = "edgestack"
"""Which cache says it."""


def cache_status(
    *,
    hit: bool = False,
    fwd: str = "",
    fwd_status: int = 0,
    ttl: int | None = None,
    stored: bool = False,
    collapsed: bool = False,
    detail: str = "",
) -> str:
    """The member for one answer, as a structured field.

    :param fwd: why it was passed on: bypass, method, uri-miss, vary-miss, miss, request, stale (§2.2); "" for a hit.
    :param fwd_status: of the answer that came (§2.3); 0 where none did.
    :param ttl: seconds for which it is still fresh; below 0, for which it has been stale (§2.4).
    :param stored: whether that answer was kept (§2.5).
    :param collapsed: whether it is another request's answer (§2.6).
    :param detail: free text (§2.8).
    """
    said = [NAME, "hit"] if hit and not fwd else [NAME]
    if fwd:
        said.append(f"fwd={fwd}")
        if fwd_status:
            said.append(f"fwd-status={fwd_status}")
    if ttl is not None:
        said.append(f"ttl={ttl}")
    if fwd and stored:
        said.append("stored")
    if fwd and collapsed:
        said.append("collapsed")
    if detail:
        said.append(f"detail={string(detail)}")
    return "; ".join(said)
