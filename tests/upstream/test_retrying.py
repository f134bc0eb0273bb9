"""The tables of retrying.py: A16, A17, A18, A20."""

from __future__ import annotations

import pytest

from edgestack.upstream.retrying import Case, Rules

COUNTS = [
    *[(case, (), True) for case in (Case.ERROR, Case.TIMEOUT, Case.INVALID_HEADER)],
    *[(case, (), False) for case in Case if case.value.startswith("http_")],
    *[(case, (case.value,), case not in (Case.HTTP_403, Case.HTTP_404)) for case in Case],
    *[(case, (case.value, "off"), case in (Case.ERROR, Case.TIMEOUT, Case.INVALID_HEADER)) for case in Case],
]


@pytest.mark.parametrize(("case", "listed", "counts"), COUNTS)
def test_failures_of_the_peer(case: Case, listed: tuple[str, ...], counts: bool) -> None:
    """A16."""
    assert Rules(listed).counts(case) is counts


@pytest.mark.parametrize("status", [200, 301, 400, 401, 410, 501, 505, 599])
def test_statuses_that_no_word_is_for(status: int) -> None:
    assert Rules([case.value for case in Case]).case_of(status) is None


ON = [
    # method, listed too, sent, streamed -> goes on
    ("GET", (), True, False, True),
    ("GET", (), True, True, False),
    ("GET", (), False, False, True),
    ("POST", (), True, False, False),
    ("POST", (), False, False, True),
    ("LOCK", (), True, False, False),
    ("PATCH", (), True, False, False),
    ("PUT", (), True, False, True),
    ("DELETE", (), True, False, True),
    ("POST", ("non_idempotent",), True, False, True),
    ("POST", ("non_idempotent",), True, True, False),
    ("GET", ("off",), False, False, False),
]


@pytest.mark.parametrize(("method", "listed", "sent", "streamed", "on"), ON)
def test_going_on(method: str, listed: tuple[str, ...], sent: bool, streamed: bool, on: bool) -> None:
    """A17, A18."""
    rules = Rules(("error", *listed))
    assert rules.goes_on(Case.ERROR, method, sent=sent, streamed=streamed, tries=1, elapsed=0.0) is on
    assert rules.goes_on(Case.TIMEOUT, method, sent=sent, streamed=streamed, tries=1, elapsed=0.0) is False


@pytest.mark.parametrize(
    ("tries", "seconds", "tried", "elapsed", "on"),
    [(2, 0, 1, 99, True), (2, 0, 2, 0, False), (0, 5, 99, 4.9, True), (0, 5, 1, 5.0, False), (0, 0, 99, 99, True)],
)
def test_caps(tries: int, seconds: float, tried: int, elapsed: float, on: bool) -> None:
    """A15: 0 is no cap."""
    rules = Rules(("error",), tries, seconds)
    assert rules.goes_on(Case.ERROR, "GET", sent=True, streamed=False, tries=tried, elapsed=elapsed) is on


@pytest.mark.parametrize(
    ("case", "method", "reused", "sent", "streamed", "again"),
    [
        (Case.ERROR, "GET", True, True, False, True),
        (Case.ERROR, "GET", False, True, False, False),
        (Case.TIMEOUT, "GET", True, True, False, False),
        (Case.INVALID_HEADER, "GET", True, True, False, False),
        (Case.ERROR, "POST", True, True, False, False),
        (Case.ERROR, "POST", True, False, False, True),
        (Case.ERROR, "PUT", True, True, True, False),
    ],
)
def test_dead_connections(case: Case, method: str, reused: bool, sent: bool, streamed: bool, again: bool) -> None:
    """A20: also where `error` is not listed."""
    assert Rules(("off",)).goes_on_fresh(case, method, reused=reused, sent=sent, streamed=streamed) is again
