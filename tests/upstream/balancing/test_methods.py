"""The ways to choose, where a recording cannot tell: chance, and what nginx keeps for its commercial edition."""

from __future__ import annotations

from collections import Counter
from ipaddress import ip_address
from random import Random

import pytest
from groups import ask, exchange, fail, group, names, server
from hypothesis import given
from hypothesis import strategies as st

from edgestack.errors import UpstreamError
from edgestack.upstream.balancing import hashing, ketama, random_peer, round_robin
from edgestack.upstream.peers import Peer, Peers, Tried

# --- round robin ------------------------------------------------------------------------------------------------------


def test_a1_the_sequence_of_nginx() -> None:
    """A1: weights 5, 1, 1 give a a b a c a a, and the same again."""
    found = group(server("127.0.0.1:1", weight=5), "127.0.0.1:2", "127.0.0.1:3")
    assert names(found, 14) == "1121311" * 2


@given(st.lists(st.integers(1, 9), min_size=2, max_size=5))
def test_a1_each_gets_its_share(weights: list[int]) -> None:
    """A1: in as many requests as the weights sum up to, each peer has its weight, and ends where it began."""
    found = group(*(server(f"127.0.0.1:{at + 1}", weight=weight) for at, weight in enumerate(weights)))
    assert Counter(names(found, sum(weights))) == {str(at + 1): weight for at, weight in enumerate(weights)}
    assert [peer.current_weight for peer in found.peers()] == [0] * len(weights)


# --- hashes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("192.0.2.7", bytes([192, 0, 2])),
        ("2001:db8::7", ip_address("2001:db8::7").packed),
        ("fe80::1%eth0", ip_address("fe80::1").packed),
        ("unix:", bytes(3)),
    ],
)
def test_a12_what_is_hashed_of_an_address(text: str, key: bytes) -> None:
    """A12: three octets of IPv4, sixteen bytes of IPv6; of a unix socket nothing, as in nginx."""
    assert address_key_of(text) == key


def address_key_of(text: str) -> bytes:
    """As the group asks for it."""
    found = group("127.0.0.1:1", "127.0.0.1:2", balance="ip_hash")
    tried = Tried()
    found.release(found.pick(exchange(addr=text), tried, 0.0))
    assert tried.key is not None
    return tried.key


def test_a12_round_robin_after_twenty_misses() -> None:
    """A12, A13: where hashing meets the peer that is left only in its 22nd try, round robin has chosen before."""
    peers = [Peer(one.address, one.server, weight=100) for one in group("127.0.0.1:1", "127.0.0.1:2").peers()]
    peers[0].down = True
    tried = Tried()
    tried.key = b"\x7f\x00\x00"
    while tried.misses <= hashing.MISSES:
        tried.misses += 1
    assert hashing.pick_by_address(Peers(peers), 0.0, tried) is peers[1]
    assert hashing.pick(Peers(peers), 0.0, tried) is peers[1]
    assert ketama.pick(Peers(peers), 0.0, tried) is peers[1]


def test_a13_a_ring_moves_few_keys() -> None:
    """A13: a server that goes moves its own keys alone, one that comes takes keys but moves none between others."""
    keys = [f"/{n}" for n in range(500)]
    before, after = of_keys(keys, 1, 2, 3), of_keys(keys, 1, 2)
    kept = [at for at, port in enumerate(before) if port != 3]
    assert [after[at] for at in kept] == [before[at] for at in kept]
    assert {after[at] for at in range(500) if at not in kept} == {1, 2}
    assert all(100 < count < 250 for count in Counter(before).values())


def of_keys(keys: list[str], *ports: int) -> list[int]:
    """The ports that a consistent hash gives for keys."""
    asked = iter(keys)
    found = group(*(f"127.0.0.1:{port}" for port in ports), hash="$k", consistent=True, key=lambda _: next(asked))
    return [ask(found).address.port for _ in keys]


def test_a13_peers_of_one_name_take_turns() -> None:
    """A7, A13: the points of a name belong to all of its addresses; round robin chooses among those."""
    found = group("app.internal:80", "127.0.0.1:80", hash="$k", consistent=True, key=lambda _: "a key of app.internal")
    found.found(found.names()[0], ["10.0.0.1", "10.0.0.2"])
    asked = [ask(found).address.host for _ in range(4)]
    assert asked == ["10.0.0.1", "10.0.0.2"] * 2
    ring = ketama.Ring(found.primaries)
    assert ring.servers.count("app.internal:80") == pytest.approx(160, abs=1), "the same points for both"


def test_a13_what_is_not_ascii_is_hashed_as_it_came() -> None:
    """`$uri` was decoded as UTF-8, and what was none stands in it as surrogates."""
    tried = Tried()
    found = group("127.0.0.1:1", "127.0.0.1:2", hash="$uri", key=lambda _: "/café\udcff")
    found.pick(exchange(), tried, 0.0)
    assert tried.key == b"/caf\xc3\xa9\xff"


# --- chance -----------------------------------------------------------------------------------------------------------


class Drawn(Random):
    """Chance that was decided before."""

    def __init__(self, *drawn: int) -> None:
        super().__init__()
        self.drawn = list(drawn)

    def randrange(self, start: int, *_: int) -> int:  # type: ignore[override]
        """The next one; it must be possible."""
        found = self.drawn.pop(0)
        assert 0 <= found < start
        return found


def three() -> Peers:
    """Weights 2, 1, 1: the draws 0 and 1 are the first peer, 2 the second, 3 the third."""
    return group(server("127.0.0.1:1", weight=2), "127.0.0.1:2", "127.0.0.1:3").primaries


