"""Groups of real servers: where they listen, whether they are who they say (B18, B19), how they come and go (A)."""

from __future__ import annotations

import http.client
import itertools
import signal
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from server_kit import PATIENCE, Reply, Server, exchange
from upstream_kit import (
    UPSTREAMS,
    Keys,
    front,
    gunicorn,
    needs_ipv6,
    needs_nginx,
    nginx,
    port_of,
    read_head,
    scripted,
    tcp,
    unix,
)

# --- where they listen ------------------------------------------------------------------------------------------------


@needs_ipv6
@needs_nginx
def test_a_mixed_group(tmp_path: Path, data: Path) -> None:
    """B19: IPv4, IPv6, a unix socket, a host name and TLS in one group; each gets its turn."""
    keys = Keys(tmp_path)
    page(tmp_path, "x")
    with ExitStack() as stack:
        enter = stack.enter_context
        four, six, local, named, secret = (
            enter(one) for one in (tcp(), tcp("::1"), unix(tmp_path / "s"), tcp(), tcp())
        )
        enter(nginx(four, tmp_path))
        for listener in (six, local, named):
            enter(gunicorn(listener))
        enter(gunicorn(secret, *tls_words(keys, "app.internal")))
        servers = {
            f"127.0.0.1:{port_of(four)}": f"127.0.0.1:{port_of(four)}",
            f"[::1]:{port_of(six)}": f"[::1]:{port_of(six)}",
            f"unix:{tmp_path}/s": f"unix:{tmp_path}/s",
            f"localhost:{port_of(named)}": f"127.0.0.1:{port_of(named)}",
            f"https://127.0.0.1:{port_of(secret)}": f"127.0.0.1:{port_of(secret)}",
        }
        text = (
            f'[server]\naccess_log = "access.log"\nlog_format = "who"\n[log_formats]\nwho = "$upstream_addr"\n'
            f"[upstream.mixed]\nservers = {list(servers)}\n"
            f'[[route]]\nmatch = "/"\n'
            f'proxy = {{ to = "http://mixed", ssl_ca = "{keys.ca}", ssl_name = "app.internal" }}\n'
        )
        with front(tmp_path / "edge", text, data=data) as server, closing(server.connect()) as connection:
            server.claimed.append("nobody listens there")  # on [::1], where localhost has that address too
            for _ in range(25):
                assert exchange(connection, "GET", "/page/x").text.startswith("x||")
    asked = Counter(line.split(", ")[-1] for line in (tmp_path / "edge" / "access.log").read_text().splitlines())
    assert asked.keys() == set(servers.values())
    assert min(asked.values()) >= 3


def page(folder: Path, name: str) -> Path:
    """A file for nginx where gunicorn's application has a page; its text tells them apart."""
    (folder / "site" / "page").mkdir(parents=True, exist_ok=True)
    (folder / "site" / "page" / name).write_text(f"{name}||nginx")
    return folder / "site" / "page" / name


def tls_words(keys: Keys, *names: str) -> tuple[str, ...]:
    """gunicorn's words for TLS."""
    chain, key = keys.issue(*names)
    return "--certfile", chain, "--keyfile", key


# --- who they are (B18) -----------------------------------------------------------------------------------------------


def test_a_private_authority(tmp_path: Path, data: Path) -> None:
    """B18: verified against `ssl_ca` and the name; refused with 502 and a line that says why; an explicit off."""
    keys = Keys(tmp_path)
    with tcp() as listener:
        at = f"https://127.0.0.1:{port_of(listener)}"
        ways = {
            "good": f'ssl_ca = "{keys.ca}", ssl_name = "app.internal"',
            "wrong-name": f'ssl_ca = "{keys.ca}", ssl_name = "other.internal"',
            "address": f'ssl_ca = "{keys.ca}"',
            "system": 'ssl_name = "app.internal"',
            "off": "ssl_verify = false",
        }
        text = "".join(
            f'[[route]]\nmatch = "/{name}/"\nproxy = {{ to = "{at}/", {more} }}\n' for name, more in ways.items()
        )
        with (
            gunicorn(listener, *tls_words(keys, "app.internal")),
            front(tmp_path / "edge", text, data=data) as server,
        ):
            for name in ("good", "off"):
                assert server.get(f"/{name}/page/x").text.startswith("x||http")
            said = {
                "wrong-name": "Hostname mismatch, certificate is not valid for 'other.internal'",
                "address": "IP address mismatch, certificate is not valid for '127.0.0.1'",
                "system": "unable to get local issuer certificate",
            }
            for name, why in said.items():
                reply = server.get(f"/{name}/page/x")
                assert reply.status == 502
                assert "certificate" not in reply.text
                assert why in server.logged(reply, reply["X-Request-Id"])
            assert server.get("/good/page/y").text.startswith("y||http")


