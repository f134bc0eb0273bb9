"""Criterion D8: whatever is asked in whatever order, nobody gets a response that he must not.

A cache of a few lines is made of the rules; an origin whose answers are drawn at random writes down each of them.
Every answer is then judged by those notes alone (caching_oracle.py): what was given without the origin's word must have
been granted, by an answer, or by a 304 about this very body. Time is a number that the test moves.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from zlib import crc32

from caching_kit import NOW
from caching_oracle import WINDOW, Grant, Judge, Policy, policies, requests
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

rules = st.builds(
    CachingRule, st.sampled_from([{}, {200: 4.0}]), stale_if_error=st.sampled_from([0.0, WINDOW]),
    stale_while_revalidate=st.sampled_from([0.0, WINDOW]), heed_client=st.booleans(), cookies=st.booleans(),
    ignore=st.sampled_from([frozenset[str](), frozenset({"set-cookie"})]),
)  # fmt: skip


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
        granted = Judge(self.rule).granted(grant, dict(request.fields), self.now, failed)
        assert confirmed or granted, (request.fields, grant)


def coming(fields: dict[str, str], method: str) -> Request:
    """A request with these fields."""
    pairs = list(fields.items())
    return Request(method, "/", "HTTP/1.1", pairs, fold(pairs), read_path("/"), "", "example.com", True)


def asked_for_all(fields: dict[str, str]) -> dict[str, str]:
    """Without the client's own preconditions."""
    return {name: value for name, value in fields.items() if name != "if-none-match"}


Caches.TestCase.settings = settings(max_examples=120, stateful_step_count=40)
TestCaches = Caches.TestCase
