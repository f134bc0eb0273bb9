"""Stop orders before anything is served: no traceback, no file left behind (issue 2 §6; E10)."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import trio

from edgestack.process.starting import Orders, Stopped, at_once

ROOT = Path(__file__).parents[2]
PATIENCE = 20.0
BLOCKING = """
import sys
print("importing", file=sys.stderr, flush=True)
open("go").read()          # a named pipe that nobody writes to
"""
STUBBORN = """
import sys, threading
threading.Thread(target=threading.Event().wait).start()
try:
    print("importing", file=sys.stderr, flush=True)
    open("go").read()
except BaseException:
    print("swallowed", file=sys.stderr, flush=True)
def app(environ, start_response):
    return []
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    os.mkfifo(tmp_path / "go")
    return tmp_path


@contextmanager
def starting(folder: Path, *words: str) -> Iterator[subprocess.Popen[str]]:
    """`edgestack serve`, which has come to the line that says so and waits there."""
    process = subprocess.Popen(
        [sys.executable, "-m", "edgestack", "serve", "--no-tls", "-b", "127.0.0.1:0", *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{ROOT}", "HOME": str(folder), "NO_COLOR": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    bound = threading.Timer(PATIENCE, process.kill)
    bound.start()
    try:
        assert process.stderr is not None
        assert process.stderr.readline() == "importing\n"
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # workers too
        process.communicate()
        bound.cancel()
        bound.join()


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_a_stop_while_the_application_is_imported(folder: Path, number: signal.Signals, status: int) -> None:
    """E10: the import is broken off, everything that was opened is closed, and not a word is said."""
    (folder / "web.py").write_text(BLOCKING)
    files = ("--pid", "pid", "--ready-file", "ready", "-b", "unix:edge.sock", "--access-log", "access.log")
    with starting(folder, "--app", "web:app", *files) as process:
        assert (folder / "pid").read_text() == f"{process.pid}\n"
        assert (folder / "edge.sock").exists()
        process.send_signal(number)
        assert process.communicate(timeout=PATIENCE) == ("", "")
    assert process.returncode == status
    assert {path.name for path in folder.iterdir() if not path.name.startswith("__")} == {"go", "web.py", "access.log"}


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_an_application_that_swallows_the_order(folder: Path, number: signal.Signals, status: int) -> None:
    """It is obeyed all the same, whatever threads the import has started."""
    (folder / "web.py").write_text(STUBBORN)
    with starting(folder, "--app", "web:app", "--pid", "pid") as process:
        process.send_signal(number)
        assert process.communicate(timeout=PATIENCE) == ("", "swallowed\n")
    assert process.returncode == status
    assert not (folder / "pid").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("module", ["click", "trio"])
def test_a_stop_in_the_first_moments(folder: Path, module: str, number: signal.Signals) -> None:
    """While our own modules are imported: there is nothing to tidy up, and no traceback."""
    (folder / f"{module}.py").write_text(BLOCKING)
    with starting(folder) as process:
        process.send_signal(number)
        assert process.communicate(timeout=PATIENCE) == ("", "")
    assert process.returncode == -number


SLOW_STARTUP = """
import os, trio
async def app(scope, receive, send):
    await receive()
    os.write(2, b"importing\\n")
    {wait}
async def forever():
    await trio.sleep_forever()
"""
WAITS, BLOCKS = "await forever()", 'open("go").read()'


@pytest.mark.parametrize(
    ("wait", "number", "words"),
    [
        (WAITS, signal.SIGTERM, ()),
        (BLOCKS, signal.SIGINT, ()),
        (WAITS, signal.SIGINT, ("-w", "2")),
        (BLOCKS, signal.SIGTERM, ("-w", "2", "--preload")),
        (WAITS, signal.SIGINT, ("--reload",)),
    ],
)
def test_a_stop_while_the_startup_of_an_application_hangs(
    folder: Path, wait: str, number: signal.Signals, words: tuple[str, ...]
) -> None:
    """Its lifespan does not begin: the end comes at once all the same, with a line that says what was left."""
    (folder / "web.py").write_text(SLOW_STARTUP.format(wait=wait))
    status = 130 if number == signal.SIGINT else 0
    with starting(folder, "--app", "web:app", "--pid", "pid", "-b", "unix:edge.sock", *words) as process:
        process.send_signal(number)
        out, err = process.communicate(timeout=PATIENCE)
    told = [line for line in err.splitlines() if line != "importing"]
    assert (process.returncode, out) == (status, "")
    assert told, err
    assert all("told to stop while web:app was starting: it is left as it is" in line for line in told), err
    assert not {path.name for path in folder.iterdir()} & {"pid", "edge.sock"}


# --- the orders by themselves -----------------------------------------------------------------------------------------


def test_an_order_waits_for_the_next_step() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with Orders() as orders:
        orders.obey()
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(Stopped) as stopped:
            orders.obey()
        assert stopped.value.status == 0  # the first one counts
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize("early", [True, False])
def test_an_order_is_obeyed_at_once_where_that_is_allowed(early: bool) -> None:
    came_to: list[str] = []

    def work(orders: Orders) -> None:
        with orders.interruptible():
            came_to.append("begin")
            signal.raise_signal(signal.SIGINT)
            came_to.append("end")

    with Orders() as orders:
        if early:
            signal.raise_signal(signal.SIGINT)
        with pytest.raises(Stopped) as stopped:
            work(orders)
        assert stopped.value.status == 130
        signal.raise_signal(signal.SIGINT)  # tidying up is not disturbed
    assert came_to == ([] if early else ["begin"])


@pytest.mark.parametrize("blocking", [True, False])
def test_an_order_while_the_loop_begins(blocking: bool) -> None:
    """What waits is cancelled; what computes is interrupted where it stands, and may swallow that."""
    came_to: list[str] = []

    @trio.lowlevel.enable_ki_protection
    def protected() -> None:
        signal.raise_signal(signal.SIGTERM)

    async def live(orders: Orders) -> None:
        with trio.CancelScope() as scope, orders.on_the_loop(scope.cancel):
            try:
                protected() if not blocking else signal.raise_signal(signal.SIGTERM)
                came_to.append("went on")
            except Stopped:
                came_to.append("interrupted")
            await trio.sleep_forever()
        came_to.append("ended")
        assert orders.told

    with Orders() as orders:
        trio.run(live, orders)
        with pytest.raises(Stopped):
            orders.obey()
    assert came_to == ["interrupted" if blocking else "went on", "ended"]


def test_a_signal_that_is_ignored_stays_ignored() -> None:
    """As with `nohup`, or in the background of a shell without job control."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with at_once(), Orders() as orders:
            signal.raise_signal(signal.SIGINT)
            orders.obey()
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
