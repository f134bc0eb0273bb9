"""Files that applications give: wsgi.file_wrapper, X-Sendfile, X-Accel-Redirect (F12)."""

from __future__ import annotations

import gc
import gzip
import io
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from wsgi_kit import FakeOutlet, Told, call, get

from edgestack.http.messages import Exchange, Response

CONTENT = bytes(range(256)) * 100
SIZE = len(CONTENT)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "file.bin"
    file.write_bytes(CONTENT)
    return file


def wrapping(make: Callable[[], Any], headers: Any = (), block: int | None = None) -> Callable[..., Any]:
    def application(environ: dict[str, Any], start_response: Any) -> Any:
        start_response("200 OK", list(headers))
        wrapper = environ["wsgi.file_wrapper"]
        return wrapper(make()) if block is None else wrapper(make(), block)

    return application


class Counting(io.BytesIO):
    """A file without a descriptor, which counts."""

    sizes: list[int]
    closed_times = 0

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.sizes = []

    def read(self, size: int | None = -1, /) -> bytes:
        self.sizes.append(-1 if size is None else size)
        return super().read(size)

    def close(self) -> None:
        self.closed_times += 1
        super().close()


@pytest.mark.parametrize("buffering", [-1, 0], ids=["buffered", "raw"])
@pytest.mark.parametrize(
    ("offset", "announced", "expected", "end"),
    [
        pytest.param(0, None, (0, SIZE), "finish", id="F12 all of it"),
        pytest.param(100, None, (100, SIZE - 100), "finish", id="F12 from its position"),
        pytest.param(SIZE, None, (SIZE, 0), "finish", id="F12 from its end"),
        pytest.param(SIZE + 9, None, (SIZE + 9, 0), "finish", id="F12 from beyond its end"),
        pytest.param(100, 50, (100, 50), "finish", id="F12 a part (a range)"),
        pytest.param(0, SIZE - 1, (0, SIZE - 1), "finish", id="F12 length n-1"),
        pytest.param(0, SIZE, (0, SIZE), "finish", id="F12 length n"),
        pytest.param(0, SIZE + 1, (0, SIZE), "broken", id="F12 length n+1: too short, F9"),
    ],
)
def test_a_real_file_takes_the_static_road(
    path: Path, offset: int, announced: int | None, expected: tuple[int, int], end: str, buffering: int
) -> None:
    """F12: its position is the reader's, not the descriptor's; the length is bound by Content-Length."""

    def opened() -> Any:
        file = path.open("rb", buffering=buffering)
        if offset:
            file.read(1)  # a buffered reader has now read ahead of its position
            file.seek(offset)
        return file

    headers = [] if announced is None else [("Content-Length", str(announced))]
    told = call(wrapping(opened, headers))
    assert told.outlet.files == [expected]
    assert told.body == CONTENT[expected[0] : expected[0] + expected[1]]
    assert told.length == (expected[1] if announced is None else announced)
    assert told.end == end


def test_a_temporary_file_and_one_open_for_writing(path: Path) -> None:
    """F12: what was written but not flushed is sent too."""

    def temporary() -> Any:
        file = tempfile.NamedTemporaryFile()  # noqa: SIM115 - closed by the call
        file.write(CONTENT)
        file.seek(10)
        return file

    def updating() -> Any:
        file = path.open("r+b")
        file.write(b"new")
        return file

    assert call(wrapping(temporary)).outlet.files == [(10, SIZE - 10)]
    assert call(wrapping(updating)).body == CONTENT[3:]


@pytest.mark.parametrize(("block", "expected"), [(None, 8192), (1000, 1000)])
def test_an_object_without_a_descriptor_is_read_in_blocks(block: int | None, expected: int) -> None:
    """F12: block size honoured, closed once."""
    file = Counting(CONTENT)
    told = call(wrapping(lambda: file, block=block))
    assert (told.body, told.outlet.files, told.length) == (CONTENT, [], None)
    assert set(file.sizes) == {expected}
    assert file.closed_times == 1


def test_an_object_with_nothing_but_read() -> None:
    """F12: no close, no fileno."""

    class Bare:
        def __init__(self) -> None:
            self.read = io.BytesIO(b"bare").read

    assert call(wrapping(Bare)).body == b"bare"


def test_a_descriptor_that_is_not_the_content(tmp_path: Path) -> None:
    """F12: a GzipFile's fileno is the compressed file's: it must be read."""
    packed = tmp_path / "x.gz"
    packed.write_bytes(gzip.compress(CONTENT))
    told = call(wrapping(lambda: gzip.GzipFile(packed)))
    assert (told.body, told.outlet.files) == (CONTENT, [])


