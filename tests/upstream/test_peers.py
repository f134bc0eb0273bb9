"""One peer: failures and bans (A2–A6), the slow start, and what is told of it. The clock is a number."""

from __future__ import annotations

import pytest
from groups import ask, exchange, fail, group, names, server

from edgestack.upstream.group import Group
from edgestack.upstream.peers import Peer, Tried


def two(**said: object) -> Group:
    """The first peer as said, and another one."""
    return group(server("127.0.0.1:1", **said), server("127.0.0.1:2", max_fails=0))


def test_a2_a_failure_lowers_the_weight_and_turns_raise_it() -> None:
    """A2: weight / max_fails, in whole numbers, never below 0; then 1 for each pick in which it could be asked."""
    found = group(server("127.0.0.1:1", weight=7, max_fails=2), server("127.0.0.1:2", weight=3))
    peer = found.peers()[0]
    found.failed(peer, 0.0)
    assert peer.effective_weight == 7 - 3
    found.failed(peer, 0.0)
    assert peer.effective_weight == 1
    found.failed(peer, 0.0)
    assert peer.effective_weight == 0
    ask(found, 5.0)
    assert peer.effective_weight == 0, "it was not eligible"
    for turn in range(1, 10):
        ask(found, 10.5 + turn * 11)
        assert peer.effective_weight == min(turn, 7)


def probing(found: Group, now: float) -> Peer:
    """The first peer, asked again."""
    asked = (found.pick(exchange(), Tried(), now) for _ in range(5))
    return next(peer for peer in asked if peer.address.port == 1)


@pytest.mark.parametrize(("after", "asked"), [(9.9, False), (10.0, False), (10.1, True)])
def test_a3_the_ban_lasts_fail_timeout(after: float, asked: bool) -> None:
    """A3: while now - checked <= fail_timeout; by default one failure and ten seconds."""
    found = two()
    assert fail(found, 5.0).address.port == 1
    assert found.peers()[0].usable(5.0 + after) is asked
    assert ("1" in names(found, 4, 5.0 + after)) is asked


def test_a4_one_probe_is_let_through() -> None:
    """A4: after the ban one request; until it has answered, no other."""
    found = two()
    fail(found, 0.0)
    probe = probing(found, 10.5)
    assert {found.pick(exchange(), Tried(), 10.6 + n).address.port for n in range(5)} == {2}
    found.succeeded(probe, 16.0)
    assert probe.fails == 0
    assert "1" in names(found, 2, 16.0)


def test_a4_a_probe_that_fails_bans_again() -> None:
    """A4: for another fail_timeout from then on."""
    found = two()
    fail(found, 0.0)
    probe = probing(found, 10.5)
    found.failed(probe, 12.0)
    assert names(found, 3, 22.0) == "222"
    assert "1" in names(found, 3, 22.1)


def test_a5_successes_within_the_window_forget_nothing() -> None:
    """A5: two failures with successes between them ban at max_fails=2."""
    found = two(max_fails=2)
    peer = found.peers()[0]
    found.failed(peer, 0.0)
    for moment in range(1, 9):
        ask(found, float(moment))
    assert peer.fails == 1
    found.failed(peer, 9.0)
    assert peer.banned(9.0)


def test_a5_a_success_after_the_window_forgets_all() -> None:
    """A5: the window is fail_timeout from the last failure."""
    found = two(max_fails=2)
    peer = found.peers()[0]
    found.failed(peer, 0.0)
    ask(found, 10.5)
    ask(found, 10.6)
    assert peer.fails == 0
    found.failed(peer, 11.0)
    assert not peer.banned(11.0)


def test_a6_without_max_fails_nothing_is_counted() -> None:
    """A6: max_fails = 0."""
    found = group(server("127.0.0.1:1", max_fails=0, weight=2), server("127.0.0.1:2", max_fails=0))
    for _ in range(20):
        fail(found)
    assert all(peer.usable(0.0) and peer.effective_weight == peer.weight for peer in found.peers())


