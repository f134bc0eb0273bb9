"""Criterion D8: whatever is asked in whatever order, nobody gets a response that he must not.

A cache of a few lines is made of the rules; an origin whose answers are drawn at random writes down each of them, as
values and not as text. Every answer is then judged by those notes alone, which share no code with the rules:

    what was given without the origin's word must have been granted: by an answer, or by a 304 about this very body (the
    fields that it leaves out still stand, RFC 9111 §3.2), that allowed it to be shared, whose Vary fits, and which is
    fresh, or stale by leave of origin, rule or client

Time is a number that the test moves.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from zlib import crc32

from caching_kit import NOW
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from edgestack.http.caching import CachingRule, Hit, Refuse, Revalidate, Stale, StoredHead, decide, stale_on_error
from edgestack.http.caching_answers import stored_answer
from edgestack.http.caching_storing import may_store
from edgestack.http.caching_validation import merge_304, validation_fields
from edgestack.http.fields import fold
from edgestack.http.messages import Request, Response
from edgestack.http.target import read_path

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
rules = st.builds(
    CachingRule, st.sampled_from([{}, {200: 4.0}]), stale_if_error=st.sampled_from([0.0, WINDOW]),
    stale_while_revalidate=st.sampled_from([0.0, WINDOW]), heed_client=st.booleans(), cookies=st.booleans(),
    ignore=st.sampled_from([frozenset[str](), frozenset({"set-cookie"})]),
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


@dataclass
class Origin:
    """One resource, which changes, and fails."""

    policy: Policy = field(default_factory=Policy)
    version: int = 1
    fails: bool = False
    grants: list[Grant] = field(default_factory=list)

    def answer(self, fields: dict[str, str], now: float) -> Response:
        """The body names who asked, so that it is wrong for everybody else."""
        if self.fails:
            return Response(503, (), b"failed")
        who = sorted((name, fields.get(name, "-")) for name in self.policy.vary)
        body = f"{self.version} {who}".encode()
        etag = f'"{crc32(body)}"'
        told = fields.get("if-none-match") == etag
        self.grants.append(Grant(self.policy, dict(fields), now))
        pairs = (*self.policy.pairs(), *((("ETag", etag),) if self.policy.validator else ()))
        return Response(304, pairs) if told else Response(200, pairs, body)


class Caches(RuleBasedStateMachine):
    """One key, one cache, one origin."""

    @initialize(chosen=rules, policy=policies)
    def begin(self, chosen: CachingRule, policy: Policy) -> None:
        self.rule, self.now, self.origin = chosen, float(NOW), Origin(policy)
        self.store: dict[str, tuple[StoredHead, bytes, Grant]] = {}

    @rule(policy=policies)
    def change_its_mind(self, policy: Policy) -> None:
        """Other words about the same."""
        self.origin.policy = policy

    @rule()
    def change(self) -> None:
        """Another representation."""
        self.origin.version += 1

    @rule(fails=st.booleans())
    def fail(self, fails: bool) -> None:
        self.origin.fails = fails

    @rule(after=st.sampled_from([0.5, 1.0, 3.0, 8.0, 30.0]))
    def wait(self, after: float) -> None:
        self.now += after

    @rule(fields=requests, method=st.sampled_from(["GET", "GET", "HEAD"]))
    def ask(self, fields: dict[str, str], method: str) -> None:
        """One request, and the judgement of what came."""
        request = coming(fields, method)
        decision = decide(request, [head for head, _, _ in self.store.values()], self.rule, self.now)
        if isinstance(decision, Refuse):
            assert "only-if-cached" in fields["cache-control"]
        elif isinstance(decision, Hit | Stale):
            self.give(request, decision.head)
            if isinstance(decision, Stale) and decision.refresh:
                self.fetch(coming(asked_for_all(fields), "GET"), decision.head)
        else:
            assert fields.get("cache-control") != "only-if-cached" or not self.rule.heed_client
            self.fetch(request, decision.head, fills=isinstance(decision, Revalidate) or decision.fills)

    def fetch(self, request: Request, head: StoredHead | None, fills: bool = True) -> None:
        """Ask the origin; for the store, as it is asked for all."""
        asked = coming(asked_for_all(request.fields), "GET")
        if head is not None and head.validator:
            asked = coming({**asked.fields, **dict(validation_fields(head))}, "GET")
        answer = self.origin.answer(asked.fields, self.now)
        if head is not None and answer.status == 304:
            merged = merge_304(asked, head, answer, self.rule, self.now)
            assert merged is not None
            _, body, older = self.store.pop(head.variant)
            assert f'"{crc32(body)}"' == asked.fields["if-none-match"], "confirmed, and not this one"
            grant = older if merged is head else self.origin.grants[-1].after(older)
            self.store[merged.variant] = merged, body, grant
            self.give(request, merged, confirmed=True)
        elif answer.status == 503:
            if head is not None and stale_on_error(request, head, self.rule, self.now):
                self.give(request, head, failed=True)
        elif fills:
            kept = may_store(asked, answer, self.rule, self.now)
            if isinstance(kept, StoredHead):
                assert isinstance(answer.body, bytes)
                self.store[kept.variant] = kept, answer.body, self.origin.grants[-1]

    def give(self, request: Request, head: StoredHead, *, confirmed: bool = False, failed: bool = False) -> None:
        """An answer from the store: look at what leaves, and who had granted it."""
        _, body, grant = self.store[head.variant]
        answer = stored_answer(request, head, body, self.now)
        names = {name.lower() for name, _ in answer.fields}
        assert names.isdisjoint({"set-cookie", "x-accel-expires"})
        assert answer.status in (200, 304)
        assert confirmed or self.granted(grant, dict(request.fields), failed), (request.fields, grant)

    def granted(self, grant: Grant, fields: dict[str, str], failed: bool) -> bool:
        """Whether an answer allowed this one."""
        policy, rule, age = grant.policy, self.rule, self.now - grant.when
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


def coming(fields: dict[str, str], method: str) -> Request:
    """A request with these fields."""
    pairs = list(fields.items())
    return Request(method, "/", "HTTP/1.1", pairs, fold(pairs), read_path("/"), "", "example.com", True)


def asked_for_all(fields: dict[str, str]) -> dict[str, str]:
    """Without the client's own preconditions."""
    return {name: value for name, value in fields.items() if name != "if-none-match"}


Caches.TestCase.settings = settings(max_examples=120, stateful_step_count=40)
TestCaches = Caches.TestCase
