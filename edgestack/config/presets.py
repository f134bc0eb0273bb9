"""Well-known sets of rules in one word: what each preset stands for, as a table.

What a site or a route says itself holds before its presets: its header rules come after theirs, and its `try` and
`cache_control` take the place of theirs. Sources: OWASP Secure Headers Project (security-headers), RFC 8246
(immutable), the Fetch standard (cors). Preflight requests, which "cors" also answers, are the business of whoever
composes the chain.
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeVar

from edgestack.config.rules import CacheRule, HeaderRules, Rules

__all__ = ["MEANINGS", "Preset", "with_presets"]

R = TypeVar("R", bound=Rules)

IMMUTABLE = "public, max-age=31536000, immutable"
"""A year, and never asked for again."""


class Preset(NamedTuple):
    """What one word stands for."""

    doc: str
    headers: HeaderRules | None = None
    cache_control: tuple[CacheRule, ...] = ()
    try_: tuple[str, ...] = ()


MEANINGS = {
    "security-headers": Preset(
        "Fields that switch off what pages seldom need and attackers like: sniffing, framing by others, referrers.",
        HeaderRules(
            set=(
                ("X-Content-Type-Options", "nosniff"),
                ("X-Frame-Options", "SAMEORIGIN"),
                ("Referrer-Policy", "strict-origin-when-cross-origin"),
                ("Cross-Origin-Opener-Policy", "same-origin"),
                ("Permissions-Policy", "camera=(), geolocation=(), microphone=()"),
            ),
            always=True,
        ),
    ),
    "spa": Preset(
        "A single-page application: what is no file gets /index.html; files with a hash in their name are kept for a "
        "year, and everything else is asked for again.",
        cache_control=(CacheRule(IMMUTABLE, hashed=True), CacheRule("no-cache")),
        try_=("$uri", "$uri/", "/index.html"),
    ),
    "immutable-assets": Preset(
        "Files whose name changes with their content: kept for a year.", cache_control=(CacheRule(IMMUTABLE),)
    ),
    "cors": Preset(
        "Pages of every other site may ask, without credentials; preflight requests are answered with 204.",
        HeaderRules(
            set=(
                ("Access-Control-Allow-Origin", "*"),
                ("Access-Control-Expose-Headers", "*"),
            ),
            always=True,
        ),
    ),
}


def with_presets(rules: R) -> dict[str, Any]:
    """The fields of a site or a route that its presets change, with their values."""
    changes: dict[str, Any] = {}
    meanings = [MEANINGS[name] for name in rules.preset]
    headers = tuple(one.headers for one in meanings if one.headers is not None)
    if headers:
        changes["headers"] = headers + rules.headers
    for name in ("cache_control", "try_"):
        own = getattr(rules, name, None)
        preset: tuple[Any, ...] = sum((getattr(one, name) for one in meanings), ())
        if own == () and preset:
            changes[name] = preset
    return changes
