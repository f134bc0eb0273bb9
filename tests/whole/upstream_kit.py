"""What stands behind the proxy in these tests: real programs in processes of their own, and sockets with a script.

    with tcp() as listener, gunicorn(listener): …        listens before the program runs: nobody waits for a port
    with scripted(answer) as port: …                     `answer(sock)` is run for each connection, on a thread

Ports are never guessed: a test binds port 0 and the program inherits the socket. Whatever is started is stopped, and a
script that failed fails the test.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import trustme
from server_kit import APPS, FRAMEWORKS, PATIENCE, Server, running

__all__ = [
    "UPSTREAMS", "Keys", "front", "gunicorn", "needs_ipv6", "needs_nginx", "nginx", "port_of", "program", "read_head",
    "scripted", "tcp", "unix", "websocket_echo",
]  # fmt: skip

UPSTREAMS = Path(__file__).parent / "upstreams"
NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
needs_nginx = pytest.mark.skipif(NGINX is None, reason="nginx is not installed: nothing to proxy to")


def _ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


needs_ipv6 = pytest.mark.skipif(not _ipv6(), reason="this machine has no IPv6 loopback")


# --- where they listen ------------------------------------------------------------------------------------------------


@contextmanager
def tcp(host: str = "127.0.0.1") -> Iterator[socket.socket]:
    """A listening socket on a free port."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, 0), family=family, backlog=128) as listener:
        yield listener


@contextmanager
def unix(path: Path) -> Iterator[socket.socket]:
    """A listening unix socket."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen(128)
        yield listener


def port_of(listener: socket.socket) -> int:
    return int(listener.getsockname()[1])


# --- programs ---------------------------------------------------------------------------------------------------------


@contextmanager
def program(
    *words: str, listener: socket.socket | None = None, env: Mapping[str, str] | None = None, cwd: Path = APPS
) -> Iterator[subprocess.Popen[str]]:
    """A process for the length of a block. It gets SIGTERM at the end, and SIGKILL when that is not enough."""
    process = subprocess.Popen(
        words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=cwd,
        env={**os.environ, **(env or {})}, pass_fds=() if listener is None else (listener.fileno(),),
    )  # fmt: skip
    said: list[str] = []
    reader = threading.Thread(target=lambda: said.extend(process.stdout or ()), daemon=True)
    reader.start()
    try:
        yield process
        assert process.poll() is None, f"{words[0]} left with {process.returncode}: {''.join(said)}"
    finally:
        process.terminate()
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        reader.join(PATIENCE)
        assert process.stdout is not None
        process.stdout.close()


@contextmanager
def gunicorn(listener: socket.socket, *words: str, env: Mapping[str, str] | None = None) -> Iterator[None]:
    """gunicorn with the bare application; it keeps connections."""
    pytest.importorskip("gunicorn")
    with program(
        sys.executable, "-m", "gunicorn", "--bind", f"fd://{listener.fileno()}", "--worker-class", "gthread",
        "--threads", "8", "--keep-alive", "75", "--no-control-socket", "--graceful-timeout", "1", *words,
        FRAMEWORKS["bare"], listener=listener, env=env,
    ):  # fmt: skip
        yield


NGINX_CONF = """\
daemon off;
worker_processes 1;
{user}
pid {folder}/nginx.pid;
error_log stderr;
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_max_body_size 100m;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port};
        root {folder}/site;
        location /teapot {{ return 418 short; }}
        location /nothing {{ return 204; }}
        location = /moved {{ return 301 /moved/to; }}
    }}
}}
"""


@contextmanager
def nginx(listener: socket.socket, folder: Path) -> Iterator[None]:
    """nginx with the files in `folder`/site."""
    assert NGINX
    listener.setblocking(False)
    user = "user root;" if os.geteuid() == 0 else ""  # or its worker could not read our folder
    conf = folder / "nginx.conf"
    conf.write_text(NGINX_CONF.format(folder=folder, port=port_of(listener), user=user))
    # NGINX names sockets that a binary being replaced hands on; so it takes ours in place of a port that it would bind.
    env = {"NGINX": f"{listener.fileno()};"}
    with program(NGINX, "-e", "stderr", "-p", str(folder), "-c", str(conf), listener=listener, env=env):
        yield


@contextmanager
def websocket_echo(listener: socket.socket, *certificate: str) -> Iterator[None]:
    """`upstreams/echo.py`."""
    words = (sys.executable, str(UPSTREAMS / "echo.py"), str(listener.fileno()), *certificate)
    with program(*words, listener=listener):
        yield


# --- sockets with a script --------------------------------------------------------------------------------------------


@contextmanager
def scripted(answer: Callable[[socket.socket], None]) -> Iterator[int]:
    """A port of 127.0.0.1 where each connection is `answer`ed on a thread of its own, and closed afterwards."""
    failed: list[BaseException] = []
    threads: list[threading.Thread] = []
    accepted: list[socket.socket] = []

    def run(sock: socket.socket) -> None:
        with sock:
            try:
                answer(sock)
            except Exception as error:
                failed.append(error)

    def accept(listener: socket.socket) -> None:
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            sock.settimeout(PATIENCE)
            accepted.append(sock)
            threads.append(threading.Thread(target=run, args=(sock,)))
            threads[-1].start()

    with ExitStack() as stack:
        listener = stack.enter_context(tcp())
        acceptor = threading.Thread(target=accept, args=(listener,))
        acceptor.start()
        try:
            yield port_of(listener)
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            acceptor.join(PATIENCE)
            for sock in accepted:
                if sock.fileno() >= 0:
                    try:
                        sock.shutdown(socket.SHUT_RDWR)
                    except OSError:
                        pass  # it has ended already
            for thread in threads:
                thread.join(PATIENCE)
    assert not failed, failed


def read_head(sock: socket.socket) -> tuple[bytes, bytes]:
    """A request's head, and what came with it; (b"", b"") when the client has closed."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = sock.recv(1 << 16)
        if not more:
            return b"", b""
        data += more
    head, _, rest = data.partition(b"\r\n\r\n")
    return head, rest


# --- the edge before them ---------------------------------------------------------------------------------------------


@contextmanager
def front(folder: Path, text: str, *words: str, data: Path | None = None) -> Iterator[Server]:
    """An edge with this configuration, on plain connections unless `words` say otherwise."""
    folder.mkdir(exist_ok=True)
    file = folder / "edge.toml"
    file.write_text(text)
    plain = () if "--tls" in words else ("--no-tls",)
    with running(folder, "-c", str(file), *plain, *words, data=data, cwd=folder) as server:
        yield server


class Keys:
    """A private authority, and certificates by it, as files."""

    def __init__(self, folder: Path) -> None:
        self.authority = trustme.CA()
        self.folder = folder
        self.ca = folder / "ca.pem"
        self.authority.cert_pem.write_to_path(str(self.ca))

    def issue(self, *names: str) -> tuple[str, str]:
        """A certificate with its chain and a key, as paths."""
        issued = self.authority.issue_cert(*names)
        chain, key = self.folder / f"{names[0]}.pem", self.folder / f"{names[0]}.key"
        chain.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        issued.private_key_pem.write_to_path(str(key))
        return str(chain), str(key)
