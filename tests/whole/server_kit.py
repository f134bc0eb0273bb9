"""The whole product as its users have it: `edgestack serve` in a process of its own, spoken to over real sockets.

    with running(folder, "--app", "bare:app") as server:
        server.get("/page/x").text

A server binds port 0, is told where to write its ready file, and is ready when its banner has come; nothing here
sleeps. At the end it gets SIGTERM and must leave with status 0, having said nothing on standard error but its banner
and records of the error log; a record that warns must have been claimed by the test that caused it (`logged`).
"""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

import pytest

__all__ = ["APPS", "FRAMEWORKS", "PATIENCE", "ROOT", "Reply", "Server", "environment", "exchange", "needs", "running"]

FRAMEWORKS = {"bare": "bare:app", "flask": "flask_app:app", "django": "django_app:app"}
"""The applications in `apps/` that do the same things, as `--app` names them."""
APPS = Path(__file__).parent / "apps"
ROOT = Path(__file__).parents[2]
PATIENCE = 20.0
"""Seconds for whatever should happen at once; a slow machine needs some, and a failed test ends all the same."""
LAST_LINE = "Ctrl-C stops."
RECORD = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [+-]\d{4} (\w+): ")
QUIET_LEVELS = ("debug", "info")


class Told:
    """What a process says on one pipe, line by line, from the moment it says it."""

    def __init__(self, pipe: IO[str]) -> None:
        self.lines: list[str] = []
        self.ended = False
        self._changed = threading.Condition()
        self._pipe = pipe
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        with self._pipe:
            for line in self._pipe:
                with self._changed:
                    self.lines.append(line.rstrip("\n"))
                    self._changed.notify_all()
        with self._changed:
            self.ended = True
            self._changed.notify_all()

    def wait_for(self, wanted: str | Callable[[str], bool], start: int = 0) -> str:
        """The first line from number `start` on that contains the text, or of which the function is true."""
        fits = (lambda line: wanted in line) if isinstance(wanted, str) else wanted
        found: list[str] = []

        def here() -> bool:
            found.extend(line for line in self.lines[start:] if fits(line))
            return bool(found) or self.ended

        with self._changed:
            self._changed.wait_for(here, PATIENCE)
        assert found, f"never said {wanted!r}: {self.lines}"
        return found[0]

    def wait_for_end(self) -> list[str]:
        """All of it, once nobody can add to it."""
        self._reader.join(PATIENCE)
        assert self.ended
        return self.lines


@dataclass(frozen=True)
class Reply:
    """An answer, read to its end."""

    status: int
    fields: list[tuple[str, str]]
    body: bytes
    reason: str = ""
    version: int = 11

    @property
    def text(self) -> str:
        return self.body.decode()

    def json(self) -> dict[str, object]:
        value = json.loads(self.body)
        assert isinstance(value, dict)
        return value

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.fields if key.lower() == name.lower()]

    def __getitem__(self, name: str) -> str:
        """The value of a field that must be there exactly once."""
        (value,) = self.all(name)
        return value


def needs(library: str) -> None:
    """Skip where it is not installed. It is not imported here: eventlet changes ssl and fork for a whole process."""
    if find_spec(library) is None:
        pytest.skip(f"{library} is not installed")


