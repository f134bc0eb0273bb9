"""Whether a failed attempt is followed by another one, and what it says about the peer: A15 to A20, as tables.

    outcome of an attempt -> `Rules.counts(outcome)`   is it a failure of the peer (A16)?
                          -> `Rules.goes_on(…)`        is another peer asked (A17, A18)?

A case is a word of nginx's `proxy_next_upstream`. Pure: who asks knows the time and how many peers are left.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum

__all__ = ["ALWAYS_FAILURES", "NEVER_FAILURES", "NOT_REPEATED", "STATUS_CASES", "Case", "Rules"]


class Case(Enum):
    """How an attempt went wrong."""

    ERROR = "error"
    """No connection, or it broke while the request was sent or the head was read."""
    TIMEOUT = "timeout"
    """The same, because a gap was too long."""
    INVALID_HEADER = "invalid_header"
    """An answer that is none, or an empty one."""
    HTTP_500 = "http_500"
    HTTP_502 = "http_502"
    HTTP_503 = "http_503"
    HTTP_504 = "http_504"
    HTTP_403 = "http_403"
    HTTP_404 = "http_404"
    HTTP_429 = "http_429"


STATUS_CASES: dict[int, Case] = {int(case.value[5:]): case for case in Case if case.value.startswith("http_")}
"""Statuses that may be a reason to ask another peer."""

ALWAYS_FAILURES = frozenset((Case.ERROR, Case.TIMEOUT, Case.INVALID_HEADER))
"""Failures of the peer whether or not they are listed (A16)."""

NEVER_FAILURES = frozenset((Case.HTTP_403, Case.HTTP_404))
"""Answers, even where another peer is asked because of them (A16)."""

NOT_REPEATED = frozenset(("POST", "LOCK", "PATCH"))
"""Methods that are not sent twice (A17; nginx: NGX_HTTP_POST|LOCK|PATCH)."""


class Rules:
    """`next_upstream` and its limits."""

    __slots__ = ("_cases", "_non_idempotent", "seconds", "statuses", "tries")

    def __init__(self, cases: Iterable[str] = ("error", "timeout"), tries: int = 0, seconds: float = 0.0) -> None:
        """
        :param cases: words of `next_upstream`; "off" among them takes all others away.
        :param tries: attempts at most; 0 for as many as there are peers.
        :param seconds: after which no further attempt begins; 0 for no limit.
        """
        said = set(cases)
        listed = set() if "off" in said else said
        self._cases = frozenset(case for case in Case if case.value in listed)
        self.statuses = frozenset(status for status, case in STATUS_CASES.items() if case in self._cases)
        """Those that are a reason to ask another peer."""
        self._non_idempotent = "non_idempotent" in listed
        self.tries = tries
        self.seconds = seconds

    def case_of(self, status: int) -> Case | None:
        """The listed case that a status is; None for an answer like any other."""
        case = STATUS_CASES.get(status)
        return case if case in self._cases else None

    def counts(self, case: Case) -> bool:
        """Whether it is a failure of the peer."""
        return case in ALWAYS_FAILURES or (case in self._cases and case not in NEVER_FAILURES)

    def repeatable(self, method: str, sent: bool) -> bool:
        """A17: whether the request may be sent to another peer.

        :param sent: whether a byte of it went to the one that failed.
        """
        return not sent or self._non_idempotent or method not in NOT_REPEATED

    def goes_on(self, case: Case, method: str, *, sent: bool, streamed: bool, tries: int, elapsed: float) -> bool:
        """Whether another peer is asked; who asks has not given the client a byte yet (A18).

        :param sent: whether a byte of the request went to the peer that failed.
        :param streamed: whether a byte of an unbuffered body was taken from the client: it is gone.
        :param tries: attempts that count, so far.
        :param elapsed: seconds since the first of them began.
        """
        return (
            case in self._cases
            and self.repeatable(method, sent)
            and not streamed
            and (not self.tries or tries < self.tries)
            and (not self.seconds or elapsed < self.seconds)
        )

    def goes_on_fresh(self, case: Case, method: str, *, reused: bool, sent: bool, streamed: bool) -> bool:
        """A20: whether a kept connection that turned out to be dead is simply replaced, which costs no try.

        :param reused: whether the connection had answered a request before.
        """
        return reused and case is Case.ERROR and self.repeatable(method, sent) and not streamed
