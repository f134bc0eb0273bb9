"""Names into addresses, at the start and again and again (A7); on a clock that jumps."""

from __future__ import annotations

import importlib
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
from groups import ask, group
from trio.testing import MockClock

from edgestack.errors import UpstreamError
from edgestack.upstream import resolving
from edgestack.upstream.group import Group
from edgestack.upstream.resolving import Found, keep_resolved, look_up


class Names:
    """A name service."""

    def __init__(self, **known: Found | BaseException) -> None:
        self.known = known
        self.asked: list[tuple[str, float]] = []

    async def look(self, host: str) -> Found:
        """One look."""
        self.asked.append((host, trio.current_time()))
        found = self.known.get(host, socket.gaierror(-2, "Name or service not known"))
        if isinstance(found, BaseException):
            raise found
        if not found.addresses and found.ttl == SILENT:
            await trio.sleep_forever()
        return found

    def times(self, host: str) -> list[float]:
        return [when for which, when in self.asked if which == host]


SILENT = -1.0


@asynccontextmanager
async def resolved(of: Group, names: Names) -> AsyncIterator[None]:
    """The names are kept resolved; they were looked up once."""
    async with trio.open_nursery() as nursery:
        await nursery.start(lambda *, task_status: keep_resolved(of, names.look, task_status=task_status))
        yield
        nursery.cancel_scope.cancel()


def hosts(of: Group) -> list[str]:
    return [peer.address.host for peer in of.peers()]


async def test_a7_names_are_resolved_at_the_start_and_again(autojump_clock: MockClock) -> None:
    """A7: every 30 seconds by default; what changes is taken up, and peers that stay keep their state."""
    found, names = group("app:8001", "10.0.0.9"), Names(app=Found(["10.0.0.1", "10.0.0.2"]))
    async with resolved(found, names):
        assert hosts(found) == ["10.0.0.1", "10.0.0.2", "10.0.0.9"]
        stays = found.peers()[1]
        names.known["app"] = Found(["10.0.0.2", "10.0.0.3"])
        await trio.sleep(31)
        assert hosts(found) == ["10.0.0.2", "10.0.0.3", "10.0.0.9"]
        assert found.peers()[0] is stays
    assert names.times("app") == [0.0, 30.0]


@pytest.mark.parametrize(("ttl", "next_look"), [(7.0, 7.0), (0.0, 1.0), (10.0**6, 3600.0), (None, 12.0)])
async def test_a7_the_time_to_live_decides_where_it_is_known(
    ttl: float | None, next_look: float, autojump_clock: MockClock
) -> None:
    """A7: within bounds, since a record may say 0."""
    found, names = group("app", resolve=12.0), Names(app=Found(["10.0.0.1"], ttl))
    async with resolved(found, names):
        await trio.sleep(next_look + 0.5)
    assert names.times("app") == [0.0, next_look]


async def test_a7_a_name_that_does_not_resolve_stops_nothing(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    """A7: unlike in nginx; the others serve, and it is taken up when it resolves. The log says it once each way."""
    found, names = group("app", "10.0.0.9"), Names()
    async with resolved(found, names):
        assert trio.current_time() == 0.0
        assert ask(found).address.host == "10.0.0.9"
        assert found.statistics(0.0).unresolved == ("app",)
        await trio.sleep(61)
        names.known["app"] = Found(["10.0.0.1"])
        await trio.sleep(30)
        assert hosts(found) == ["10.0.0.1", "10.0.0.9"]
    assert [record.getMessage() for record in caplog.records] == [
        'upstream "backend": app: [Errno -2] Name or service not known',
        'upstream "backend": app resolves again',
    ]


@pytest.mark.parametrize("trouble", [socket.gaierror(-3, "Try again"), UnicodeError("label too long"), Found([])])
async def test_addresses_that_were_known_are_kept(
    trouble: Found | BaseException, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    found, names = group("app"), Names(app=Found(["10.0.0.1"]))
    async with resolved(found, names):
        names.known["app"] = trouble
        await trio.sleep(100)
        assert hosts(found) == ["10.0.0.1"]
    [record] = caplog.records
    assert record.getMessage().endswith("; its last addresses are kept")


async def test_a_silent_name_service_holds_the_start_up_for_five_seconds(autojump_clock: MockClock) -> None:
    found, names = group("slow", "quick"), Names(slow=Found([], SILENT), quick=Found(["10.0.0.1"]))
    async with resolved(found, names):
        assert trio.current_time() == 5.0
        assert hosts(found) == ["10.0.0.1"]


async def test_the_order_of_addresses_alone_changes_nothing(autojump_clock: MockClock) -> None:
    """Name servers turn their answers round."""
    found, names = group("app"), Names(app=Found(["10.0.0.1", "10.0.0.2"]))
    async with resolved(found, names):
        before = found.primaries
        names.known["app"] = Found(["10.0.0.2", "10.0.0.1"])
        await trio.sleep(31)
        assert found.primaries is before


async def test_a_group_of_addresses_has_nothing_to_resolve() -> None:
    await keep_resolved(group("10.0.0.1", "unix:/run/app.sock"))


async def test_a_name_without_address_is_no_live_peer(autojump_clock: MockClock) -> None:
    """A9."""
    with pytest.raises(UpstreamError, match="no live upstreams"):
        ask(group("app"))


# --- the system -------------------------------------------------------------------------------------------------------


async def test_the_system_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """The hosts file counts, and one address is given once though it has several kinds of sockets."""
    monkeypatch.setattr(resolving, "_ttl", _no_ttl)
    found = await look_up("localhost")
    assert set(found.addresses) <= {"127.0.0.1", "::1"}
    assert found.addresses
    assert found.ttl is None


async def _no_ttl(host: str) -> None:
    return None


async def test_without_dnspython_nobody_tells_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dns.asyncresolver", None)
    assert await resolving._ttl("app.test") is None


async def test_dnspython_tells_the_time_to_live() -> None:
    """The least along the chain of A and AAAA; an unknown name has none."""
    dns = {name: importlib.import_module(f"dns.{name}") for name in ("asyncresolver", "message", "rcode", "rrset")}
    records = {"A": ["app.test. 90 IN CNAME b.test.", "b.test. 40 IN A 10.0.0.1"], "AAAA": ["app.test. 60 IN AAAA ::1"]}
    server = trio.socket.socket(trio.socket.AF_INET, trio.socket.SOCK_DGRAM)
    await server.bind(("127.0.0.1", 0))

    async def serve() -> None:
        while True:
            asked, client = await server.recvfrom(4096)
            query = dns["message"].from_wire(asked)
            answer = dns["message"].make_response(query)
            [question] = query.question
            if question.name.to_text() != "app.test.":
                answer.set_rcode(dns["rcode"].NXDOMAIN)
            else:
                for record in records[question.to_text().split()[-1]]:
                    name, ttl, *rest = record.split()
                    answer.answer.append(dns["rrset"].from_text(name, int(ttl), *rest))
            await server.sendto(answer.to_wire(), client)

    resolver = dns["asyncresolver"].Resolver(configure=False)
    resolver.nameservers, resolver.port = ["127.0.0.1"], server.getsockname()[1]
    with server:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(serve)
            assert await resolving._ttl("app.test", resolver) == 40.0
            assert await resolving._ttl("other.test", resolver) is None
            nursery.cancel_scope.cancel()
