"""Starting a server and stopping it: pinned, in a clean environment, waited for, and nothing of it left behind.

Knows what a `Launch` says and no more. A server is up when it accepts; what it prints is kept until it is stopped, and
told when it does not come up.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from cpu import cpu_seconds, memory_bytes, tree
from servers import Address, Command, Launch, Place, Server

__all__ = ["Live", "environment", "free_port", "running", "stop"]

START_LIMIT = 10.0
"""Seconds a server may take to accept; far above what any of them needs."""
STOP_LIMIT = 5.0
"""Seconds from SIGTERM to SIGKILL."""


@dataclass
class Live:
    """A server that runs."""

    server: Server
    place: Place
    launch: Launch
    processes: list[subprocess.Popen[bytes]]
    """Those that are measured."""

    @property
    def address(self) -> tuple[str, int]:
        """Where clients find it."""
        return self.place.address

    def pids(self) -> list[int]:
        """All its processes."""
        return tree([process.pid for process in self.processes])

    def cpu_seconds(self) -> float:
        """Processor time used so far by all of them."""
        return cpu_seconds(self.pids())

    def memory_bytes(self) -> int:
        """What they hold in memory now."""
        return memory_bytes(self.pids())

    def described(self) -> dict[str, object]:
        """The exact command lines and configuration, for the report."""
        return {
            "commands": [" ".join(command.argv) for command in self.launch.commands],
            "files": {path.name: text for path, text in self.launch.files.items()},
        }


@contextmanager
def running(server: Server, folder: Path, site: Path, keys: tuple[Path, Path], core: int) -> Iterator[Live]:
    """Start `server` in `folder`, pinned to `core`; stop all of it at the end, whatever happened.

    :raises RuntimeError: it ended, or did not accept in time; with the end of what it said.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    place = Place(folder, site, *keys, free_port(), free_port())
    launch = server.launch(place)
    for path, text in launch.files.items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    live = Live(server, place, launch, [])
    with ExitStack() as stack:
        for number, command in enumerate(launch.commands):
            output = folder / f"output-{number}.txt"
            process = start(command, core, output)
            stack.callback(stop, process)
            if not command.aside:
                live.processes.append(process)
            wait_until_ready(process, command, output)
        yield live


def start(command: Command, core: int, output: Path) -> subprocess.Popen[bytes]:
    """Run `command` on `core`, or where we are, in a session of its own, with a clean environment."""
    pinned = () if command.aside else ("taskset", "-c", str(core))
    with output.open("wb") as sink:
        return subprocess.Popen(
            (*pinned, *command.argv),
            cwd=command.cwd,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=sink,
            start_new_session=True,
        )


def environment() -> dict[str, str]:
    """Ours without what would change how a server behaves."""
    odd = ("EDGESTACK_", "GRANIAN_", "GUNICORN_", "PYTHON", "COVERAGE_", "WEB_CONCURRENCY")
    return {key: value for key, value in os.environ.items() if not key.startswith(odd)}


def wait_until_ready(process: subprocess.Popen[bytes], command: Command, output: Path) -> None:
    """Return once `command` accepts a connection."""
    limit = time.monotonic() + START_LIMIT
    while not accepts(command.ready):
        ended = wait_briefly(process)
        if ended or time.monotonic() > limit:
            said = output.read_text(errors="replace").strip()[-2000:]
            raise RuntimeError(
                f"{command.argv[0]} {'ended' if ended else 'did not accept in time'}: {said or 'silent'}"
            )


def wait_briefly(process: subprocess.Popen[bytes]) -> bool:
    """Wait a moment for the end of `process`; whether it has ended."""
    try:
        process.wait(timeout=0.01)
    except subprocess.TimeoutExpired:
        return False
    return True


def accepts(address: Address) -> bool:
    """Whether somebody accepts at `address`."""
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as sock:
        return sock.connect_ex(address) == 0


def stop(process: subprocess.Popen[bytes]) -> None:
    """End `process` politely, then its whole session."""
    process.terminate()
    try:
        process.wait(timeout=STOP_LIMIT)
    except subprocess.TimeoutExpired:
        pass
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()


def free_port() -> int:
    """A TCP port that nobody uses now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])
