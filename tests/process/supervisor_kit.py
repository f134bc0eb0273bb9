"""A real supervisor with real workers, what it says, and clients that never stop asking it; for tests of processes.

Nothing is slept for: a server is waited for until it says something, or until its control socket has answered; clients
count answers. Each wait has a bound.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from urllib.parse import urlsplit

from edgestack.process.control import ask, sockets_here

__all__ = ["APPLICATION", "LONG", "PATIENCE", "Load", "Supervised", "get", "loaded"]

ROOT = Path(__file__).parents[2]
GAP = 0.2
"""Seconds from one request of a connection to the next, beyond which a client is late: then it may find the connection
closed (RFC 9112 §9.3.1), and asks again. The drain lets idle connections stand for 0.25 s."""
PATIENCE = 30.0
"""Seconds that one step may take on a busy machine before the test fails."""
LONG = bool(os.environ.get("EDGESTACK_LONG"))

APPLICATION = """
import os, signal, threading

def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/fork" and not os.fork():
        signal.pause()
    if path == "/hang":
        open("hangs", "a").write("x")
        threading.Event().wait()
    if path == "/slow":
        open("begun", "w").close()
        with open("go") as pipe:      # a named pipe: waits for the test
            pipe.read()
    body = f"{os.getpid()} {environ['wsgi.multiprocess']} VERSION".encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
"""

HEAD = '[server]\nbind = "127.0.0.1:0"\ntls = false\naccess_log = "off"\nready_file = "ready.json"\n'


class Supervised:
    """`edgestack serve` in a folder of its own."""

    def __init__(
        self,
        folder: Path,
        keys: str,
        routes: str = '[[route]]\napp = "web:app"\n',
        within: tuple[str, ...] = (),
        **environ: str,
    ) -> None:
        """
        :param keys: of `[server]`, beyond HEAD's.
        :param within: a command that runs it.
        """
        self.folder = folder
        self.routes = routes
        self.write(keys)
        if not (folder / "web.py").exists():
            (folder / "web.py").write_text(APPLICATION)
        self.environ = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("EDGESTACK_", "LISTEN_"))},
            "PYTHONPATH": str(ROOT), "HOME": str(folder), "XDG_DATA_HOME": str(folder), "NO_COLOR": "1", **environ,
        }  # fmt: skip
        self.said: list[str] = []
        self._told = threading.Condition()
        self.process = subprocess.Popen(
            [*within, sys.executable, "-m", "edgestack", "serve"],
            cwd=folder,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def write(self, keys: str) -> None:
        """The configuration file."""
        (self.folder / "edgestack.toml").write_text(f"{HEAD}{keys}\n{self.routes}")

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            with self._told:
                self.said.append(line)
                self._told.notify_all()

    def until(self, text: str, times: int = 1) -> None:
        """Wait for it on standard error."""
        with self._told:
            there = self._told.wait_for(lambda: "".join(self.said).count(text) >= times, PATIENCE)
        assert there, f"never said {text!r} {times} times: {''.join(self.said)}"

    def ready(self, times: int = 1) -> Supervised:
        self.until("Ctrl-C stops.", times)
        return self

    @property
    def port(self) -> int:
        port = urlsplit(json.loads((self.folder / "ready.json").read_text())[0]).port
        assert port
        return port

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def order(self, **request: object) -> dict[str, object]:
        """What the control socket answers; it may be that of an upgrade's new supervisor."""
        pid = request.pop("to", self.process.pid)
        path = next(path for path in sockets_here(self.environ) if path.name == f"{pid}.sock")
        return ask(path, dict(request), PATIENCE)

    def workers(self, state: str = "serving") -> list[int]:
        """The process ids of those in a state."""
        found = self.order(verb="status")["workers"]
        assert isinstance(found, list)
        return [one["pid"] for one in found if one["state"] == state]

    def until_serving(self, count: int, but: int = 0) -> list[int]:
        """Wait until so many serve, and nobody else is there.

        :param but: this one not among them.
        """
        ticks = threading.Event()
        for _ in range(int(PATIENCE * 20)):
            found = self.order(verb="status")["workers"]
            assert isinstance(found, list)
            pids = [one["pid"] for one in found if one["state"] == "serving"]
            if len(pids) == len(found) == count and but not in pids:
                return pids
            ticks.wait(0.05)  # between two looks at a process that tells nobody
        raise AssertionError(f"never {count} workers: {''.join(self.said)}")

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.send(number)
        return self.process.wait(PATIENCE)

    def __enter__(self) -> Supervised:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Nobody of its session outlives the test."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass  # all have ended
        self.process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        assert self.process.stderr is not None
        self.process.stderr.close()


def get(port: int, path: str = "/", timeout: float = PATIENCE) -> tuple[int, bytes]:
    """Status and body."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        connection.request("GET", path)
        with connection.getresponse() as response:
            return response.status, response.read()
    finally:
        connection.close()


class Load:
    """Clients that keep their connections, and ask again as soon as they are answered."""

    def __init__(self, port: int, clients: int) -> None:
        self.answered = [0] * clients
        self.failures: list[str] = []
        self.late = 0
        """Requests that found their connection closed, from clients that the machine had held up."""
        self._port = port
        self._over = threading.Event()
        self._told = threading.Condition()
        self._threads = [threading.Thread(target=self._ask, args=(number,), daemon=True) for number in range(clients)]

    def _ask(self, number: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=PATIENCE)
        asked = time.monotonic()
        while not self._over.is_set():
            before = asked
            try:
                connection.request("GET", "/")
                asked = time.monotonic()
                with connection.getresponse() as response:
                    whole = response.read()
                    if response.status != 200 or not whole:
                        self.failures.append(f"status {response.status}")
            except (ConnectionError, http.client.HTTPException) as error:
                if asked - before < GAP:
                    self.failures.append(repr(error))
                else:
                    self.late += 1
                connection.close()
            except OSError as error:
                self.failures.append(repr(error))
                connection.close()
            self.answered[number] += 1
            with self._told:
                self._told.notify_all()
        connection.close()

    def more(self, requests: int = 20) -> None:
        """Wait until every client has asked so many times more."""
        wanted = [answered + requests for answered in self.answered]

        def enough() -> bool:
            return all(answered >= least for answered, least in zip(self.answered, wanted, strict=True))

        with self._told:
            assert self._told.wait_for(enough, PATIENCE), f"the clients wait: {self.failures[-3:]}"


@contextmanager
def loaded(port: int, clients: int = 4, tell: Callable[[str], None] = print) -> Iterator[Load]:
    """Ask all the time, within; at the end the failures are counted and told."""
    load = Load(port, clients)
    for thread in load._threads:
        thread.start()
    try:
        load.more()
        yield load
        load.more()
    finally:
        load._over.set()
        for thread in load._threads:
            thread.join(PATIENCE)
        tell(f"{sum(load.answered)} requests, {len(load.failures)} failed, {load.late} came too late")
