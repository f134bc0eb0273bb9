"""The sticky cookie: it names a peer to us and to nobody else, and never stands in the way of an answer."""

from __future__ import annotations

import re

import pytest
from groups import exchange, group, server

from edgestack.config.upstreams import Sticky, Upstream
from edgestack.upstream.group import Group
from edgestack.upstream.peers import Peer, Tried

SERVERS = tuple(server(f"10.0.0.{n}:80") for n in range(1, 4))


def sticky(secret: bytes = b"secret", name: str = "backend", **said: object) -> Group:
    return Group(Upstream(SERVERS, name=name, sticky=Sticky(**said)), secret=secret)  # type: ignore[arg-type]


def asked(found: Group, cookie: str = "", now: float = 0.0) -> Peer:
    peer = found.pick(exchange(cookie), Tried(), now)
    found.release(peer)
    return peer


def test_a_client_stays_with_its_peer() -> None:
    found = sticky()
    asked(found)
    peer = asked(found)
    cookie = found.sticky_cookie(exchange(), peer).partition(";")[0]
    assert {asked(found, f"a=b; {cookie}; c=d") for _ in range(5)} == {peer}
    assert found.sticky_cookie(exchange(cookie), peer) == "", "it is there already"
    assert len({asked(found) for _ in range(3)}) == 3, "others are balanced"


def test_the_cookie_tells_nothing() -> None:
    """An HMAC, which nobody can make, or read an address from."""
    peer = sticky().peers()[0]
    told = sticky().sticky_cookie(exchange(), peer)
    assert told == ""  # a peer of another group
    found = sticky()
    value = found.sticky_cookie(exchange(), found.peers()[0])
    assert re.fullmatch(r"edgestack_backend=[0-9a-f]{32}; Path=/; HttpOnly; SameSite=Lax", value)
    other = sticky(secret=b"other")
    assert other.sticky_cookie(exchange(), other.peers()[0]) != value


@pytest.mark.parametrize(
    ("said", "scheme", "attributes"),
    [
        ({"expires": 3600.0}, "http", "Path=/; Max-Age=3600; HttpOnly; SameSite=Lax"),
        ({"cookie": "srv", "path": "/app/"}, "https", "Path=/app/; HttpOnly; SameSite=Lax; Secure"),
    ],
)
def test_its_attributes(said: dict[str, object], scheme: str, attributes: str) -> None:
    found = sticky(**said)
    told = found.sticky_cookie(exchange(scheme=scheme), found.peers()[0])
    assert told.partition("; ")[2] == attributes
    assert told.startswith(str(said.get("cookie", "edgestack_backend")) + "=")


def test_it_holds_beyond_a_restart_where_the_secret_does() -> None:
    before, after = sticky(), sticky()
    cookie = before.sticky_cookie(exchange(), before.peers()[1]).partition(";")[0]
    assert asked(after, cookie).address == before.peers()[1].address
    assert asked(sticky(secret=b""), cookie).address == SERVERS[0].to.at(), "a secret of its own: by balance"


@pytest.mark.parametrize("cookie", ["", "edgestack_backend=", "edgestack_backend", "edgestack_backend=10.0.0.2:80",
                                    "xedgestack_backend=1", "edgestack_backend=" + "0" * 32, "=;=;;"])  # fmt: skip
def test_a_cookie_that_names_nobody_is_none(cookie: str) -> None:
    found = sticky()
    assert [asked(found, cookie).address.host for _ in range(3)] == ["10.0.0.1", "10.0.0.2", "10.0.0.3"]
    assert found.sticky_cookie(exchange(cookie), found.peers()[0])


def test_a_peer_that_cannot_be_asked_means_the_next_by_balance() -> None:
    """Banned, tried already, or gone; its answer brings the cookie of the one that answered."""
    found = sticky()
    peer, second, third = found.peers()
    cookie = found.sticky_cookie(exchange(), peer).partition(";")[0]
    found.failed(peer, 0.0)
    assert asked(found, cookie) in (second, third)
    assert found.sticky_cookie(exchange(cookie), second)
    assert asked(found, cookie, 10.5) is peer
    tried = Tried()
    found.pick(exchange(cookie), tried, 21.0)
    assert found.pick(exchange(cookie), tried, 21.0) is not peer


def test_a_peer_that_is_gone_means_the_next_by_balance() -> None:
    found = group("app.internal", "127.0.0.1:1", sticky=Sticky())
    found.found(found.names()[0], ["10.0.0.1"])
    cookie = found.sticky_cookie(exchange(), found.peers()[0]).partition(";")[0]
    found.found(found.names()[0], ["10.0.0.2"])
    assert {asked(found, cookie).address.host for _ in range(2)} == {"10.0.0.2", "127.0.0.1"}


def test_a8_nobody_stays_with_a_backup() -> None:
    """A8: the client goes back to its own peer when that is back."""
    found = group("127.0.0.1:1", server("127.0.0.1:2", backup=True), sticky=Sticky())
    peer, backup = found.peers()
    cookie = found.sticky_cookie(exchange(), peer).partition(";")[0]
    found.failed(peer, 0.0)
    assert asked(found, cookie) is backup
    assert found.sticky_cookie(exchange(cookie), backup) == ""
    assert asked(found, cookie, 10.5) is peer


def test_two_groups_do_not_take_each_others_cookies() -> None:
    one, other = sticky(name="one", cookie="srv"), sticky(name="other", cookie="srv")
    cookie = one.sticky_cookie(exchange(), one.peers()[2]).partition(";")[0]
    assert asked(other, cookie).address.host == "10.0.0.1"
