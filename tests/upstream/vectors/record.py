"""Record what the real nginx chooses: `python tests/upstream/vectors/record.py [nginx [name …]]` writes the *.json
beside it.

It shares no code with edgestack. nginx runs with one worker before small servers of this script that answer, break off
or hold a request, as the steps of a case say; which of them nginx asked, and in which order, stands in its own
`$upstream_addr`. A step is one of

    {"do": "fail", "servers": [...]}                     from now on these break off
    {"do": "wait", "seconds": s}                         time passes
    {"do": "ask", "key": …, "got": [...], "status": n}   a request: the servers asked, in order
    {"do": "start", "id": n, "got": address or null}     a request that is held; null: 502 at once
    {"do": "end", "id": n}                               it is answered

nginx counts time in whole seconds; the waits stay clear of its edges, so that any finer clock sees the same.
"""

from __future__ import annotations

import contextlib
import json
import random
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
PORTS = range(18001, 18010)
FRONT = 18080
UNIX = "/tmp/edgestack-vector.sock"

Step = dict[str, Any]
Case = dict[str, Any]


# --- the servers behind --------------------------------------------------------------------------------------------


class Behind:
    """All servers behind nginx: who breaks off, and what is held."""

    def __init__(self) -> None:
        self.failing: set[str] = set()
        self.arrived: dict[str, str] = {}
        self.news = threading.Condition()
        self.released: dict[str, threading.Event] = {}
        for port in PORTS:
            server = socket.create_server(("127.0.0.1", port), backlog=256)
            threading.Thread(target=self.serve, args=(server, f"127.0.0.1:{port}"), daemon=True).start()
        Path(UNIX).unlink(missing_ok=True)
        local = socket.socket(socket.AF_UNIX)
        local.bind(UNIX)
        Path(UNIX).chmod(0o666)  # nginx's worker is another user
        local.listen(256)
        threading.Thread(target=self.serve, args=(local, f"unix:{UNIX}"), daemon=True).start()

    def serve(self, server: socket.socket, name: str) -> None:
        while True:
            connection, _ = server.accept()
            threading.Thread(target=self.answer, args=(connection, name), daemon=True).start()

    def answer(self, connection: socket.socket, name: str) -> None:
        with connection:
            head = b""
            while b"\r\n\r\n" not in head:
                data = connection.recv(65536)
                if not data:
                    return
                head += data
            if name in self.failing:
                return
            held = re.match(rb"GET /hold/(\d+) ", head)
            if held:
                ticket = held[1].decode()
                with self.news:
                    self.arrived[ticket] = name
                    self.news.notify_all()
                self.released[ticket].wait(60)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")


# --- nginx ---------------------------------------------------------------------------------------------------------

CONFIG = """
daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log;
events {{ worker_connections 512; }}
http {{
    access_log off;
    client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
    uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
    set_real_ip_from 127.0.0.1; real_ip_header X-Real-IP;
    upstream group {{ {method} {servers} }}
    server {{
        listen 127.0.0.1:{front};
        location / {{ proxy_pass http://group; add_header X-Asked $upstream_addr always; }}
    }}
}}
"""


@contextlib.contextmanager
def nginx(program: str, group: Case) -> Iterator[None]:
    with tempfile.TemporaryDirectory() as folder:
        told = CONFIG.format(
            folder=folder,
            front=FRONT,
            method=group["method"],
            servers=" ".join(f"server {one};" for one in group["servers"]),
        )
        Path(folder, "conf").write_text(told, "utf-8")
        process = subprocess.Popen([program, "-p", folder, "-c", f"{folder}/conf"], stderr=subprocess.DEVNULL)
        try:
            for _ in range(200):
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", FRONT)):
                    break
                time.sleep(0.02)
            yield
        finally:
            process.terminate()
            process.wait()


def request(path: str, key: str = "", client: str = "") -> tuple[int, list[str]]:
    """A request through nginx: the status, and the servers that were asked."""
    fields = f"X-Key: {key}\r\n" if key else ""
    fields += f"X-Real-IP: {client}\r\n" if client else ""
    with socket.create_connection(("127.0.0.1", FRONT), timeout=60) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{fields}\r\n".encode())
        answer = b""
        while data := connection.recv(65536):
            answer += data
    head = answer.partition(b"\r\n\r\n")[0].decode()
    asked = re.search(r"^X-Asked: (.*)$", head, re.MULTILINE)
    names = asked[1].strip().split(", ") if asked else []
    return int(head.split()[1]), [name for name in names if name != "group"]


