"""What a test has of a running edge: where it is, who trusts it, what it did. For tests that are not asynchronous.

    with Edge(app=app) as site:
        httpx2.get(site.url("/login"), verify=site.ssl_context)
        site.get("/login").status                 without any client library
        site.log[-1].status, site.attempts, site.statistics()

`_Site` is what the asynchronous one (`async_site.py`) has too.
"""

from __future__ import annotations

import http.client
import socket
import ssl
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from edgestack.testing.authority import the_authority
from edgestack.testing.dialogue import RESET, Dialogue
from edgestack.testing.har import Recording
from edgestack.testing.layout import Wanted
from edgestack.testing.loop_thread import Loop
from edgestack.testing.messages import Replies, Reply, request_bytes
from edgestack.testing.records import Attempted, Record
from edgestack.testing.running import Running
from edgestack.testing.scripted import ScriptedUpstream

__all__ = ["Body", "CommonSite", "Fields", "Site", "asked"]

PATIENCE = 10.0
"""Seconds of silence after which a client of the test gives up."""
SILENT = 0.05
"""Seconds after which a server counts as silent, where a dialogue says that it is."""
LARGE = 64 * 1024
"""Bytes of a request from which on its head is sent first."""
HESITATION = 0.02
"""Seconds that a server gets to refuse a large body by its head; on the loopback it needs one or two thousandths."""
STRANGE_NAME = (
    "the certificate of a test edge is for localhost, 127.0.0.1, ::1 and the names of the configuration's sites"
)
LISTENING = ("bind", "redirect_http", "tls")
"""Options that a reload keeps: a test that serves in clear text goes on doing so."""
Fields = Mapping[str, str] | Iterable[tuple[str, str]]
Body = bytes | str | None


class CommonSite(ABC):
    """What every running edge has."""

    def __init__(self, running: Running) -> None:
        self._running = running
        self._recordings = ExitStack()

    def url(self, path: str = "/", *, host: str = "localhost") -> str:
        """An absolute URL: of the first listener that is no redirect.

        :param path: with its query.
        :param host: a name that the certificate bears: localhost, 127.0.0.1, and those of the configuration's sites.
        """
        return self._running.url(path, host)

    def redirect_url(self, path: str = "/", *, host: str = "localhost") -> str:
        """An absolute URL of the listener that redirects to https.

        :raises ValueError: there is none.
        """
        return self._running.redirect_url(path, host)

    @property
    def port(self) -> int:
        """The port of the first listener that is no redirect."""
        return self._running.place("/")[2]

    @property
    def ssl_context(self) -> ssl.SSLContext:
        """For clients: trusts the test authority and nobody else. All sites share it: do not change it."""
        return the_authority().trust

    @property
    def ca_pem(self) -> str:
        """The authority's certificate, PEM."""
        return the_authority().pem.decode()

    @property
    def ca_file(self) -> Path:
        """The same as a file, for `requests`, `curl --cacert`, `REQUESTS_CA_BUNDLE`. It goes with the process."""
        return the_authority().file

    def browser_args(self) -> list[str]:
        """Switches for Chromium (Playwright's `args`, Selenium's `add_argument`): it accepts this certificate, and
        finds the names of the configuration's sites here."""
        hosts = self._running.layout.hosts
        rules = ", ".join(f"MAP {host} 127.0.0.1" for host in hosts)
        (cert, _), *_ = self._running.config.tls.certificates
        pinned = f"--ignore-certificate-errors-spki-list={the_authority().spki(cert)}"
        return [pinned, *([f"--host-resolver-rules={rules}"] if rules else [])]

    @property
    def log(self) -> list[Record]:
        """The access log so far, the oldest first: what was answered to whoever asks has its record."""
        self._rest()
        return list(self._running.records.lines)

    @property
    def attempts(self) -> list[Attempted]:
        """Each try at an upstream, by name, and the status that came of it: `[("a", 503), ("b", 200)]`."""
        return [attempt for record in self.log for attempt in record.attempts]

    def exchanges(self) -> str:
        """The last exchanges as they passed, byte for byte, for a report."""
        self._rest()  # a client may have its answer before that is written down
        return "\n".join(map(str, self._running.tap.turns()[-LAST_SHOWN:]))

    def record(self, path: str | Path) -> Recording:
        """Record every exchange from now on, as HAR 1.2; written when the site ends, or the `with` block around this.

        :param path: the file.
        """
        return self._recordings.enter_context(Recording(Path(path), self._running, self._rest))

    @abstractmethod
    def _rest(self) -> None:
        """Wait until what has passed is written down."""

    def _end_recordings(self) -> None:
        self._recordings.close()


