"""The oracle of the cache's property tests: notes of what an origin said, and a judge who has nothing but those.

    Policy    what an origin says with its answers, as values and not as text
    Grant     one such word about one body, to whom it was said, and when
    Judge     whether a grant allows an answer that was given without asking: everybody may have it, its Vary fits, it
              is fresh, or stale by leave of origin, rule or client; a 304 leaves what it does not name (RFC 9111 §3.2)

It shares no code with the rules that it judges. Times are numbers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from hypothesis import strategies as st

from edgestack.http.caching import CachingRule

__all__ = ["WINDOW", "Grant", "Judge", "Policy", "policies", "requests"]

WINDOW = 7
"""Seconds of the rule's own stale windows, where it has them."""
seconds = st.integers(0, 12)
maybe_seconds = st.none() | seconds


@dataclass(frozen=True)
class Policy:
    """What the origin says with its answers."""

    max_age: int | None = None
    s_maxage: int | None = None
    accel: int | None = None
    targeted: int | None = None
    flags: frozenset[str] = frozenset()
    while_revalidate: int | None = None
    if_error: int | None = None
    vary: frozenset[str] = frozenset()
    cookie: bool = False
    validator: bool = True

    def pairs(self) -> tuple[tuple[str, str], ...]:
        """As fields."""
        numbers = {
            "max-age": self.max_age, "s-maxage": self.s_maxage, "stale-while-revalidate": self.while_revalidate,
            "stale-if-error": self.if_error,
        }  # fmt: skip
        said = [*sorted(self.flags), *(f"{name}={value}" for name, value in numbers.items() if value is not None)]
        found = [("Cache-Control", ", ".join(said))] if said else []
        if self.accel is not None:
            found.append(("X-Accel-Expires", str(self.accel)))
        if self.targeted is not None:
            found.append(("CDN-Cache-Control", f"max-age={self.targeted}"))
        if self.vary:
            found.append(("Vary", ", ".join(sorted(self.vary))))
        if self.cookie:
            found.append(("Set-Cookie", "session=secret"))
        return tuple(found)

    def after(self, older: Policy) -> Policy:
        """What a 304 with these fields leaves of an older word: each field that it has stands for the older one."""
        named = {name for name, _ in self.pairs()}
        kept = {part: getattr(older, part) for name, parts in FIELDS.items() if name not in named for part in parts}
        return replace(self, **kept)


FIELDS = {
    "Cache-Control": ("max_age", "s_maxage", "flags", "while_revalidate", "if_error"),
    "X-Accel-Expires": ("accel",),
    "CDN-Cache-Control": ("targeted",),
    "Vary": ("vary",),
    "Set-Cookie": ("cookie",),
}
"""Which field says what."""
policies = st.builds(
    Policy, maybe_seconds, maybe_seconds, st.none() | st.none() | seconds, st.none() | st.none() | seconds,
    st.frozensets(st.sampled_from(["private", "no-store", "no-cache", "must-revalidate", "proxy-revalidate", "public"]),
                  max_size=2),
    maybe_seconds, maybe_seconds, st.frozensets(st.sampled_from(["x-a", "cookie", "authorization"]), max_size=2),
    st.booleans(), st.booleans(),
)  # fmt: skip
requests = st.fixed_dictionaries(
    {},
    optional={
        "authorization": st.sampled_from(["one", "two"]),
        "cookie": st.sampled_from(["one", "two"]),
        "x-a": st.sampled_from(["", "1", "2"]),
        "cache-control": st.sampled_from(
            ["no-cache", "no-store", "max-age=0", "max-age=5", "max-stale", "max-stale=3", "min-fresh=4",
             "only-if-cached", "stale-if-error=3"]
        ),
        "if-none-match": st.sampled_from(['"1"', "*"]),
    },
)  # fmt: skip


@dataclass
class Grant:
    """One word of the origin's about a body."""

    policy: Policy
    asked: dict[str, str]
    when: float

    def after(self, older: Grant) -> Grant:
        """The same as a 304's."""
        return replace(self, policy=self.policy.after(older.policy))


@dataclass(frozen=True)
class Judge:
    """Of answers from one cache."""

    rule: CachingRule

    def granted(self, grant: Grant, fields: dict[str, str], now: float, failed: bool = False) -> bool:
        """Whether an answer allowed this one."""
        policy, rule, age = grant.policy, self.rule, now - grant.when
        if any(grant.asked.get(name) != fields.get(name) for name in policy.vary):
            return False
        return self.shareable(grant) and age < self.lifetime(policy) + self.leave(policy, rule, fields, failed)

    def shareable(self, grant: Grant) -> bool:
        """Whether everybody may have it."""
        policy, asked = grant.policy, grant.asked
        heard = frozenset[str]() if policy.targeted is not None else policy.flags
        if policy.accel is None and not heard.isdisjoint({"private", "no-store", "no-cache"}):
            return False
        allowed = not heard.isdisjoint({"public", "must-revalidate"})
        if "authorization" in asked and not allowed and (policy.targeted is not None or policy.s_maxage is None):
            return False
        if policy.cookie and "set-cookie" not in self.rule.ignore:
            return False
        said = (policy.accel, policy.targeted, policy.s_maxage, policy.max_age) != (None,) * 4
        return said or "cookie" not in asked or self.rule.cookies

    def lifetime(self, policy: Policy) -> float:
        """For how long it is fresh (D10)."""
        if policy.accel is not None:
            return policy.accel
        if policy.targeted is not None:
            return policy.targeted
        for said in (policy.s_maxage, policy.max_age):
            if said is not None:
                return said
        return self.rule.valid.get(200, 0.0)

    def leave(self, policy: Policy, rule: CachingRule, fields: dict[str, str], failed: bool) -> float:
        """For how much longer it may be given all the same."""
        targeted = policy.targeted is not None
        heard = frozenset[str]() if targeted else policy.flags
        if not heard.isdisjoint({"must-revalidate", "proxy-revalidate"}):
            return 0.0
        own = (None, None) if targeted else (policy.while_revalidate, policy.if_error)
        windows = [rule.stale_while_revalidate if own[0] is None else own[0]]
        if failed:
            windows.append(rule.stale_if_error if own[1] is None else own[1])
        if rule.heed_client and (targeted or policy.s_maxage is None):
            wish = fields.get("cache-control", "")
            windows.append({"max-stale": 1e9, "max-stale=3": 3.5, "stale-if-error=3": 3.0 * failed}.get(wish, 0.0))
        return max(windows)