def environment(data: Path, extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """What a server finds in its environment: a home of its own, so that nobody's certificates are touched."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("EDGESTACK_", "LISTEN_", "COV_"))}
    own = {"HOME": str(data), "XDG_DATA_HOME": str(data), "PYTHONWARNINGS": "always::ResourceWarning", "TERM": "dumb"}
    return kept | own | dict(extra or {})


@dataclass
class Server:
    """A serving process, and a client for it."""

    process: subprocess.Popen[str]
    out: Told
    err: Told
    ready_file: Path
    ca: Path
    """The authority that its clients trust."""
    urls: list[str] = field(default_factory=list)
    claimed: list[str] = field(default_factory=list)
    crashes: bool = False
    """A process of it is brought down, and writes the stacks of its threads first (faulthandler)."""

    # -- where it is ---------------------------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        """Its first address by the name that certificates have: "https://localhost:40001"."""
        parts = urlsplit(self.urls[0])
        return f"{parts.scheme}://localhost:{parts.port}"

    @property
    def port(self) -> int:
        port = urlsplit(self.urls[0]).port
        assert port
        return port

    @property
    def secure(self) -> bool:
        return self.urls[0].startswith("https")

    def tls(self) -> ssl.SSLContext:
        """Trusts the development authority and nobody else."""
        return ssl.create_default_context(cafile=str(self.ca))

    # -- talking to it -------------------------------------------------------------------------------------------------

    def connect(self) -> http.client.HTTPConnection:
        """A client of the standard library; it connects at its first request."""
        if self.secure:
            return http.client.HTTPSConnection("localhost", self.port, timeout=PATIENCE, context=self.tls())
        return http.client.HTTPConnection("localhost", self.port, timeout=PATIENCE)

    def request(
        self,
        method: str,
        target: str,
        body: bytes | Iterable[bytes] | None = None,
        fields: Mapping[str, str] | None = None,
    ) -> Reply:
        """One exchange on a connection of its own; an iterable of bytes is sent in chunks."""
        with closing(self.connect()) as connection:
            return exchange(connection, method, target, body, fields)

    def get(self, target: str, **fields: str) -> Reply:
        """GET, with fields such as `if_none_match='"x"'`."""
        return self.request("GET", target, fields={name.replace("_", "-"): value for name, value in fields.items()})

    @contextmanager
    def socket(self) -> Iterator[socket.socket]:
        """A connected socket, TLS where the server speaks it."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE) as sock:
            if not self.secure:
                yield sock
                return
            with self.tls().wrap_socket(sock, server_hostname="localhost") as secure:
                yield secure

    def raw(self, data: bytes) -> bytes:
        """Send bytes as they are; what comes back until the server closes."""
        with self.socket() as sock:
            sock.sendall(data)
            return read_to_end(sock)

    # -- what it says --------------------------------------------------------------------------------------------------

    def logged(self, reply: Reply | None, text: str) -> str:
        """Wait for the line of the error log that says `text` about this exchange, and take it as expected.

        :param reply: None where the record belongs to no answer that was received.
        """
        identity = reply["X-Request-Id"] if reply else ""
        self.claimed.append(identity or text)
        return self.err.wait_for(text)

    def records(self) -> Iterator[tuple[str, str]]:
        """Level and text of each record of the error log.

        :raises AssertionError: something was said that is neither banner nor record.
        """
        lines = self.err.lines
        banner = next((at for at, line in enumerate(lines) if LAST_LINE in line), -1)
        record: list[str] = []
        for line in [*lines[banner + 1 :], "2000-01-01 00:00:00 +0000 end: "]:
            if RECORD.match(line):
                if record:
                    yield RECORD.match(record[0])[1], "\n".join(record)  # type: ignore[index]
                record = [line]
            elif line.strip() and not self.crashes:
                assert line.startswith("    " if record else "\0"), f"neither banner nor log: {line!r}"
                record.append(line)

    # -- its end -------------------------------------------------------------------------------------------------------

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def wait(self) -> int:
        """Its exit status, once it has left."""
        status = self.process.wait(PATIENCE)
        self.out.wait_for_end()
        self.err.wait_for_end()
        return status

    def stop(self) -> None:
        """SIGTERM, and the checks that every server must pass."""
        self.signal(signal.SIGTERM)
        status = self.wait()
        surprising = [
            text
            for level, text in self.records()
            if level not in QUIET_LEVELS and not any(claim in text for claim in self.claimed)
        ]
        assert (status, surprising) == (0, []), (status, surprising)
        assert not self.ready_file.exists()


def exchange(
    connection: http.client.HTTPConnection,
    method: str,
    target: str,
    body: bytes | Iterable[bytes] | None = None,
    fields: Mapping[str, str] | None = None,
) -> Reply:
    """One exchange on a connection that may be used for more."""
    connection.request(method, target, body=body, headers=dict(fields or {}))
    with connection.getresponse() as response:
        content = response.read()
        return Reply(response.status, response.getheaders(), content, response.reason, response.version)


def read_to_end(sock: socket.socket) -> bytes:
    return b"".join(iter(lambda: sock.recv(1 << 16), b""))


def start(
    folder: Path,
    *words: str,
    data: Path | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    bind: bool = True,
    pass_fds: tuple[int, ...] = (),
    through: tuple[str, ...] = (),
    command: str = "serve",
) -> Server:
    """Start `edgestack serve` with these words, and wait until it accepts.

    :param folder: for the ready file; and for certificates, unless `data` is given.
    :param bind: listen on port 0 of 127.0.0.1; False leaves the choice to `words`.
    :param through: a command that starts the rest, such as a shell that sets a limit.
    :param command: "serve", "proxy" or "run".
    """
    data = data or folder
    ready_file = folder / "ready.json"
    address = ("--bind", "127.0.0.1:0") if bind else ()
    process = subprocess.Popen(
        [*through, sys.executable, "-m", "edgestack", command, *address, "--ready-file", str(ready_file), *words],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, encoding="utf-8", errors="surrogateescape",
        cwd=cwd or APPS, env=environment(data, {"PYTHONPATH": str(ROOT), **(env or {})}), pass_fds=pass_fds,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stderr is not None
    ca = data / "edgestack" / "edgestack-ca.pem"
    server = Server(process, Told(process.stdout), Told(process.stderr), ready_file, ca)
    try:
        server.err.wait_for(LAST_LINE)
        server.urls = json.loads(ready_file.read_text())
    except BaseException:
        end(server)
        raise
    return server


def end(server: Server) -> None:
    """Leave nothing behind, whatever happened."""
    if server.process.poll() is None:
        server.process.kill()
    server.wait()


@contextmanager
def running(folder: Path, *words: str, **options: object) -> Iterator[Server]:
    """A server for the length of a block, stopped and checked at its end (`start` has the options).

    Where the block has ended it itself, by a signal of its own, there is nothing more to check.
    """
    server = start(folder, *words, **options)  # type: ignore[arg-type]
    try:
        yield server
        if server.process.returncode is None:
            server.stop()
    finally:
        end(server)