def test_a_client_certificate(tmp_path: Path, data: Path) -> None:
    """The upstream wants one: with it all is well, without it the log says what is missing."""
    keys = Keys(tmp_path)
    ours, our_key = keys.issue("edge.internal")
    with tcp() as listener:
        base = f'to = "https://127.0.0.1:{port_of(listener)}/", ssl_ca = "{keys.ca}", ssl_name = "app.internal"'
        text = (
            f'[[route]]\nmatch = "/with/"\nproxy = {{ {base}, ssl_cert = "{ours}", ssl_key = "{our_key}" }}\n'
            f'[[route]]\nmatch = "/without/"\nproxy = {{ {base} }}\n'
        )
        words = (*tls_words(keys, "app.internal"), "--ca-certs", str(keys.ca), "--cert-reqs", "2")
        with gunicorn(listener, *words), front(tmp_path / "edge", text, data=data) as server:
            assert server.get("/with/page/x").text.startswith("x||http")
            reply = server.get("/without/page/x")
            assert reply.status == 502
            assert "client certificate" in server.logged(reply, reply["X-Request-Id"])
            assert server.get("/with/page/y").text.startswith("y||http")


# --- their health -----------------------------------------------------------------------------------------------------


@needs_nginx
def test_a_health_check(tmp_path: Path, data: Path) -> None:
    """Who is not well is not asked any more, though it answers; and is asked again once it is well."""
    health = page(tmp_path, "health")
    page(tmp_path, "x")
    with tcp() as one, tcp() as two, nginx(one, tmp_path), gunicorn(two):
        text = (
            f'[upstream.pair]\nservers = ["127.0.0.1:{port_of(one)}", "127.0.0.1:{port_of(two)}"]\n'
            'health = { path = "/page/health", interval = "20ms", timeout = "5s" }\n'
            '[[route]]\nmatch = "/"\nproxy = "http://pair"\n'
        )
        with front(tmp_path / "edge", text, data=data) as server, closing(server.connect()) as connection:
            server.claimed.append(f"127.0.0.1:{port_of(one)}")  # it is told that it is not well

            def four() -> set[str]:
                return {exchange(connection, "GET", "/page/x").text for _ in range(4)}

            assert four() == {"x||nginx", "x||http://pair"}
            for healthy, wanted in ((False, {"x||http://pair"}), (True, {"x||nginx", "x||http://pair"})) * 2:
                page(tmp_path, "health") if healthy else health.unlink()
                assert any(four() == wanted for _ in itertools.count())  # at the next check, or the test's own time
                assert four() == wanted


# --- a reload among them ----------------------------------------------------------------------------------------------


def test_a_reload_keeps_the_balance(tmp_path: Path, data: Path) -> None:
    """A1 over a reload: the sequence goes on where it was, as long as the group stays as it is."""

    def answer(name: bytes) -> object:
        def run(sock: socket.socket) -> None:
            while read_head(sock)[0]:
                sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n" + name)

        return run

    with ExitStack() as stack:
        ports = [stack.enter_context(scripted(answer(name))) for name in (b"a", b"b", b"c")]  # type: ignore[arg-type]
        servers = ", ".join(
            f'{{ to = "127.0.0.1:{port}", weight = {weight} }}' for port, weight in zip(ports, (5, 1, 1), strict=True)
        )
        text = f'[upstream.three]\nservers = [{servers}]\n[[route]]\nmatch = "/"\nproxy = "http://three"\n'
        server = stack.enter_context(front(tmp_path / "edge", text, data=data))
        seen = b""
        for number in range(14):
            seen += server.get("/").body
            reload(server, text + f'[[route]]\nmatch = "/{number}"\nrespond = 204\n')
        assert seen == b"aabacaa" * 2


