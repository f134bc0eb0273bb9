"""Where edgestack spends its time: a sampling profile of the loop's thread under the bench's own load.

    hotspots.py [static-1k | static-1k-tls | static-100k | wsgi-hello …] [--samples 3000] [-- OPTIONS OF edgestack]

Starts edgestack in a child that SIGALRM interrupts every millisecond, loads it with wrk as `bench.py` would, and prints
the functions and the lines that were found on top of the stack, and the functions found anywhere in it. Unlike
cProfile it costs next to nothing, so that small functions do not look large. Two things to know when reading it: the
interpreter handles signals between bytecodes, so the time of a C call (a send, a dict update) is booked on the line
that made it or the one after; and only the main thread is seen, application threads are not.
"""

from __future__ import annotations

import argparse
import importlib
import signal
import sys
import tempfile
from collections import Counter
from pathlib import Path
from types import FrameType

ENTRY = "edgestack.cli:main"
INTERVAL = 0.001
TOP = 30


class Sampler:
    """Counts where the main thread is; writes its findings once it has seen enough."""

    def __init__(self, wanted: int, target: Path) -> None:
        self.wanted = wanted
        self.target = target
        self.seen = 0
        self.lines: Counter[str] = Counter()
        self.functions: Counter[str] = Counter()
        self.anywhere: Counter[str] = Counter()

    def await_order(self) -> None:
        """Begin at SIGUSR2; call it in the main thread. ITIMER_PROF would be no finer than the kernel's HZ."""
        signal.signal(signal.SIGALRM, self.sample)
        signal.signal(signal.SIGUSR2, lambda number, frame: signal.setitimer(signal.ITIMER_REAL, INTERVAL, INTERVAL))

    def sample(self, number: int, frame: FrameType | None) -> None:
        """The signal handler."""
        if frame is None:
            return
        self.seen += 1
        self.lines[f"{place(frame)}:{frame.f_lineno} in {frame.f_code.co_name}"] += 1
        self.functions[function(frame)] += 1
        names = set()
        caller: FrameType | None = frame
        while caller is not None:
            names.add(function(caller))
            caller = caller.f_back
        self.anywhere.update(names)
        if self.seen >= self.wanted:
            signal.setitimer(signal.ITIMER_REAL, 0)
            self.target.write_text(self.report())

    def report(self) -> str:
        """Three tables."""
        parts = [f"{self.seen} samples, a millisecond apart; a server that waits is seen in its poll"]
        for title, counts in (
            ("functions, themselves", self.functions),
            ("lines", self.lines),
            ("functions, with what they call", self.anywhere),
        ):
            rows = [f"{count / self.seen:7.1%}  {name}" for name, count in counts.most_common(TOP)]
            parts.append("\n".join([f"\n{title}", *rows]))
        return "\n".join(parts)


def place(frame: FrameType) -> str:
    """The last two parts of a file's path."""
    return "/".join(frame.f_code.co_filename.rsplit("/", 2)[-2:])


def function(frame: FrameType) -> str:
    """A function and its file."""
    return f"{frame.f_code.co_qualname} ({place(frame)})"


def child(argv: list[str]) -> None:
    """The profiled process: TARGET, SAMPLES, then what edgestack's command line would get."""
    Sampler(int(argv[1]), Path(argv[0])).await_order()
    module, _, name = ENTRY.partition(":")
    sys.path[0] = ""  # not the bench's folder: the applications in the working directory, as users have it (F15)
    sys.argv = ["edgestack", *argv[2:]]
    getattr(importlib.import_module(module), name)()


def parent() -> None:
    """Start the child in place of edgestack, load it, print what it found."""
    from dataclasses import replace

    import tunnels
    from cases import CASES, CpuCase, TunnelCase
    from cpu import split_cores
    from load import drive
    from running import Live
    from servers import EDGESTACK, Command, Launch, Place
    from workshop import Workshop

    parser = argparse.ArgumentParser(description="A sampling profile of edgestack under the bench's load.")
    parser.add_argument("case", nargs="?", default="static-1k")
    parser.add_argument("--samples", type=int, default=3000)
    options, more = parser.parse_known_args()
    case = next(case for case in CASES if case.name == options.case and isinstance(case, CpuCase | TunnelCase))
    server = case.servers[0]
    core, _ = split_cores()
    with tempfile.TemporaryDirectory(prefix="edgestack-hotspots-") as folder:
        target = Path(folder) / "report.txt"

        def launch(place: Place) -> Launch:
            plain = server.launch(place)
            return Launch(tuple(watched(command) for command in plain.commands), plain.files)

        def watched(command: Command) -> Command:
            if command.argv[0] != str(EDGESTACK):
                return command
            argv = (sys.executable, __file__, "--child", str(target), str(options.samples), *command.argv[1:])
            return Command((*argv, *(word for word in more if word != "--")), command.ready, command.cwd)

        def load(live: Live, seconds: float) -> None:
            if isinstance(case, TunnelCase):
                tunnels.drive(live, case, seconds)
            else:
                drive(live.address, case.load, seconds, shop.folder, tls=server.tls)

        shop = Workshop(Path(folder), core, 1, 1, 1)
        with shop.running(case.name, replace(server, launch=launch)) as live:
            if isinstance(case, CpuCase) and (problem := shop.check(live, case.load)):
                raise SystemExit(problem)
            load(live, 1.0)
            live.processes[0].send_signal(signal.SIGUSR2)
            load(live, options.samples * INTERVAL * 1.5)
        print(target.read_text() if target.exists() else "not enough samples: ask for fewer with --samples")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(sys.argv[2:])
    else:
        parent()
