"""What all cases share: folders, files to serve and what they must contain, keys, cores, and how long to measure.

Made once for a run and thrown away with its temporary folder. A case asks it for a running server that has proved
that it gives the expected bytes, and hands it the rows and measurements that it came to.
"""

from __future__ import annotations

import random
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from client import answer_problem, client_tls
from load import Load, wrk_missing
from running import Live, running
from servers import Server, missing

__all__ = ["Absent", "Failed", "Measurement", "Row", "Workshop"]


class Absent(Exception):
    """What is needed is not installed on this machine: the figure is left out, and nobody is blamed."""


class Failed(Exception):
    """A server that is installed did not start, broke, or gave a wrong answer; says what happened."""


@dataclass(frozen=True)
class Measurement:
    """One run of full load on one server."""

    case: str
    server: str
    round: int
    micros: float
    """Server processor time per answer, in microseconds."""
    per_second: float
    p50: float
    """Milliseconds, as wrk saw them."""
    p99: float
    busy: float
    """The share of a core that the server used."""
    problem: str = ""


@dataclass(frozen=True)
class Row:
    """One line of the table: a figure and its limits."""

    case: str
    title: str
    value: float | None
    unit: str
    must: float | None = None
    aim: float | None = None
    detail: str = ""
    problem: str = ""
    """Why there is no figure."""
    excused: bool = False
    """There is none only because something is not installed here."""

    @property
    def verdict(self) -> str:
        """How it stands: "aim", "must", "missed", "absent" or "broken" without a figure, "" without a limit."""
        if self.value is None or self.problem:
            return "absent" if self.excused else "broken"
        if self.must is None:
            return ""
        if self.value > self.must:
            return "missed"
        return "aim" if self.aim is not None and self.value <= self.aim else "must"


WORDS = ("<p>", "the", "order", "delivery", "</p>", "of", "and", "account", "price", "<b>", "</b>", "today", "is")


@dataclass
class Workshop:
    """One run of the bench."""

    folder: Path
    core: int
    """The servers' core."""
    rounds: int
    seconds: float
    """Of full load, in each round."""
    window: float
    """Seconds over which one client's latency is judged."""
    starts: int = 7
    """How often a start is timed."""
    rows: list[Row] = field(default_factory=list)
    measurements: list[Measurement] = field(default_factory=list)
    configurations: dict[str, object] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    """Why, by "case: server"."""
    spoken: dict[str, str] = field(default_factory=dict)
    """TLS version and cipher by server."""

    def __post_init__(self) -> None:
        self.site = self.folder / "site"
        self.site.mkdir()
        draw = random.Random(7)
        text = ("<!doctype html><title>bench</title><p>" + "one kibibyte of page " * 60)[:1023] + "\n"
        self.bodies = {
            "1k.html": text.encode(),
            "60k.html": " ".join(f"{draw.choice(WORDS)}{draw.randrange(300)}" for _ in range(8_000)).encode(),
            "100k.jpg": draw.randbytes(100 * 1024),
            "10m.bin": draw.randbytes(10 * 1024 * 1024),
        }
        for name, body in self.bodies.items():
            (self.site / name).write_bytes(body)
        self.bodies["hello"] = b"Hello, world!\n"
        self.keys = self.make_keys()
        self.authority = self.folder / "client.pem"

    def make_keys(self) -> tuple[Path, Path]:
        """A P-256 certificate for 127.0.0.1, by trustme's own command; the same for every server."""
        argv = [sys.executable, "-m", "trustme", "-q", "-d", str(self.folder), "-i", "127.0.0.1", "localhost"]
        subprocess.run(argv, check=True, capture_output=True)
        return self.folder / "server.pem", self.folder / "server.key"

    def client_tls(self, server: Server) -> ssl.SSLContext | None:
        """How a checking client speaks to `server`."""
        return client_tls(self.authority) if server.tls else None

    @contextmanager
    def running(self, case: str, server: Server) -> Iterator[Live]:
        """Start `server` for `case`, and stop it afterwards.

        :raises Absent: it is not installed.
        :raises Failed: it does not start, or what is done with it inside the block fails.
        """
        if absent := missing(server):
            raise Absent(f"not installed: {', '.join(absent)}")
        folder = self.folder / "server"
        try:
            with running(server, folder, self.site, self.keys, self.core) as live:
                self.configurations[f"{case}: {server.name}"] = live.described()
                yield live
        except (RuntimeError, OSError) as error:
            raise Failed(f"{server.name}: {type(error).__name__}: {error}") from error

    def check(self, live: Live, load: Load) -> str:
        """What is wrong with the answers of `live`; "" when every byte is as expected."""
        tls = self.client_tls(live.server)
        try:
            problem, spoken = answer_problem(
                live.address, load.path, self.bodies[load.body], tls, load.tries, load.accept
            )
        except OSError as error:
            return f"{type(error).__name__}: {error}"
        self.spoken[live.server.name] = spoken
        return problem

    def need_wrk(self) -> None:
        """
        :raises Absent: this machine lacks wrk.
        """
        if wrk_missing():
            raise Absent("not installed: wrk")

    def skip(self, name: str, why: Exception) -> None:
        """Note, and say, that something is left out; once is enough."""
        if name not in self.skipped:
            self.skipped[name] = str(why)
            self.say(f"  left out {name}: {why}")

    def say(self, line: str) -> None:
        """Progress, beside the table and not in it."""
        print(line, file=sys.stderr, flush=True)
