"""The access log: no line is lost, none written twice, and nobody waits for its reader (issue 2, §6; design §4.14)."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import re
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edgestack.http.facts import Facts
from edgestack.http.messages import Exchange, Request
from edgestack.http.target import read_path
from edgestack.http.variables import Scope
from edgestack.phases import log_file
from edgestack.phases.access_log import TOGETHER, AccessLog
from edgestack.phases.log_file import BACKLOG, LogFile


def exchange(target: str = "/") -> Exchange:
    request = Request("GET", target, "HTTP/1.1", [], {}, read_path("/"), "", "", True)
    made = Exchange(Facts("192.0.2.7"), request, 1, 0.0)
    made.status, made.bytes_out = 200, 5
    return made


class Woken:
    """Counts how often the loop was asked to flush."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self) -> None:
        self.times += 1


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "access.log"


@pytest.fixture
def woken() -> Woken:
    return Woken()


@pytest.fixture
def log(path: Path, woken: Woken) -> Iterator[AccessLog]:
    made = AccessLog(str(path))
    made.bind(lambda: 1.0, woken)
    yield made
    made.close()


def targets(text: str) -> list[str]:
    return [line.split('"')[1].split()[1] for line in text.splitlines()]


def test_the_loop_is_woken_once_for_a_batch(log: AccessLog, path: Path, woken: Woken) -> None:
    for name in ("/1", "/2", "/3"):
        log.end(exchange(name))
    assert woken.times == 1
    assert path.read_text() == ""
    log.flush()
    assert targets(path.read_text()) == ["/1", "/2", "/3"]
    assert log.lines == []
    log.end(exchange("/4"))
    assert woken.times == 2


def test_many_lines_are_written_before_the_flush(log: AccessLog, path: Path, woken: Woken) -> None:
    """They are in the processor's caches still; and the flush that is to come stays so."""
    names = [f"/{number}" for number in range(TOGETHER + 1)]
    for name in names[: TOGETHER - 1]:
        log.end(exchange(name))
    assert path.read_text() == ""
    for name in names[TOGETHER - 1 :]:
        log.end(exchange(name))
    assert targets(path.read_text()) == names[:TOGETHER]
    assert (woken.times, log.armed) == (1, True)
    log.flush()
    assert targets(path.read_text()) == names


def test_a_flush_with_nothing_to_write(log: AccessLog, path: Path, woken: Woken) -> None:
    log.flush()
    log.flush()
    assert path.read_text() == ""
    assert woken.times == 0


def test_closing_writes_what_is_left_and_later_lines_harm_nobody(log: AccessLog, path: Path) -> None:
    log.end(exchange("/last"))
    log.close()
    assert targets(path.read_text()) == ["/last"]
    log.end(exchange("/late"))
    log.flush()
    log.close()
    assert targets(path.read_text()) == ["/last"]


def test_a_loop_that_ended_is_not_woken(log: AccessLog, path: Path, woken: Woken) -> None:
    log.unbind()
    log.end(exchange("/1"))
    log.close()
    log.end(exchange("/2"))
    assert woken.times == 0
    assert targets(path.read_text()) == ["/1"]


def test_a_file_is_appended_to(path: Path) -> None:
    path.write_text("before\n")
    log = AccessLog(str(path))
    log.end(exchange())
    log.close()
    assert path.read_text().startswith("before\n192.0.2.7 ")


def test_development_writes_at_once(path: Path, woken: Woken) -> None:
    log = AccessLog(str(path), at_once=True)
    log.bind(lambda: 1.0, woken)
    log.end(exchange("/1"))
    assert targets(path.read_text()) == ["/1"]
    assert woken.times == 0
    log.close()


def test_json_lines(path: Path) -> None:
    log = AccessLog(str(path), "json")
    log.end(exchange())
    log.close()
    assert path.read_text().startswith('{"time": "')


def test_a_folder_is_no_log(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError):
        AccessLog(str(tmp_path))


