"""Requests of one client at the same time: n-1, n, n+1, given back exactly once, and 1,000 breakers."""

from __future__ import annotations

import threading

import pytest
from phases_kit import coming, refusal

from edgestack.config.model import Limit
from edgestack.http.jumps import Journey
from edgestack.http.messages import Exchange
from edgestack.kept import Kept
from edgestack.phases.connection_limit import ConnectionLimit, Counts, connection_limit
from edgestack.phases.subrequest import Subrequest


def limited(*limits: Limit) -> ConnectionLimit:
    made = connection_limit(limits)
    assert made is not None
    return made


@pytest.mark.parametrize("most", [1, 2, 10])
def test_at_n_minus_1_n_and_n_plus_1(most: int) -> None:
    check = limited(Limit(connections=most))
    held = [coming() for _ in range(most)]
    assert [refusal(check, exchange) for exchange in held] == [None] * most
    error = refusal(check, coming())
    assert error is not None
    assert (error.status, error.fields) == (429, (("Retry-After", "1"),))
    held[0].finish()
    assert refusal(check, coming()) is None
    assert refusal(check, coming()) is not None


def test_given_back_once_whoever_finishes() -> None:
    check = limited(Limit(connections=2))
    first, second = coming(), coming()
    check(first)
    check(second)
    (end,) = first.ends
    first.finish()
    first.finish()
    end(first)
    check(coming())
    assert refusal(check, coming()) is not None


def test_other_ends_stay() -> None:
    told: list[Exchange] = []
    exchange = coming()
    exchange.ends = (told.append,)
    limited(Limit(connections=1))(exchange)
    exchange.finish()
    assert told == [exchange]


def test_a_refused_request_holds_no_place() -> None:
    check = limited(Limit(connections=5, zone="a"), Limit(connections=1, by="$host", zone="b"))
    check(coming())
    refused = coming()
    for _ in range(10):
        assert refusal(check, refused) is not None
    assert refused.ends == ()
    assert check.describe(coming()) == "1 of 5 at once; 1 of 1 at once"


def test_clients_are_told_apart_and_an_empty_key_is_not_limited() -> None:
    check = limited(Limit(connections=1, by="$arg_user"))
    assert refusal(check, coming("/?user=a")) is None
    assert refusal(check, coming("/?user=b")) is None
    assert refusal(check, coming("/?user=a")) is not None
    assert [refusal(check, coming()) for _ in range(3)] == [None] * 3


def test_one_request_is_counted_once_by_one_limit() -> None:
    """After a jump inside the server it may meet the same limit in another route."""
    kept, section = Kept(), Limit(connections=1, zone="site")
    with kept.next() as keep:
        one, other = connection_limit([section], keep=keep), connection_limit([section], keep=keep)
    assert one is not None
    assert other is not None
    exchange = coming()
    one(exchange)
    refused = coming()
    assert refusal(one, refused) is not None
    for jumped in (exchange, refused):
        jumped.journey = Journey()
        jumped.journey.met.add(one)
        assert refusal(other, jumped) is None, "a page for a refusal is not refused"
        assert other.describe(jumped) == "counted before the jump"
    assert (len(exchange.ends), len(refused.ends)) == (1, 0)
    assert refusal(other, coming()) is not None


def test_counts_outlive_a_reload() -> None:
    kept, section = Kept(), Limit(connections=1, zone="/api/")
    with kept.next() as keep:
        before = connection_limit([section], keep=keep)
    assert before is not None
    exchange = coming()
    before(exchange)
    with kept.next() as keep:
        after = connection_limit([Limit(connections=1, zone="/api/")], keep=keep)
    assert after is not None
    assert refusal(after, coming()) is not None
    exchange.finish()
    assert refusal(after, coming()) is None


def test_without_connections_there_is_no_link() -> None:
    assert connection_limit(()) is None
    assert connection_limit([Limit(body=1)]) is None


def test_what_the_server_asks_itself_is_not_counted() -> None:
    check = limited(Limit(connections=1))
    check(coming())
    assert refusal(check, Subrequest(coming(), "/auth")) is None


def test_1000_breakers_and_threads_that_finish_them() -> None:
    """Ten are let in at a time; what threads give back meanwhile is neither lost nor given back twice."""
    check = limited(Limit(connections=10))
    arrived = [coming() for _ in range(1000)]
    let_in = [exchange for exchange in arrived if refusal(check, exchange) is None]
    assert len(let_in) == 10
    for _ in range(20):
        workers = [threading.Thread(target=exchange.finish) for exchange in let_in]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        let_in = [exchange for exchange in (coming() for _ in range(1000)) if refusal(check, exchange) is None]
        assert len(let_in) == 10


def test_counts_take_no_room_for_those_who_have_gone() -> None:
    counts = Counts()
    for number in range(100):
        counts.add(str(number))
    for number in range(100):
        counts.take(str(number))
    assert len(counts) == 0