def reload(server: Server, text: str) -> None:
    """Another configuration by SIGHUP, once it is in force."""
    (server.ready_file.parent / "edge.toml").write_text(text)
    start = len(server.err.lines)
    server.signal(signal.SIGHUP)
    server.err.wait_for("info: reloaded", start)


# --- the failure drill ------------------------------------------------------------------------------------------------

KILLS = 12
CLIENTS = 4
ANSWERS = 15
"""That the one to be killed gives before it is."""


class Fleet:
    """Three servers that answer in one write; one of them is killed and started again."""

    def __init__(self) -> None:
        with ExitStack() as stack:
            self.ports = [port_of(stack.enter_context(tcp())) for _ in range(3)]
        self.processes: dict[str, subprocess.Popen[str]] = {}

    def start(self, name: str) -> None:
        """Returns once it listens."""
        port = self.ports["abc".index(name)]
        words = [sys.executable, "-I", str(UPSTREAMS / "one_write.py"), name, str(port)]
        process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        with process.stdout:
            assert process.stdout.readline() == "ready\n"
        self.processes[name] = process

    def kill(self, name: str) -> None:
        """SIGKILL: no word of farewell on any connection."""
        self.processes[name].kill()
        self.processes.pop(name).wait(PATIENCE)

    def kill_all(self) -> None:
        for name in list(self.processes):
            self.kill(name)


@pytest.fixture
def fleet() -> Iterator[Fleet]:
    fleet = Fleet()
    try:
        for name in "abc":
            fleet.start(name)
        yield fleet
    finally:
        fleet.kill_all()


class Load:
    """Clients that ask without a pause, on kept connections, with and without bodies, until they are told to stop."""

    def __init__(self, server: Server) -> None:
        self.wrong: list[object] = []
        self.names: Counter[str] = Counter()
        self._changed = threading.Condition()
        self._over = False
        self._server = server
        self._threads = [threading.Thread(target=self._run, args=(number,)) for number in range(CLIENTS)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over = True
        for thread in self._threads:
            thread.join(PATIENCE)

    def _run(self, number: int) -> None:
        kinds = itertools.cycle([("GET", None), ("PUT", b"x" * 1000), ("DELETE", None), ("PUT", b"y" * 200_000)])
        try:
            with closing(self._server.connect()) as connection:
                for method, body in kinds:
                    if self._over:
                        return
                    self._note(exchange(connection, method, f"/{number}", body), len(body or b""))
        except (OSError, http.client.HTTPException) as error:
            self.wrong.append(error)

    def _note(self, reply: Reply, size: int) -> None:
        if (reply.status, reply.body) != (200, b"%d bytes" % size):
            self.wrong.append(reply)
        else:
            with self._changed:
                self.names[reply["X-Name"]] += 1
                self._changed.notify_all()

    def wait_for(self, name: str, count: int) -> None:
        """Until this server has given so many more answers."""
        goal = self.names[name] + count
        with self._changed:
            assert self._changed.wait_for(lambda: self.names[name] >= goal or bool(self.wrong), PATIENCE)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("reloads", [False, True], ids=["killed", "killed-and-reloaded"])
def test_no_idempotent_request_fails(tmp_path: Path, data: Path, fleet: Fleet, reloads: bool) -> None:
    """A15 to A21 together, before processes that are killed under load; in the second run every kill meets a reload."""
    servers = ", ".join(f'"127.0.0.1:{port}"' for port in fleet.ports)
    text = (
        f'[upstream.fleet]\nfail_timeout = "20ms"\nservers = [{servers}]\n'
        '[[route]]\nmatch = "/"\nproxy = "http://fleet"\n[server]\naccess_log = "off"\n'
    )
    with front(tmp_path / "edge", text, data=data) as server:
        with Load(server) as load:
            for number in range(KILLS):
                load.wait_for("c", ANSWERS)
                fleet.kill("c")
                if reloads:
                    reload(server, text + f'[[route]]\nmatch = "/new/{number}"\nrespond = 204\n')
                load.wait_for("a", ANSWERS)
                fleet.start("c")
                if load.wrong:
                    break
            load.wait_for("c", ANSWERS)
        assert load.wrong == []
        assert sum(load.names.values()) > KILLS * 2 * ANSWERS
        server.claimed.append("127.0.0.1:")  # each attempt that failed may stand in the log