LAST_SHOWN = 8
"""Turns that a report shows: a test that fails has usually just made the exchange that matters."""


class Site(CommonSite):
    """A running edge on real sockets, in a thread of its own. Its methods may be called from any thread."""

    def __init__(self, running: Running, loop: Loop, clients: ExitStack) -> None:
        """:param clients: closed when the site ends."""
        super().__init__(running)
        self._loop = loop
        self._clients = clients

    # -- asking --------------------------------------------------------------------------------------------------------

    def request(self, method: str, url: str, *, fields: Fields = (), body: Body = None) -> Reply:
        """One exchange on a connection of its own, byte for byte as given: no redirect is followed.

        :param url: a path; or an absolute URL, whose host is asked for, here.
        :raises OSError: the connection broke.
        :raises TimeoutError: nothing came for ten seconds.
        """
        authority, name, port, secure, target = self._running.place(url)
        with self._connected(name, port, secure) as sock:
            data, reader = asked(method, target, authority, fields, body)
            _send(sock, data, reader)
            return _replied(sock, reader)

    def get(self, url: str = "/", *, fields: Fields = ()) -> Reply:
        """`request("GET", url)`."""
        return self.request("GET", url, fields=fields)

    def post(self, url: str = "/", *, body: Body = b"", fields: Fields = ()) -> Reply:
        """`request("POST", url)`."""
        return self.request("POST", url, fields=fields, body=body)

    def talk(self, dialogue: str | Dialogue) -> None:
        """Hold a dialogue on a connection of its own (`Dialogue`).

        :raises DialogueError: the server said something else.
        """
        _, name, port, secure, _ = self._running.place("/")
        with self._connected(name, port, secure) as sock:
            _hold(sock, dialogue if isinstance(dialogue, Dialogue) else Dialogue(dialogue))

    def connect(self) -> socket.socket:
        """A connected socket, TLS where the edge speaks it; closed when the site ends."""
        _, name, port, secure, _ = self._running.place("/")
        return self._clients.enter_context(self._connected(name, port, secure))

    def _connected(self, name: str, port: int, secure: bool) -> socket.socket:
        sock = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        if not secure:
            return sock
        try:
            return self.ssl_context.wrap_socket(sock, server_hostname=name)
        except BaseException as error:
            sock.close()
            if isinstance(error, ssl.SSLCertVerificationError):
                error.add_note(STRANGE_NAME)
            raise

    def client(self) -> Any:
        """A client that trusts this site: `httpx2.Client` with the site's URL as its base where httpx2 is installed,
        else `http.client`'s connection. Closed when the site ends."""
        try:
            import httpx2
        except ImportError:
            return self.plain_client()
        verify: Any = self.ssl_context
        made = httpx2.Client(base_url=self.url(""), verify=verify, trust_env=False)
        self._clients.callback(made.close)
        return made

    def plain_client(self) -> http.client.HTTPConnection:
        """A connection of the standard library; closed when the site ends."""
        _, name, port, secure, _ = self._running.place("/")
        made = (
            http.client.HTTPSConnection(name, port, timeout=PATIENCE, context=self.ssl_context)
            if secure else http.client.HTTPConnection(name, port, timeout=PATIENCE)
        )  # fmt: skip
        self._clients.callback(made.close)
        return made

    # -- the edge itself -----------------------------------------------------------------------------------------------

    def statistics(self) -> dict[str, Any]:
        """Counters (`accepted`, `refused`, `failures`, `exchanges`), open `connections`, and `upstreams`: by group and
        by the name of the server, what is known of it."""
        self._rest()
        return self._loop.call(self._running.statistics)

    def reload(self, config: str | Path | None = None, *, text: str = "", **options: Any) -> None:
        """Serve another configuration from now on, as `edgestack reload` does; arguments are those of `Edge`. Where it
        listens stays, unless `bind`, `redirect_http` or `tls` say something else.

        :raises ConfigErrors: it makes no sense; nothing has changed.
        """
        self._loop.call(self._running.adopt, other(self._running.wanted, config, text, options))

    def _rest(self) -> None:
        if not self._running.over:
            self._loop.call(lambda: None)  # what an answer left to be done on the loop in the same turn is done then
            self._running.rest()

    @cached_property
    def upstreams(self) -> dict[str, ScriptedUpstream]:
        """Scripted upstreams by name."""
        return {one.name: one for one in self._running.layout.upstreams.values()}


