"""The sockets of a process: bound, inherited, explained, tidied away (issue 2, §6)."""

from __future__ import annotations

import errno
import os
import socket
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgestack.config.model import Listener
from edgestack.errors import ConfigError
from edgestack.process.sockets import Sockets, explained, inherited

LOOPBACK = Listener("127.0.0.1", 0)


@pytest.fixture
def opened() -> Iterator[list[Sockets]]:
    made: list[Sockets] = []
    yield made
    for sockets in made:
        sockets.close()


def bind(opened: list[Sockets], *listeners: Listener) -> Sockets:
    sockets = Sockets.bind(listeners)
    opened.append(sockets)
    return sockets


def ports(sockets: Sockets) -> list[int]:
    return [sock.getsockname()[1] for _, sock in sockets.pairs if sock.family != socket.AF_UNIX]


def test_urls_of_what_is_bound(opened: list[Sockets], tmp_path: Path) -> None:
    path = str(tmp_path / "a.sock")
    secure = Listener("127.0.0.1", 0, tls=True)
    sockets = bind(opened, LOOPBACK, secure, Listener(path=path))
    plain, tls = ports(sockets)
    assert sockets.urls() == [f"http://127.0.0.1:{plain}", f"https://127.0.0.1:{tls}", f"unix:{path}"]
    assert sockets.listeners == (LOOPBACK, secure, Listener(path=path))


def test_every_address_is_shown_by_addresses_that_clients_can_use(opened: list[Sockets]) -> None:
    for host in ("", "0.0.0.0"):
        urls = bind(opened, Listener(host, 0)).urls()
        assert urls[0].startswith("http://127.0.0.1:")
        assert not any("0.0.0.0" in url or "[::]" in url for url in urls)
        assert len(urls) == len(set(urls))


def test_the_addresses_of_a_name_share_a_port(opened: list[Sockets]) -> None:
    sockets = bind(opened, Listener("localhost", 0))
    assert len(set(ports(sockets))) == 1
    assert sockets.urls()[0].startswith("http://127.0.0.1:")


def test_redirects_point_at_the_port_that_tls_got(opened: list[Sockets]) -> None:
    sockets = bind(opened, Listener("127.0.0.1", 0, redirect=True), LOOPBACK, Listener("127.0.0.1", 0, tls=True))
    redirect, _, tls = ports(sockets)
    assert sockets.listeners[0].redirect_port == tls
    assert sockets.redirect_ports() == [redirect]
    assert len(sockets.urls()) == 2


def test_a_tls_port_redirects_plain_http_to_itself(opened: list[Sockets], tmp_path: Path) -> None:
    """E9: each to its own port, which is known only now; a unix socket to the port that was said."""
    here = Listener("127.0.0.1", 0, tls=True, redirect_plain=True)
    path = Listener(path=str(tmp_path / "a"), tls=True, redirect_plain=True, redirect_port=443)
    sockets = bind(opened, here, here, path)
    assert [listener.redirect_port for listener in sockets.listeners] == [*ports(sockets)[:2], 443]
    assert sockets.redirect_ports() == []
    assert len(sockets.urls()) == 3


def test_all_or_none(opened: list[Sockets], tmp_path: Path) -> None:
    path = tmp_path / "a.sock"
    taken = ports(bind(opened, LOOPBACK))[0]
    with pytest.raises(ConfigError):
        Sockets.bind([Listener(path=str(path)), Listener("127.0.0.1", taken)])
    assert not path.exists()


def test_closing_removes_our_socket_file_and_no_other(opened: list[Sockets], tmp_path: Path) -> None:
    path = tmp_path / "a.sock"
    listener = Listener(path=str(path))
    Sockets.bind([listener]).close()
    assert not path.exists()
    old = Sockets.bind([listener])
    for _, sock in old.pairs:
        sock.close()
    path.rename(tmp_path / "away")  # so that the number of its inode is not given out again
    bind(opened, listener)
    old.close()
    assert path.is_socket()


# --- why not ----------------------------------------------------------------------------------------------------------


def why(listener: Listener) -> str:
    with pytest.raises(ConfigError) as caught:
        Sockets.bind([listener])
    return str(caught.value)


def test_a_port_asked_for_twice(opened: list[Sockets]) -> None:
    port = ports(bind(opened, LOOPBACK))[0]
    assert why(Listener("127.0.0.1", port)) == f"port {port} was asked for twice"


def test_a_unix_socket_asked_for_twice(opened: list[Sockets], tmp_path: Path) -> None:
    listener = Listener(path=str(tmp_path / "a.sock"))
    bind(opened, listener)
    assert why(listener) == f"the unix socket {listener.path} was asked for twice"