# --- threads ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("at_once", [False, True])
def test_threads_lose_nothing_and_write_nothing_twice(path: Path, at_once: bool) -> None:
    log = AccessLog(str(path), at_once=at_once)
    wanted = threading.Semaphore(0)
    log.bind(lambda: 1.0, wanted.release)
    finished = threading.Event()

    def requests(thread: int) -> None:
        for number in range(500):
            log.end(exchange(f"/{thread}/{number}"))

    def flusher() -> None:
        while not finished.is_set():
            wanted.acquire(timeout=0.05)
            log.flush()

    threads = [threading.Thread(target=requests, args=(number,)) for number in range(4)]
    loop = threading.Thread(target=flusher)
    for thread in (loop, *threads):
        thread.start()
    for thread in threads:
        thread.join()
    finished.set()
    loop.join()
    log.close()
    assert sorted(targets(path.read_text())) == sorted(f"/{a}/{b}" for a in range(4) for b in range(500))


def test_a_line_that_comes_during_a_flush_wakes_the_loop_again(log: AccessLog, path: Path, woken: Woken) -> None:
    """The interleaving that would lose a wake-up: appended after the batch was taken, before it is written."""
    log.end(exchange("/1"))
    interrupt(log, lambda: log.end(exchange("/2")))
    log.flush()
    assert woken.times == 2
    log.flush()
    assert targets(path.read_text()) == ["/1", "/2"]


def interrupt(log: AccessLog, action: Callable[[], None]) -> None:
    """Have `action` happen when the next batch is about to be written."""
    inner = log._file

    class Interrupted:
        owed = b""

        def write(self, data: bytes) -> None:
            log._file = inner
            action()
            inner.write(data)

    log._file = Interrupted()  # type: ignore[assignment]


# --- reopening --------------------------------------------------------------------------------------------------------


def test_reopening_after_the_file_was_moved(log: AccessLog, path: Path) -> None:
    log.end(exchange("/1"))
    path.rename(path.with_suffix(".1"))
    log.end(exchange("/2"))
    log.reopen()
    log.end(exchange("/3"))
    log.flush()
    assert targets(path.with_suffix(".1").read_text()) == ["/1", "/2"]
    assert targets(path.read_text()) == ["/3"]