def test_a_pipe_is_read() -> None:
    """F12: a descriptor, but no regular file."""
    reading, writing = os.pipe()
    os.write(writing, b"through a pipe")
    os.close(writing)
    told = call(wrapping(lambda: os.fdopen(reading, "rb")))
    assert (told.body, told.outlet.files) == (b"through a pipe", [])


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_files_are_closed_once_and_no_descriptor_is_left(path: Path, method: str) -> None:
    """F12, F8: the application's own file and the dup()ed one; HEAD has GET's length and sends nothing."""
    before = sorted(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else []
    file = path.open("rb")
    told = call(wrapping(lambda: file), get(method=method))
    assert file.closed
    assert (told.length, told.end) == (SIZE, "finish")
    assert told.outlet.files == ([(0, SIZE)] if method == "GET" else [])
    if before:
        assert sorted(os.listdir("/proc/self/fd")) == before


def test_a_failure_before_the_file_leaves_nothing_open(path: Path) -> None:
    """F12."""
    gc.collect()  # what other tests have left to it
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0

    def bad(exchange: Exchange, response: Response) -> Response:
        raise RuntimeError("bad filter")

    exchange = get()
    exchange.chain.filters = (bad,)
    told = call(wrapping(lambda: path.open("rb")), exchange)
    assert told.end == "broken"
    if before:
        assert len(os.listdir("/proc/self/fd")) == before


def test_after_write_a_file_is_read(path: Path) -> None:
    """F12, F6: the order holds."""

    def application(environ: dict[str, Any], start_response: Any) -> Any:
        start_response("200 OK", [])(b"first ")
        return environ["wsgi.file_wrapper"](path.open("rb"))

    told = call(application)
    assert (told.body, told.outlet.files) == (b"first " + CONTENT, [])


def test_a_wrapper_without_start_response(path: Path) -> None:
    """F12, F11: a 500, and the file is closed."""
    file = path.open("rb")
    told = call(lambda environ, start_response: environ["wsgi.file_wrapper"](file))
    assert told.status == 500
    assert file.closed


# --- X-Sendfile and X-Accel-Redirect ----------------------------------------------------------------------------------


def named(field: str, value: str, exchange: Exchange | None = None, body: Any = None, **options: Any) -> Told:
    def application(environ: dict[str, Any], start_response: Any) -> Any:
        start_response("200 OK", [("Content-Type", "image/png"), (field, value), ("Content-Length", "21")])
        return [b"the application's own"] if body is None else body

    return call(application, exchange, outlet=FakeOutlet(), **options)


@pytest.mark.parametrize("body", [None, [], [b"", b"some", b"more"]], ids=["one", "none", "several"])
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("X-Sendfile", "{root}/file.bin"),
        ("x-accel-redirect", "/protected/file.bin"),
        ("X-Accel-Redirect", "/protected/f%69le.bin?x"),
    ],
)
def test_a_named_file_replaces_the_body(path: Path, field: str, value: str, body: Any) -> None:
    """F12: sent by the static road, with its own length; the field does not leave."""
    root = path.parent
    told = named(field, value.format(root=root), body=body, sendfile_roots=(root,), accel=(("/protected/", root),))
    assert (told.status, told.length, told.body, told.end) == (200, SIZE, CONTENT, "finish")
    assert told.outlet.files == [(0, SIZE)]
    assert told.pairs == (("Content-Type", "image/png"),)


def test_head_of_a_named_file(path: Path) -> None:
    """F12."""
    told = named("X-Sendfile", str(path), get(method="HEAD"), sendfile_roots=(path.parent,))
    assert (told.length, told.outlet.files, told.end) == (SIZE, [], "finish")


def test_a_failure_before_a_named_file_leaves_nothing_open(path: Path) -> None:
    """F12."""
    gc.collect()  # what other tests have left to it
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0

    def bad(exchange: Exchange, response: Response) -> Response:
        raise RuntimeError("bad filter")

    exchange = get()
    exchange.chain.filters = (bad,)
    assert named("X-Sendfile", str(path), exchange, sendfile_roots=(path.parent,)).end == "broken"
    if before:
        assert len(os.listdir("/proc/self/fd")) == before


def test_where_it_is_not_enabled_the_field_passes() -> None:
    """F12: off by default; the field may be meant for a proxy in front of us."""
    told = named("X-Sendfile", "/etc/passwd")
    assert (told.fields["x-sendfile"], told.body) == ("/etc/passwd", b"the application's own")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("X-Sendfile", "/etc/passwd"),
        ("X-Sendfile", "{root}/../outside"),
        ("X-Sendfile", "{root}/link"),
        ("X-Sendfile", "file.bin"),
        ("X-Sendfile", "{root}"),
        ("X-Sendfile", "{root}/absent"),
        ("X-Sendfile", "{root}/folder"),
        ("X-Sendfile", "{root}/fifo"),
        ("X-Accel-Redirect", "/elsewhere/file.bin"),
        ("X-Accel-Redirect", "/protected/../../outside"),
        ("X-Accel-Redirect", "/protected/%2e%2e/outside"),
        ("X-Accel-Redirect", "/protected//etc/passwd"),
        ("X-Accel-Redirect", "/protected/x%00"),
        ("X-Accel-Redirect", "/protectedfile.bin"),
    ],
)
def test_what_may_not_be_named(tmp_path: Path, field: str, value: str) -> None:
    """F12, C8: only regular files whose real path lies inside; a 500 and a line in the log."""
    root = tmp_path / "root"
    (root / "folder").mkdir(parents=True)
    (tmp_path / "outside").write_text("outside")
    (root / "link").symlink_to(tmp_path / "outside")
    os.mkfifo(root / "fifo")
    told = named(field, value.format(root=root), sendfile_roots=(root,), accel=(("/protected", root),))
    assert (told.status, told.end, told.outlet.files) == (500, "finish", [])
    assert field.lower() in told.log