def test_a_file_in_the_place_of_a_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "a.sock"
    path.write_text("")
    assert why(Listener(path=str(path))) == f"{path} exists and is no unix socket that we may replace"


def test_no_folder_for_a_unix_socket(tmp_path: Path) -> None:
    assert "does not exist" in why(Listener(path=str(tmp_path / "no" / "a.sock")))


def test_an_address_of_another_machine() -> None:
    text = why(Listener("203.0.113.9", 8443))
    assert text.startswith("this machine has no address 203.0.113.9 (it has 127.0.0.1")


def test_an_unknown_name() -> None:
    assert "is unknown here" in why(Listener("no-such-host.invalid", 8443))


def test_a_port_without_the_right() -> None:
    error = explained(Listener("", 443), OSError(errno.EACCES, "Permission denied"))
    assert error.why == "no right to listen on port 443"
    for way in (f"setcap cap_net_bind_service=+ep {os.path.realpath(sys.executable)}", "systemd", "1024"):
        assert way in error.hint


@pytest.mark.parametrize(
    ("listener", "code", "expected"),
    [
        (Listener(fd=9), errno.EBADF, "descriptor 9 is not open"),
        (Listener(fd=9), errno.ENOTSOCK, "descriptor 9 is not a socket"),
        (Listener(fd=9), errno.EINVAL, "descriptor 9 is not a listening stream socket"),
        (Listener(fd=9), errno.EIO, "descriptor 9 cannot be used: "),
        (Listener(path="/a/b"), errno.EACCES, "no right to create the unix socket /a/b"),
        (Listener(path="/a/b"), errno.EIO, "cannot listen on the unix socket /a/b: "),
        (Listener("::1", 1), errno.EAFNOSUPPORT, "this machine has no address [::1]"),
        (Listener("", 1), errno.ENOBUFS, "cannot listen on every address, port 1: "),
    ],
)
def test_other_reasons(listener: Listener, code: int, expected: str) -> None:
    assert explained(listener, OSError(code, os.strerror(code))).why.startswith(expected)


# --- systemd's sockets ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, []),
        ({"LISTEN_PID": "7", "LISTEN_FDS": "2"}, [Listener(fd=3, tls=True), Listener(fd=4, tls=True)]),
        ({"LISTEN_PID": "7", "LISTEN_FDS": "1", "LISTEN_FDNAMES": "web"}, [Listener(fd=3, tls=True)]),
        ({"LISTEN_PID": "7", "LISTEN_FDS": "0"}, []),
        ({"LISTEN_PID": "8", "LISTEN_FDS": "2"}, []),
        ({"LISTEN_PID": "7", "LISTEN_FDS": "x"}, []),
        ({"LISTEN_FDS": "2"}, []),
    ],
)
def test_sockets_that_systemd_passed(environ: dict[str, str], expected: list[Listener]) -> None:
    """sd_listen_fds(3); the variables are not for our children."""
    assert inherited(environ, 7, True) == expected
    assert environ == {}


def test_what_is_handed_to_another_process(opened: list[Sockets], tmp_path: Path) -> None:
    """It has the same sockets for the same addresses; the file of a unix socket stays its first owner's."""
    path = str(tmp_path / "a.sock")
    first = bind(opened, LOOPBACK, Listener(path=path))
    words = [
        (asked, [(host, port, os.dup(fd)) for host, port, fd in pairs]) for asked, pairs in first.handed()
    ]  # as a child inherits them
    taken = Sockets.taken(words, own=False)
    there = taken.changed([Listener("127.0.0.1", 0, tls=True), Listener(path=path)])
    opened += [taken, there]
    assert ports(there) == ports(first)
    assert there.urls() == [f"https://127.0.0.1:{ports(first)[0]}", f"unix:{path}"]
    assert not any(sock.get_inheritable() for _, sock in there.pairs)
    there.close()
    assert os.path.exists(path)
    first.close()
    assert not os.path.exists(path)


@pytest.mark.skipif(sys.platform != "linux", reason="tcp(7): TCP_INFO")
def test_the_backlog_is_as_was_asked(opened: list[Sockets]) -> None:
    """For a listening socket, TCP_INFO's fifth number, which counts SACKs elsewhere, is its backlog."""
    sockets = Sockets.bind([LOOPBACK], 7)
    opened.append(sockets)
    told = sockets.pairs[0][1].getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
    assert struct.unpack_from("I", told, 28) == (7,)