@pytest.mark.parametrize(
    ("drawn", "conns", "port"),
    [
        ((0, 2), (3, 1, 0), 2),
        ((0, 2), (1, 1, 0), 1),
        ((2, 0), (2, 1, 0), 1),
        ((2, 3), (0, 1, 1), 3),
        ((3, 2), (0, 1, 1), 2),
        ((0, 1, 0, 3), (1, 0, 4), 1),
    ],
    ids=["fewer", "by weight", "equal: the second drawn", "equal, one way", "equal, the other", "the same again"],
)
def test_a14_the_better_of_two(drawn: tuple[int, ...], conns: tuple[int, ...], port: int) -> None:
    """A14: two distinct peers are drawn by weight; fewer requests for its weight wins."""
    peers = three()
    for peer, count in zip(peers.list, conns, strict=True):
        peer.conns = count
    chance = Drawn(*drawn)
    chosen = random_peer.RandomPeer(chance).pick_of_two(peers, 0.0, Tried())
    assert chosen is not None
    assert chosen.address.port == port
    assert chance.drawn == []


def test_a14_round_robin_after_twenty_draws() -> None:
    """A14: draws that cannot be asked are drawn again, and after twenty of them the turn decides."""
    peers = three()
    peers.list[0].down = True
    chance = Drawn(*[0] * 21)
    assert random_peer.RandomPeer(chance).pick_of_two(peers, 0.0, Tried()) is peers.list[1]
    assert chance.drawn == []
    chance = Drawn(*[0] * 20, 3)
    assert random_peer.RandomPeer(chance).pick(peers, 0.0, Tried()) is peers.list[2]
    assert chance.drawn == []


def test_a14_chance_follows_the_weights() -> None:
    """One at random: in many draws each peer has its share."""
    found = group(server("127.0.0.1:1", weight=6), server("127.0.0.1:2", weight=3), "127.0.0.1:3", balance="random")
    counted = Counter(names(found, 5000))
    assert counted["1"] == pytest.approx(3000, abs=150)
    assert counted["2"] == pytest.approx(1500, abs=150)


# --- least time -------------------------------------------------------------------------------------------------------


def test_least_time_is_average_times_requests_by_weight() -> None:
    found = group(server("127.0.0.1:1", weight=4), "127.0.0.1:2", balance="least_time")
    first, second = found.peers()
    first.timed(0.4)
    second.timed(0.25)
    # 0.4 * (n + 1) / 4 against 0.25: twice below it, 0.1 and 0.2; the third time 0.3
    picked = [found.pick(exchange(), Tried(), 0.0) for _ in range(3)]
    assert picked == [first, first, second]


def test_least_time_asks_who_has_not_answered_yet_as_the_fastest() -> None:
    """It is measured soon, and is not flooded while it is silent."""
    found = group("127.0.0.1:1", "127.0.0.1:2", balance="least_time")
    first, second = found.peers()
    first.timed(0.1)
    for turn in range(1, 4):
        assert {found.pick(exchange(), Tried(), 0.0) for _ in range(2)} == {first, second}
        assert first.conns == second.conns == turn


def test_least_time_without_any_answer_is_round_robin() -> None:
    assert names(group("127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3", balance="least_time"), 6) == "123123"


def test_least_time_is_a_moving_average() -> None:
    peer = group("127.0.0.1:1").peers()[0]
    peer.timed(1.0)
    assert peer.header_time == 1.0
    for _ in range(30):
        peer.timed(0.1)
    assert peer.header_time == pytest.approx(0.1, rel=0.02)


# --- any of them ------------------------------------------------------------------------------------------------------


METHODS: list[dict[str, object]] = [
    {"balance": "round_robin"}, {"balance": "least_conn"}, {"balance": "least_time"}, {"balance": "ip_hash"},
    {"balance": "random"}, {"balance": "random two"}, {"hash": "$k"}, {"hash": "$k", "consistent": True},
]  # fmt: skip


@pytest.mark.parametrize("said", METHODS, ids=lambda said: " ".join(map(str, said.values())))
def test_a15_each_peer_is_tried_once(said: dict[str, object]) -> None:
    """A15: a request tries all that are not down, each once; then there is none (A9)."""
    servers = [*(server(f"127.0.0.1:{n}", max_fails=0) for n in range(1, 7)), server("127.0.0.1:7", down=True)]
    for at in range(40):
        found = group(*servers, key=lambda _, at=at: f"key {at}", **said)
        assert found.tries() == 6
        tried = Tried()
        assert {fail(found, tried=tried).address.port for _ in range(6)} == {1, 2, 3, 4, 5, 6}
        with pytest.raises(UpstreamError, match="no live upstreams"):
            ask(found, tried=tried)


@pytest.mark.parametrize("said", METHODS, ids=lambda said: " ".join(map(str, said.values())))
def test_no_method_asks_a_set_of_none(said: dict[str, object]) -> None:
    """Names that have no address yet are no peers."""
    with pytest.raises(UpstreamError):
        ask(group("app.internal", "db.internal", key=lambda _: "key", **said))


def test_a_method_leaves_the_counters_alone() -> None:
    """The group notes that a peer is asked; a method has no other effect than on the weights."""
    found = group("127.0.0.1:1", "127.0.0.1:2")
    chosen = round_robin.pick(found.primaries, 0.0, Tried())
    assert chosen is not None
    assert (chosen.conns, chosen.requests) == (0, 0)