class Session:
    """The steps of one case, done and noted."""

    def __init__(self, behind: Behind) -> None:
        self.behind = behind
        self.steps: list[Step] = []
        self.held: dict[int, threading.Thread] = {}
        self.asked = 0
        behind.failing = set()
        behind.arrived.clear()

    def fail(self, *names: str) -> None:
        self.behind.failing = set(names)
        self.steps.append({"do": "fail", "servers": list(names)})

    def wait(self, seconds: float) -> None:
        time.sleep(seconds)
        self.steps.append({"do": "wait", "seconds": seconds})

    def ask(self, key: str = "", client: str = "") -> None:
        status, got = request("/", key, client)
        self.steps.append({"do": "ask", "key": client or key, "got": got, "status": status})

    def start(self) -> int | None:
        """Hold a request; None where nobody took it."""
        self.asked += 1
        ticket = str(self.asked)
        self.behind.released[ticket] = threading.Event()
        refused = threading.Event()

        def run() -> None:
            if request(f"/hold/{ticket}")[0] != 200:
                refused.set()
                with self.behind.news:
                    self.behind.news.notify_all()

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        with self.behind.news:
            self.behind.news.wait_for(lambda: ticket in self.behind.arrived or refused.is_set(), 10)
        got = self.behind.arrived.get(ticket)
        self.steps.append({"do": "start", "id": self.asked, "got": got})
        if got is None:
            return None
        self.held[self.asked] = thread
        return self.asked

    def end(self, ticket: int) -> None:
        self.behind.released[str(ticket)].set()
        self.held.pop(ticket).join()
        self.steps.append({"do": "end", "id": ticket})

    def close(self) -> None:
        for ticket in list(self.held):
            self.end(ticket)


# --- the cases -----------------------------------------------------------------------------------------------------


def at(*numbers: int) -> list[str]:
    return [f"127.0.0.1:{18000 + number}" for number in numbers]


def weighted(*weights: int, more: str = "") -> list[str]:
    return [f"127.0.0.1:{18001 + n} weight={weight}{more}" for n, weight in enumerate(weights)]


def asks(count: int) -> Callable[[Session], None]:
    return lambda session: [session.ask() for _ in range(count)] and None


def addresses() -> list[str]:
    chance = random.Random(4)
    four = [".".join(str(chance.randrange(1, 255)) for _ in range(4)) for _ in range(100)]
    six = [":".join(f"{chance.randrange(65536):x}" for _ in range(8)) for _ in range(50)]
    return [*four, "10.1.2.3", "10.1.2.250", *six, "2001:db8::1", "::1"]


def from_addresses(session: Session) -> None:
    for address in addresses():
        session.ask(client=address)


def keys() -> list[str]:
    chance = random.Random(5)
    return ["", "a", "/", "/index.html?x=1", *(f"/{chance.randrange(10**9):x}" for _ in range(150)), ""]


def of_keys(session: Session) -> None:
    for key in keys():
        session.ask(key=key)


def failing(*names: str, then: Callable[[Session], None]) -> Callable[[Session], None]:
    def run(session: Session) -> None:
        session.fail(*names)
        then(session)

    return run


def up_and_down(*names: str) -> Callable[[Session], None]:
    """Failures, recovery before and after the window, a probe that fails again (A2 to A6)."""

    def run(session: Session) -> None:
        asks(6)(session)
        session.fail(*names)
        asks(12)(session)
        session.wait(3.5)
        asks(6)(session)
        session.fail()
        asks(6)(session)
        session.wait(3.5)
        asks(40)(session)

    return run


def two_failures(session: Session) -> None:
    """Failures with successes between, inside one window, still ban at max_fails=2 (A5)."""
    asks(4)(session)
    for _ in range(2):
        session.fail(*at(1))
        asks(2)(session)
        session.fail()
        asks(4)(session)
    session.wait(3.5)
    asks(8)(session)


