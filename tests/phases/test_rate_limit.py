"""Requests in a time, as nginx's limit_req counts them: at n-1, n and n+1, and under 1,000 breakers at once."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from phases_kit import answer_of, coming, hello
from trio.testing import MockClock

from edgestack.config.model import Limit, Rate
from edgestack.errors import Refused
from edgestack.http.jumps import Journey
from edgestack.http.messages import Exchange, Response
from edgestack.kept import Kept
from edgestack.phases.rate_limit import LONGEST_KEY, Buckets, RateLimit, bounded_key, rate_limit
from edgestack.phases.subrequest import Subrequest


def limited(*limits: Limit) -> RateLimit:
    made = rate_limit(limits)
    assert made is not None
    return made


def taken(limit: RateLimit, exchange: Exchange) -> float | str:
    """The delay, or "429 after N"."""
    try:
        return limit.take(exchange)
    except Refused as error:
        return f"{error.status} after {error.retry_after}"


@pytest.mark.parametrize("burst", [0, 1, 5, 20])
def test_burst_at_n_minus_1_n_and_n_plus_1(burst: int) -> None:
    limit = limited(Limit(Rate(10, 1), burst=burst, delay=burst))
    verdicts = [taken(limit, coming()) for _ in range(burst + 3)]
    assert verdicts == [0.0] * (burst + 1) + ["429 after 1"] * 2


@pytest.mark.parametrize(
    ("burst", "delay", "verdicts"),
    [
        (3, 0, [0.0, 0.1, 0.2, 0.3, "429 after 1"]),
        (3, 1, [0.0, 0.0, 0.1, 0.2, "429 after 1"]),
        (3, 2, [0.0, 0.0, 0.0, 0.1, "429 after 1"]),
        (3, 3, [0.0, 0.0, 0.0, 0.0, "429 after 1"]),
    ],
)
def test_delay_as_nginx_has_it(burst: int, delay: int, verdicts: list[float | str]) -> None:
    """nginx: ngx_http_limit_req_account; delay = burst is its nodelay."""
    limit = limited(Limit(Rate(10, 1), burst=burst, delay=delay))
    assert [taken(limit, coming()) for _ in verdicts] == pytest.approx(verdicts)


@pytest.mark.parametrize(
    ("rate", "times", "let_in"),
    [
        (Rate(10, 1), [0, 0.099, 0.1, 0.199, 0.2], [True, False, True, False, True]),
        (Rate(10, 1), [1000.0, 1000.1, 1000.2, 1000.3], [True, True, True, True]),
        (Rate(600, 60), [0, 0.099, 0.1], [True, False, True]),
        (Rate(5, 3600), [0, 719.999, 720, 1439.999, 1440], [True, False, True, False, True]),
        (Rate(3, 1), [0, 0.333, 0.334], [True, False, True]),
        (Rate(10, 1), [5, 4, 5.099, 5.1], [True, False, False, True]),
    ],
)
def test_one_each_part_of_the_time(rate: Rate, times: list[float], let_in: list[bool]) -> None:
    limit = limited(Limit(rate))
    assert [not isinstance(taken(limit, coming(at=at)), str) for at in times] == let_in


RECORDED = json.loads((Path(__file__).parent / "recorded" / "limit_req.json").read_bytes())
"""What a real nginx decided: `recorded/record_limit_req.py`, which shares no code with us."""


def of_nginx(said: dict[str, Any], zone: int) -> Limit:
    """The Limit that a `limit_req_zone` with its `limit_req` is."""
    amount, unit = said["rate"].split("r/")
    delay = said["burst"] if said["delay"] is None else said["delay"]
    return Limit(Rate(int(amount), {"s": 1, "m": 60}[unit]), said["burst"], delay, "$arg_k", zone=str(zone))


@pytest.mark.parametrize(
    "scenario", RECORDED["scenarios"], ids=lambda one: " ".join(map(str, one["limits"][0].values()))
)
def test_every_decision_is_nginx_s(scenario: dict[str, Any]) -> None:
    """Accept, reject, or the milliseconds of a delay; one key per client, bursts, and the edges of each interval."""
    limit = limited(*(of_nginx(said, zone) for zone, said in enumerate(scenario["limits"])))
    decided: list[list[Any]] = []
    for at, key, _ in scenario["requests"]:
        verdict = taken(limit, coming(f"/?k={key}", at=at / 1000))
        delayed = verdict if isinstance(verdict, str) else int(round(verdict * 1000, 3))  # nginx has whole milliseconds
        decided.append([at, key, "reject" if isinstance(delayed, str) else delayed or "pass"])
    assert decided == scenario["requests"]


def test_retry_after_says_when_the_next_one_may_come() -> None:
    limit = limited(Limit(Rate(6, 60), burst=1, delay=1))
    assert [taken(limit, coming()) for _ in range(3)] == [0.0, 0.0, "429 after 10"]
    assert taken(limit, coming(at=9.999)) == "429 after 1"
    assert taken(limit, coming(at=10.0)) == 0.0


@given(
    st.integers(1, 50), st.sampled_from([1, 60, 3600]), st.integers(0, 4),
    st.lists(st.integers(0, 2000), max_size=40),
)  # fmt: skip
def test_never_more_than_rate_and_burst(amount: int, seconds: int, burst: int, gaps: list[int]) -> None:
    """Against exact fractions: who is let in, and that no window lets in more than its share."""
    limit = limited(Limit(Rate(amount, seconds), burst=burst, delay=burst))
    now, excess, last = 0, Fraction(0), None
    for gap in gaps:
        now += gap
        due = excess - Fraction(amount, seconds) * Fraction(now - (last or 0), 1000) + 1 if last is not None else 0
        expected = max(Fraction(0), Fraction(due))
        verdict = taken(limit, coming(at=now / 1000))
        assert isinstance(verdict, float) == (expected <= burst)
        if expected <= burst:
            excess, last = expected, now


def test_clients_are_told_apart_by_the_key() -> None:
    limit = limited(Limit(Rate(1, 1), by="$http_x_api_key"))
    assert taken(limit, coming(x_api_key="a")) == 0.0
    assert taken(limit, coming(x_api_key="b")) == 0.0
    assert taken(limit, coming(x_api_key="a")) == "429 after 1"
    assert [taken(limit, coming()) for _ in range(5)] == [0.0] * 5, "an empty key is not limited (nginx)"


def test_several_limits_count_all_or_none() -> None:
    limit = limited(
        Limit(Rate(10, 1), burst=9, delay=9, zone="a"), Limit(Rate(1, 1), burst=1, delay=1, by="$host", zone="b")
    )
    assert [taken(limit, coming()) for _ in range(6)] == [0.0, 0.0] + ["429 after 1"] * 4
    assert limit.describe(coming()).startswith("10/s by '192.0.2.1': 2 of burst 9 used, passes; 1/s by 'example.com'")


def test_one_request_is_counted_once_by_one_limit() -> None:
    """After a jump inside the server it may meet the same limit in another route, beside another one."""
    kept, section = Kept(), Limit(Rate(1, 60), burst=1, delay=1, zone="site")
    with kept.next() as keep:
        one = rate_limit([section], keep=keep)
        other = rate_limit([Limit(Rate(5, 60), zone="route"), section], keep=keep)
    assert one is not None
    assert other is not None
    jumped = coming()
    assert taken(one, jumped) == 0.0
    jumped.journey = Journey()
    jumped.journey.met.add(one)
    assert other.describe(jumped).startswith("5/m by")
    assert taken(other, jumped) == 0.0, "by the route's own, and the site's no second time"
    assert taken(other, jumped) == "429 after 12"
    jumped.journey.met.add(other)
    assert taken(other, jumped) == 0.0
    assert other.describe(jumped) == "counted before the jump"
    assert [taken(one, coming()) for _ in range(2)] == [0.0, "429 after 60"]


def test_the_longest_of_several_delays_is_waited_for() -> None:
    limit = limited(Limit(Rate(10, 1), burst=5, zone="a"), Limit(Rate(2, 1), burst=5, zone="b"))
    assert [taken(limit, coming()) for _ in range(3)] == pytest.approx([0.0, 0.5, 1.0])


def test_describe_counts_nothing() -> None:
    limit = limited(Limit(Rate(1, 1)))
    for _ in range(3):
        assert limit.describe(coming()).endswith("passes")
    limit.take(coming())
    assert limit.describe(coming()).endswith("refused with 429")


def test_the_table_is_bounded_and_forgets_the_oldest() -> None:
    for most in (1, 9, 10, 11):
        buckets = Buckets(Rate(1, 1), most=10)
        for number in range(most):
            buckets.count(str(number), 0, 0)
        assert len(buckets) == min(most, 10)
    assert buckets.excess("0", 0) == 0, "forgotten: a newcomer"
    assert buckets.excess("1", 0) == 1000
    buckets.count("1", 0, 0)
    buckets.count("new", 0, 0)
    assert buckets.excess("1", 0) == 1000, "seen again lately: it stays"
    assert buckets.excess("2", 0) == 0


def test_idle_clients_are_forgotten_by_and_by() -> None:
    buckets = Buckets(Rate(1, 1))
    for number in range(100):
        buckets.count(f"old {number}", 0, 0)
    for number in range(60):
        buckets.count(f"new {number}", 0, 59_999)
    assert len(buckets) == 160
    for number in range(60, 110):
        buckets.count(f"new {number}", 0, 60_000)
    assert len(buckets) == 110


def test_long_keys_take_little_room() -> None:
    assert bounded_key("x" * LONGEST_KEY) == "x" * LONGEST_KEY
    long = bounded_key("x" * (LONGEST_KEY + 1))
    assert len(long) == 32
    assert long != bounded_key("y" * (LONGEST_KEY + 1))
    assert bounded_key("\udcff" * 100)


def test_counters_outlive_a_reload_while_the_section_is_unchanged() -> None:
    kept, section = Kept(), Limit(Rate(1, 60), zone="/api/")
    with kept.next() as keep:
        first = rate_limit([section], keep=keep)
    with kept.next() as keep:
        second = rate_limit([section], keep=keep)
    with kept.next() as keep:
        other = rate_limit([Limit(Rate(2, 60), zone="/api/")], keep=keep)
    assert first is not None
    assert second is not None
    assert other is not None
    assert taken(first, coming()) == 0.0
    assert taken(second, coming()) == "429 after 60"
    assert taken(other, coming()) == 0.0


def test_without_a_rate_there_is_no_link() -> None:
    assert rate_limit(()) is None
    assert rate_limit([Limit(connections=1), Limit(body=1)]) is None


def test_what_the_server_asks_itself_is_not_counted() -> None:
    handler = limited(Limit(Rate(1, 60)))(hello)
    for _ in range(3):
        assert isinstance(handler(Subrequest(coming(), "/auth")), Response)


def test_at_once_without_a_delay() -> None:
    handler = limited(Limit(Rate(1, 60)))(hello)
    assert isinstance(handler(coming()), Response)


async def breakers(limit: Limit, count: int) -> list[tuple[float, int]]:
    """`count` requests at the same moment: when each was answered, and with what."""
    handler = limited(limit)(hello)
    answered = []

    async def one() -> None:
        answer = await answer_of(handler, coming(at=trio.current_time()))
        answered.append((trio.current_time(), answer.status))

    async with trio.open_nursery() as nursery:
        for _ in range(count):
            nursery.start_soon(one)
    return answered


def test_1000_breakers_at_once() -> None:
    """Six pass (one and delay = 5), 15 wait a tenth of a second each behind the other, 979 are refused."""
    answered = trio.run(breakers, Limit(Rate(10, 1), burst=20, delay=5), 1000, clock=MockClock(autojump_threshold=0))
    start = min(at for at, _ in answered)
    assert sum(status == 429 for _, status in answered) == 979
    waited = sorted(at - start for at, status in answered if status == 200)
    assert waited == pytest.approx([0.0] * 6 + [number / 10 for number in range(1, 16)])
    assert all(at == start for at, status in answered if status == 429), "nobody waits to be refused"
