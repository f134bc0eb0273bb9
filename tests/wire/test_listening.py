"""Binding one listener (issue 2, §6: addresses), with real sockets."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgestack.config.model import Listener
from edgestack.wire.listening import bind, resolve


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6 loopback address")


@pytest.fixture
def bound(request: pytest.FixtureRequest) -> Iterator[socket.socket]:
    with bind(request.param) as sock:
        yield sock


def can_connect(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), 5).close()
    except OSError:
        return False
    return True


@pytest.mark.parametrize("bound", [Listener("127.0.0.1", 0)], indirect=True)
def test_port_0_picks_one_and_the_socket_listens(bound: socket.socket) -> None:
    host, port = bound.getsockname()
    assert host == "127.0.0.1"
    assert port > 0
    assert not bound.getblocking()
    assert not bound.get_inheritable()
    assert bound.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    assert bound.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)


@pytest.mark.parametrize("bound", [Listener("127.0.0.1", 0)], indirect=True)
def test_accepted_sockets_inherit_tcp_nodelay(bound: socket.socket) -> None:
    with socket.create_connection(bound.getsockname(), 5):
        bound.setblocking(True)
        accepted, _ = bound.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


@needs_ipv6
@pytest.mark.parametrize("bound", [Listener("", 0)], indirect=True)
def test_no_host_means_both_families(bound: socket.socket) -> None:
    port = bound.getsockname()[1]
    assert can_connect("127.0.0.1", port)
    assert can_connect("::1", port)


@needs_ipv6
@pytest.mark.parametrize("bound", [Listener("::", 0)], indirect=True)
def test_an_ipv6_address_means_ipv6_alone(bound: socket.socket) -> None:
    port = bound.getsockname()[1]
    assert can_connect("::1", port)
    assert not can_connect("127.0.0.1", port)


def test_a_port_in_use() -> None:
    with bind(Listener("127.0.0.1", 0)) as first:
        with pytest.raises(OSError) as caught:
            bind(Listener("127.0.0.1", first.getsockname()[1]))
        assert caught.value.errno == errno.EADDRINUSE


def test_an_address_of_another_machine() -> None:
    with pytest.raises(OSError) as caught:
        bind(Listener("203.0.113.9", 0))
    assert caught.value.errno == errno.EADDRNOTAVAIL


# --- names ------------------------------------------------------------------------------------------------------------


def test_a_name_becomes_its_addresses_ipv4_first() -> None:
    found = resolve(Listener("localhost", 0, tls=True))
    assert found[0] == Listener("127.0.0.1", 0, tls=True)
    assert {one.host for one in found} <= {"127.0.0.1", "::1"}
    assert len(set(found)) == len(found)


@pytest.mark.parametrize("listener", [Listener("", 80), Listener(path="/a"), Listener(fd=3), Listener("127.0.0.1", 80)])
def test_what_is_no_name_stays_as_it_is(listener: Listener) -> None:
    assert resolve(listener) == [listener]


# --- unix sockets -----------------------------------------------------------------------------------------------------


def test_a_unix_socket_is_open_to_all_who_reach_it(tmp_path: Path) -> None:
    path = tmp_path / "a.sock"
    with bind(Listener(path=str(path))) as sock, socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        assert not sock.getblocking()
        assert path.stat().st_mode & 0o777 == 0o666


def test_a_stale_unix_socket_is_replaced(tmp_path: Path) -> None:
    path = str(tmp_path / "a.sock")
    bind(Listener(path=path)).close()
    with bind(Listener(path=path)), socket.socket(socket.AF_UNIX) as client:
        client.connect(path)


def test_a_unix_socket_that_somebody_answers_on_is_left_alone(tmp_path: Path) -> None:
    path = str(tmp_path / "a.sock")
    with bind(Listener(path=path)), socket.socket(socket.AF_UNIX) as client:
        with pytest.raises(OSError) as caught:
            bind(Listener(path=path))
        assert caught.value.errno == errno.EADDRINUSE
        client.connect(path)


def test_a_file_is_never_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a.sock"
    path.write_text("precious")
    with pytest.raises(OSError) as caught:
        bind(Listener(path=str(path)))
    assert caught.value.errno == errno.EADDRINUSE
    assert path.read_text() == "precious"


# --- inherited descriptors --------------------------------------------------------------------------------------------


def test_an_inherited_socket() -> None:
    with socket.create_server(("127.0.0.1", 0)) as given:
        given.set_inheritable(True)
        address = given.getsockname()
        with bind(Listener(fd=given.detach())) as sock:
            assert sock.getsockname() == address
            assert not sock.getblocking()
            assert not sock.get_inheritable()
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_a_socket_that_does_not_listen_is_refused_and_left_open(kind: int) -> None:
    with socket.socket(socket.AF_INET, kind) as given:
        with pytest.raises(OSError) as caught:
            bind(Listener(fd=given.fileno()))
        assert caught.value.errno == errno.EINVAL
        os.fstat(given.fileno())


def test_a_descriptor_that_is_no_socket_or_not_open() -> None:
    reader, writer = os.pipe()
    with pytest.raises(OSError) as caught:
        bind(Listener(fd=reader))
    assert caught.value.errno == errno.ENOTSOCK
    os.close(reader)
    os.close(writer)
    with pytest.raises(OSError) as caught:
        bind(Listener(fd=reader))
    assert caught.value.errno == errno.EBADF