def old_failure(session: Session) -> None:
    """A failure is forgotten by a success after the window, not by time alone (A5)."""
    session.fail(*at(1))
    asks(2)(session)
    session.fail()
    session.wait(3.5)
    asks(4)(session)
    session.fail(*at(1))
    asks(2)(session)
    session.fail()
    asks(6)(session)


def busy(seed: int, count: int, most: int) -> Callable[[Session], None]:
    """Requests begin and end in any order."""

    def run(session: Session) -> None:
        chance = random.Random(seed)
        for _ in range(count):
            if session.held and (len(session.held) >= most or chance.random() < 0.45):
                session.end(chance.choice(list(session.held)))
            else:
                session.start()

    return run


def full(session: Session) -> None:
    """One more than there is room for; then room again."""
    found = [session.start() for _ in range(6)]
    session.end(next(one for one in found if one))
    for _ in range(2):
        session.start()


LOCALHOST = "localhost:18003"

FILES: dict[str, list[tuple[str, str, list[str], Callable[[Session], None]]]] = {
    "round_robin": [
        *((f"weights {weights}", "", weighted(*weights), asks(sum(weights) * 2 + 3))
          for weights in [(5, 1, 1), (1, 1, 1), (3, 2, 1), (4, 3, 2, 1), (1, 2, 3, 4, 5), (10, 1), (7,), (2, 2, 3, 3)]),
        ("one down", "", ["127.0.0.1:18001 weight=3", "127.0.0.1:18002 down weight=2", "127.0.0.1:18003"], asks(12)),
        ("backups", "", ["127.0.0.1:18001 down", "127.0.0.1:18002 backup weight=2", "127.0.0.1:18003 backup"], asks(9)),
    ],
    "failures": [
        ("weights 5 3 2, max_fails 3", "", weighted(5, 3, 2, more=" max_fails=3 fail_timeout=2"), up_and_down(*at(1))),
        ("weights 4 4 1, max_fails 1", "", weighted(4, 4, 1, more=" fail_timeout=2"), up_and_down(*at(1, 3))),
        ("weights 7 2, max_fails 2", "", weighted(7, 2, more=" max_fails=2 fail_timeout=2"), up_and_down(*at(1))),
        ("max_fails 0", "", weighted(2, 1, 1, more=" max_fails=0"), up_and_down(*at(1))),
        ("one server alone", "", weighted(1, more=" fail_timeout=2"), up_and_down(*at(1))),
        ("all fail", "", weighted(2, 1, more=" fail_timeout=2"), up_and_down(*at(1, 2))),
        ("two failures in a window", "", weighted(1, 1, more=" max_fails=2 fail_timeout=2"), two_failures),
        ("a failure that is old", "", weighted(1, 1, more=" max_fails=2 fail_timeout=2"), old_failure),
        ("a backup takes over", "", [*weighted(1, 1, more=" fail_timeout=2"), "127.0.0.1:18003 backup"],
         up_and_down(*at(1, 2))),
        ("least_conn", "least_conn;", weighted(5, 3, 2, more=" max_fails=3 fail_timeout=2"), up_and_down(*at(2))),
        ("ip_hash", "ip_hash;", weighted(1, 1, 1, more=" fail_timeout=2"), up_and_down(*at(1))),
    ],
    "least_conn": [
        *((f"weights {weights}", "least_conn;", weighted(*weights), busy(seed, 150, 18))
          for seed, weights in enumerate([(1, 1, 1), (3, 2, 1), (5, 1), (2, 2, 3)])),
        ("one down", "least_conn;", ["127.0.0.1:18001", "127.0.0.1:18002 down", "127.0.0.1:18003 weight=2"],
         busy(9, 60, 10)),
    ],
    "max_conns": [
        ("round robin", "", weighted(2, 1, more=" max_conns=2"), full),
        ("least_conn", "least_conn;", weighted(2, 1, more=" max_conns=2"), full),
        ("alone", "", weighted(1, more=" max_conns=3"), full),
        ("then the backup", "", [*weighted(1, 1, more=" max_conns=1"), "127.0.0.1:18003 backup max_conns=2"], full),
        ("round robin, at random", "", ["127.0.0.1:18001 weight=3 max_conns=4", "127.0.0.1:18002 max_conns=5",
                                        "127.0.0.1:18003 weight=2"], busy(3, 120, 16)),
    ],
    "ip_hash": [
        ("three", "ip_hash;", weighted(1, 1, 1), from_addresses),
        ("weights", "ip_hash;", weighted(3, 1, 2, 1), from_addresses),
        ("one down keeps its part", "ip_hash;", ["127.0.0.1:18001", "127.0.0.1:18002 down", "127.0.0.1:18003"],
         from_addresses),
        ("one fails", "ip_hash;", weighted(1, 1, 1, more=" max_fails=0"), failing(*at(2), then=from_addresses)),
        ("one of many is left", "ip_hash;", weighted(1, 1, 1, 1, 1, 1, 1, 1, 1, more=" max_fails=0"),
         failing(*at(1, 2, 3, 4, 6, 7, 8, 9), then=from_addresses)),
        ("heavy ones down", "ip_hash;", ["127.0.0.1:18001 weight=40 down", "127.0.0.1:18002", "127.0.0.1:18003"],
         from_addresses),
    ],
    "hash": [
        ("three", "hash $http_x_key;", weighted(1, 1, 1), of_keys),
        ("weights", "hash $http_x_key;", weighted(3, 1, 2, 1), of_keys),
        ("one down", "hash $http_x_key;", ["127.0.0.1:18001", "127.0.0.1:18002 down", "127.0.0.1:18003"], of_keys),
        ("one fails", "hash $http_x_key;", weighted(1, 1, 1, more=" max_fails=0"), failing(*at(2), then=of_keys)),
        ("one of many is left", "hash $http_x_key;", weighted(1, 1, 1, 1, 1, 1, 1, 1, 1, more=" max_fails=0"),
         failing(*at(1, 2, 3, 4, 6, 7, 8, 9), then=of_keys)),
        ("heavy ones down", "hash $http_x_key;", ["127.0.0.1:18001 weight=40 down", "127.0.0.1:18002",
                                                  "127.0.0.1:18003"], of_keys),
    ],
    "ketama": [
        ("three", "hash $http_x_key consistent;", weighted(1, 1, 1), of_keys),
        ("one less", "hash $http_x_key consistent;", weighted(1, 1), of_keys),
        ("weights", "hash $http_x_key consistent;", weighted(3, 1, 2, 1), of_keys),
        ("one down", "hash $http_x_key consistent;", ["127.0.0.1:18001", "127.0.0.1:18002 down", "127.0.0.1:18003"],
         of_keys),
        ("one fails", "hash $http_x_key consistent;", weighted(1, 1, 1, more=" max_fails=0"),
         failing(*at(2), then=of_keys)),
        ("one of many is left", "hash $http_x_key consistent;", weighted(*[1] * 9, more=" max_fails=0"),
         failing(*at(1, 2, 3, 4, 6, 7, 8, 9), then=of_keys)),
        ("a socket, a name, no port", "hash $http_x_key consistent;",
         ["127.0.0.1:18001", f"unix:{UNIX}", LOCALHOST, "127.0.0.2 max_fails=0"],
         failing("127.0.0.2:80", then=of_keys)),
    ],
}  # fmt: skip


