"""Requests like a browser's, and two ways to ask them: carefully (to check an answer) and lightly (to time it).

Knows nothing of servers and processes. The careful way reads with the standard library's http.client and compares
status, Content-Length and every byte of the body; the light way finds the end of the answer and looks no further.
"""

from __future__ import annotations

import gzip
import hashlib
import http.client
import socket
import ssl
from pathlib import Path

__all__ = ["Asker", "answer_problem", "client_tls", "request", "variants"]

FIELDS = (
    ("Connection", "keep-alive"),
    ("sec-ch-ua", '"Chromium";v="140", "Not=A?Brand";v="24", "Google Chrome";v="140"'),
    ("sec-ch-ua-mobile", "?0"),
    ("sec-ch-ua-platform", '"Linux"'),
    (
        "User-Agent",
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36",
    ),
    ("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8"),
    ("Sec-Fetch-Site", "same-origin"),
    ("Sec-Fetch-Mode", "navigate"),
    ("Sec-Fetch-Dest", "document"),
    ("Accept-Encoding", "gzip, deflate, br, zstd"),
    ("Accept-Language", "en-GB,en;q=0.9,de;q=0.8"),
)
"""With Host and Cookie: the thirteen fields that Chromium sends with a click, in its order."""
VARIANTS = 1000


def request(address: tuple[str, int], path: str, variant: int = 0, accept: str = "") -> bytes:
    """A GET for `path`; `variant` changes the query and the cookie, as visitors do, `accept` Accept-Encoding."""
    session = hashlib.sha256(str(variant).encode()).hexdigest()[:32]
    query = "" if "?" in path else f"?v={variant:04d}"
    lines = [f"GET {path}{query} HTTP/1.1", f"Host: {address[0]}:{address[1]}"]
    lines += [f"{name}: {accept if accept and name == 'Accept-Encoding' else value}" for name, value in FIELDS]
    lines += [f"Cookie: session={session}; theme=dark; visit={variant}", "", ""]
    return "\r\n".join(lines).encode("latin-1")


def variants(address: tuple[str, int], path: str, accept: str = "") -> list[bytes]:
    """A thousand of them."""
    return [request(address, path, number, accept) for number in range(VARIANTS)]


def client_tls(authority: Path) -> ssl.SSLContext:
    """A client that trusts the bench's own authority and no other."""
    return ssl.create_default_context(cafile=str(authority))


def connect(address: tuple[str, int], tls: ssl.SSLContext | None, timeout: float) -> socket.socket:
    """A blocking connection without Nagle's delay."""
    sock = socket.create_connection(address, timeout)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return tls.wrap_socket(sock, server_hostname=address[0]) if tls else sock


def answer_problem(
    address: tuple[str, int], path: str, expected: bytes, tls: ssl.SSLContext | None, tries: int, accept: str = ""
) -> tuple[str, str]:
    """Ask `tries` variants on one kept connection.

    :param accept: the one content coding that is asked for, and must come: "gzip"; "" for none.

    :returns: what is wrong ("" when nothing is), and the TLS version and cipher ("" on plain).
    """
    with connect(address, tls, 10.0) as sock:
        spoken = " ".join(str(part) for part in (sock.cipher() or ())[:2]) if isinstance(sock, ssl.SSLSocket) else ""
        for number in range(tries):
            sock.sendall(request(address, path, number * VARIANTS // tries, accept))
            response = http.client.HTTPResponse(sock)
            try:
                response.begin()
                body = response.read()
            except (http.client.HTTPException, OSError) as error:
                return f"request {number}: {type(error).__name__}: {error}", spoken
            problem = coded_difference(response, body, expected) if accept else difference(response, body, expected)
            if problem:
                return f"request {number}: {problem}", spoken
    return "", spoken


def difference(response: http.client.HTTPResponse, body: bytes, expected: bytes) -> str:
    """How this answer differs from the one that every server must give."""
    if response.status != 200:
        return f"status {response.status}"
    if response.getheader("Content-Length") != str(len(expected)):
        return f"Content-Length {response.getheader('Content-Length')}, expected {len(expected)}"
    if response.getheader("Content-Encoding"):
        return f"Content-Encoding {response.getheader('Content-Encoding')}"
    if body != expected:
        return f"a body of {len(body)} bytes that differs from the expected {len(expected)}"
    return "the connection is not kept" if response.will_close else ""


def coded_difference(response: http.client.HTTPResponse, body: bytes, expected: bytes) -> str:
    """The same for an answer in gzip; how its length is told is each server's own."""
    if response.status != 200:
        return f"status {response.status}"
    if response.getheader("Content-Encoding") != "gzip":
        return f"Content-Encoding {response.getheader('Content-Encoding')}"
    if gzip.decompress(body) != expected:
        return "a body that is another one when it is decoded"
    return "the connection is not kept" if response.will_close else ""


class Asker:
    """A connection that asks one request after another and spends little itself."""

    def __init__(self, address: tuple[str, int], tls: ssl.SSLContext | None = None, timeout: float = 30.0) -> None:
        """
        :param timeout: seconds that any single operation may take; beyond it TimeoutError.
        """
        self.sock = connect(address, tls, timeout)
        self.last = False
        """The server has said that it closes after the latest answer."""

    def ask(self, message: bytes) -> bytes:
        """Send `message` and read one answer framed by Content-Length; gives its body.

        :raises RuntimeError: the status is not 200, or the connection ended.
        """
        self.sock.sendall(message)
        data = self.sock.recv(65536)
        while (end := data.find(b"\r\n\r\n")) < 0:
            data += self.more()
        head = data[:end].lower()
        if not head.startswith(b"http/1.1 200 "):
            raise RuntimeError(f"unexpected answer {head[:60]!r}")
        self.last = b"\r\nconnection: close" in head
        total = end + 4 + int(head.partition(b"\r\ncontent-length:")[2].partition(b"\r\n")[0])
        while len(data) < total:
            data += self.more()
        return data[end + 4 :]

    def more(self) -> bytes:
        """The next bytes."""
        data = self.sock.recv(262144)
        if not data:
            raise RuntimeError("the server closed the connection in the middle of an answer")
        return data

    def close(self) -> None:
        """Close the connection."""
        self.sock.close()