def test_a6_a_server_alone_is_never_left_alone() -> None:
    """A6: nothing is held against it, but the failures are counted for those who look."""
    found = group("127.0.0.1:1")
    for _ in range(20):
        fail(found)
    assert found.statistics(0.0).peers[0][5:7] == (20, 20)
    assert found.statistics(0.0).peers[0].out == ""


def test_a6_two_addresses_of_a_name_are_not_alone() -> None:
    """A6, A7: when one of two is gone, what was held against the other does not count any more."""
    found = group("app.internal")
    found.found(found.names()[0], ["10.0.0.1", "10.0.0.2"])
    banned = fail(found)
    assert found.statistics(0.0).peers[0].out
    found.found(found.names()[0], ["10.0.0.1"])
    assert ask(found) is banned


# --- the slow start ---------------------------------------------------------------------------------------------------


def test_a_slow_start_grows_from_nothing_after_a_ban() -> None:
    """slow_start: after recovery the share grows linearly, and is whole at its end."""
    found = two(slow_start=20.0)
    peer = found.peers()[0]
    fail(found, 0.0)
    while peer.fails:
        ask(found, 10.5)
    assert peer.grown(10.5) == 0.0
    assert peer.grown(15.5) == 0.25
    counts = []
    for moment in (11.5, 20.5, 29.5):
        counts.append(names(found, 40, moment).count("1"))
    assert counts[0] == pytest.approx(2, abs=1)  # 1/20 against 1
    assert counts[1] == pytest.approx(40 / 3, abs=1)  # 1/2 against 1
    assert counts[2] == pytest.approx(40 * 0.95 / 1.95, abs=1)
    assert peer.grown(30.5) == 1.0
    assert names(found, 40, 30.5).count("1") == 20


def test_a_slow_start_counts_for_least_conn() -> None:
    found = group(server("127.0.0.1:1", slow_start=20.0), "127.0.0.1:2", balance="least_conn")
    peer, other = found.peers()
    found.set_health(peer, "ill", 0.0)
    found.set_health(peer, "", 100.0)
    other.conns, peer.conns = 3, 1
    assert found.pick(exchange(), Tried(), 105.0) is other, "1 of 1/4 is more than 3 of 1"
    assert found.pick(exchange(), Tried(), 110.0) is peer, "1 of 1/2 is less than 4 of 1"


def test_without_a_slow_start_a_recovered_peer_is_whole_at_once() -> None:
    found = two()
    found.set_health(found.peers()[0], "ill", 0.0)
    found.set_health(found.peers()[0], "", 1.0)
    assert names(found, 4, 1.0).count("1") == 2


# --- what is told -----------------------------------------------------------------------------------------------------


def test_why_a_peer_is_out() -> None:
    found = group(
        server("127.0.0.1:1", down=True), server("127.0.0.1:2", max_fails=2), server("127.0.0.1:3", max_conns=1),
        "127.0.0.1:4", "127.0.0.1:5", server("https://127.0.0.1:6", backup=True, weight=3), "app.internal",
    )  # fmt: skip
    _, second, third, fourth, *_ = found.peers()
    found.failed(second, 0.0)
    found.failed(second, 1.0)
    third.picked(0.0)
    found.set_health(fourth, "status 500 to a health check", 0.0)
    told = found.statistics(5.0)
    assert [peer.out for peer in told.peers] == [
        "down",
        "failed 2 times, next try in 6.0 s",
        "at max_conns, 1",
        "unhealthy: status 500 to a health check",
        "",
        "",
    ]
    assert told.unresolved == ("app.internal",)
    assert (told.name, told.waiting) == ("backend", 0)
    assert (told.peers[1].failures, told.peers[2].active, told.peers[2].requests) == (2, 1, 1)
    assert told.peers[5] == ("127.0.0.1:6", "https://127.0.0.1:6", 3, True, 0, 0, 0, None, "")


def test_a_ban_is_told_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    found = two(max_fails=2)
    for _ in range(3):
        found.failed(found.peers()[0], 0.0)
    assert [record.getMessage() for record in caplog.records] == [
        'upstream "backend": 127.0.0.1:1 is left alone: failed 2 times, next try in 10.0 s'
    ]