def main(program: str = "/usr/sbin/nginx", *only: str) -> None:
    told = subprocess.run([program, "-v"], capture_output=True, text=True, check=True).stderr
    version = told.strip().removeprefix("nginx version: ")
    behind = Behind()
    for name, cases in FILES.items():
        if only and name not in only:
            continue
        found = []
        for title, method, servers, run in cases:
            session = Session(behind)
            with nginx(program, {"method": method, "servers": servers}):
                run(session)
                session.close()
            found.append({"name": title, "method": method.rstrip(";"), "servers": servers, "steps": session.steps})
            sys.stderr.write(f"{name}: {title}: {len(session.steps)} steps\n")
        lines = ",\n".join(_case(case) for case in found)
        text = f'{{"nginx": "{version}", "script": "record.py", "cases": [\n{lines}\n]}}\n'
        json.loads(text)
        (HERE / f"{name}.json").write_text(text, "utf-8")


def _case(case: Case) -> str:
    """A case with a line for each step."""
    steps = ",\n  ".join(json.dumps(step) for step in case["steps"])
    head = json.dumps({key: value for key, value in case.items() if key != "steps"})
    return f'{head[:-1]}, "steps": [\n  {steps}\n]}}'


if __name__ == "__main__":
    main(*sys.argv[1:])