def other(wanted: Wanted, config: str | Path | None, text: str, options: dict[str, Any]) -> Wanted:
    """What a reload asks for: without a word, the same again; without a file or a text, the one of before. What was
    replaced stays so, and so does where it listens, unless something else is said."""
    if config is None and not text and not options:
        return wanted
    options = {**{name: value for name, value in wanted.options.items() if name in LISTENING}, **options}
    replaced = options.pop("replace", wanted.replaced)
    file = Path(config) if config is not None else None
    if file is None and not text:
        file, text = wanted.file, wanted.text
    return replace(wanted, file=file, text=text, options=options, replaced=replaced)


def asked(method: str, target: str, authority: str, fields: Fields, body: Body) -> tuple[bytes, Replies]:
    """A request's bytes, and the reader of its answer."""
    pairs = list(fields.items()) if isinstance(fields, Mapping) else list(fields)
    upgrade = any(name.lower() == "upgrade" for name, _ in pairs)
    if not upgrade and not any(name.lower() == "connection" for name, _ in pairs):
        pairs.append(("Connection", "close"))
    reader = Replies()
    reader.expect(method, upgrade=upgrade)
    data = body.encode() if isinstance(body, str) else body
    return request_bytes(method, target, authority, pairs, data), reader


def _send(sock: socket.socket, data: bytes, reader: Replies) -> None:
    """Send a request; what is large in two steps, since a server may refuse it by its head, and close (RFC 9112 §9.6).

    That a server takes no more is no error here: it has answered, or else its missing answer is one.
    """
    end = len(data) if len(data) < LARGE else data.index(b"\r\n\r\n") + 4
    try:
        sock.sendall(data[:end])
        early = _at_once(sock, HESITATION) if end < len(data) else b""
        if early:
            reader.feed(early)
        else:
            sock.sendall(data[end:])
    except (BrokenPipeError, ConnectionResetError, ssl.SSLEOFError):
        return


def _replied(sock: socket.socket, reader: Replies) -> Reply:
    while (reply := reader.next()) is None:
        reader.feed(_received(sock))
    return reply


def _received(sock: socket.socket) -> bytes:
    try:
        return sock.recv(1 << 16)
    except ssl.SSLEOFError:
        return b""  # the end, without close_notify


def _hold(sock: socket.socket, dialogue: Dialogue) -> None:
    """Hold a dialogue on a socket."""
    talk = dialogue.hold()
    answer: Any = None
    with suppress(StopIteration):
        while True:
            wish, what = talk.send(answer)
            answer = None
            if wish == "send":
                sock.sendall(what)
            elif wish == "eof":
                socket.socket.shutdown(sock, socket.SHUT_WR)
            elif wish == "pass":
                raise ValueError("time passes only where a test holds the clock: use edge_memory")
            elif wish == "silent":
                answer = _at_once(sock, SILENT)
            else:
                answer = _heard(sock, talk)


def _heard(sock: socket.socket, talk: Any) -> Any:
    try:
        return _received(sock)
    except ConnectionResetError:
        return RESET
    except TimeoutError as error:
        return talk.throw(error)


def _at_once(sock: socket.socket, seconds: float) -> bytes:
    """What comes within so little time."""
    sock.settimeout(seconds)
    try:
        return sock.recv(1 << 16)
    except (TimeoutError, ssl.SSLWantReadError):
        return b""
    finally:
        sock.settimeout(PATIENCE)