def test_the_old_file_stays_in_use_when_the_new_one_cannot_be_opened(
    log: AccessLog, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    moved = path.with_suffix(".1")
    path.rename(moved)
    path.mkdir()
    log.reopen()
    assert "cannot be reopened" in caplog.text
    log.end(exchange("/1"))
    log.flush()
    assert targets(moved.read_text()) == ["/1"]


def test_standard_output_is_not_reopened_and_not_closed(capfd: pytest.CaptureFixture[str]) -> None:
    log = AccessLog("-")
    log.end(exchange("/1"))
    log.reopen()
    log.end(exchange("/2"))
    log.close()
    os.fstat(1)
    assert targets(capfd.readouterr().out) == ["/1", "/2"]


# --- readers that stand still or leave --------------------------------------------------------------------------------


@pytest.fixture
def pipe(tmp_path: Path) -> Iterator[tuple[LogFile, int]]:
    """A log that is a named pipe, and its other end."""
    name = tmp_path / "pipe"
    os.mkfifo(name)
    reader = os.open(name, os.O_RDONLY | os.O_NONBLOCK)
    file = LogFile(name)
    yield file, reader
    file.close()
    with contextlib.suppress(OSError):  # a test may have closed it
        os.close(reader)


def drained(reader: int) -> bytes:
    data = b""
    while True:
        try:
            piece = os.read(reader, 65536)
        except BlockingIOError:
            return data
        if not piece:
            return data
        data += piece


def test_a_pipe_that_nobody_reads_stops_nobody(pipe: tuple[LogFile, int]) -> None:
    file, reader = pipe
    line = b"x" * 99 + b"\n"
    file.write(line * 2000)
    assert 0 < len(file.owed) < 200_000
    file.write(b"last\n")
    first = drained(reader)
    assert first + file.owed == line * 2000 + b"last\n"
    rest = b""
    while file.owed:
        file.write(b"")
        rest += drained(reader)
    assert first + rest == line * 2000 + b"last\n"
    assert file.lost == 0


@pytest.mark.parametrize(("over", "lost"), [(-1, 0), (0, 0), (1, 1)])
def test_what_nobody_reads_is_kept_up_to_a_limit(
    pipe: tuple[LogFile, int], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, over: int, lost: int
) -> None:
    file, reader = pipe
    monkeypatch.setattr(log_file, "BACKLOG", 1000)
    file.write(b"f" * 65535 + b"\n")
    assert file.owed == b""  # the pipe is full now (pipe(7): 64 KiB)
    file.write(b"a" * 899 + b"\n")
    file.write(b"b" * (99 + over) + b"\n")
    assert file.lost == lost
    assert len(file.owed) == (1000 + over if not lost else 900)
    assert file.owed.endswith(b"\n")
    assert caplog.text.count("nobody reads it fast enough") == lost
    drained(reader)
    file.write(b"c\n")
    assert file.owed == b""
    assert caplog.text.count("works again; 1 lines were lost") == lost


def test_a_reader_that_left_is_told_once(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    monkeypatch.setattr(log_file, "STANDARD_OUTPUT", writer)
    file = LogFile(None)
    os.close(reader)
    for _ in range(3):
        file.write(b"line\nline\n")
    os.close(writer)
    assert file.lost == 6
    assert file.owed == b""
    assert caplog.text.count("Broken pipe") == 1


def test_a_named_pipe_needs_no_reader(tmp_path: Path) -> None:
    """Issue 2 §6, --access-log: opened, written and opened anew at once; whoever reads next finds the lines."""
    name = tmp_path / "pipe"
    os.mkfifo(name)
    file = LogFile(name)
    file.write(b"before anybody reads\n")
    for _ in range(2):
        reader = os.open(name, os.O_RDONLY | os.O_NONBLOCK)
        assert drained(reader) == b"before anybody reads\n"
        os.close(reader)
        file.reopen()
        file.write(b"before anybody reads\n")
    file.close()
    assert file.lost == 0


def test_a_socket_is_no_log(tmp_path: Path) -> None:
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as sock:
        sock.bind(str(tmp_path / "log.sock"))
        with pytest.raises(OSError, match=os.strerror(errno.ENXIO)):
            LogFile(tmp_path / "log.sock")


def test_a_full_disk_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    file = LogFile(Path("/dev/full"))
    for _ in range(3):
        file.write(b"line\n")
    file.close()
    assert file.lost == 3
    assert caplog.text.count(os.strerror(errno.ENOSPC)) == 1
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


def test_what_is_owed_arms_the_next_flush(tmp_path: Path, woken: Woken) -> None:
    name = tmp_path / "pipe"
    os.mkfifo(name)
    reader = os.open(name, os.O_RDONLY | os.O_NONBLOCK)
    log = AccessLog(str(name))
    log.bind(lambda: 1.0, woken)
    for number in range(2000):
        log.end(exchange(f"/{number}"))
    log.flush()
    assert woken.times == 2
    text = b""
    for _ in range(100):
        text += drained(reader)
        log.flush()
    assert targets((text + drained(reader)).decode()) == [f"/{number}" for number in range(2000)]
    log.close()
    os.close(reader)


def test_the_limit_is_generous() -> None:
    assert BACKLOG >= 1 << 20


def test_a_route_may_have_lines_of_its_own(log: AccessLog, path: Path, woken: Woken) -> None:
    own = log.ending("short", {"short": "$remote_addr $status $request_time"})
    log.end(exchange("/1"))
    own(exchange("/2"))
    assert woken.times == 1
    log.bind(lambda: 2.5, woken)
    own(exchange("/3"))
    log.flush()
    lines = path.read_text().splitlines()
    assert lines[1:] == ["192.0.2.7 200 1.000", "192.0.2.7 200 2.500"], (
        "the serving clock of the log, whenever it is bound"
    )


def test_lines_of_a_route_see_its_groups_and_maps(log: AccessLog, path: Path) -> None:
    scope = Scope(re.compile("^/(?P<section>[a-z]+)/"), server_name="example.com")
    log.ending("own", {"own": "$server_name $section $1"}, scope)(exchange("/"))
    found = exchange("/")
    found.request.path = read_path("/news/today")
    log.ending("own", {"own": "$server_name $section $1"}, scope)(found)
    log.flush()
    assert path.read_text() == "example.com - -\nexample.com news news\n"


def test_the_log_itself_may_have_a_form_of_the_users_own(tmp_path: Path) -> None:
    log = AccessLog(str(tmp_path / "own.log"), "own", formats={"own": "$request_method $status"})
    log.end(exchange())
    log.close()
    assert (tmp_path / "own.log").read_text() == "GET 200\n"


def test_a_form_that_nobody_knows(log: AccessLog) -> None:
    with pytest.raises(ValueError, match="no such access log format"):
        log.ending("nothing")
