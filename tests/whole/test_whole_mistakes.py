"""What a person gets wrong, told by the real program: one clear line, exit status 2, no traceback (issue 2, §6).

Words that make no sense are in tests/test_cli.py; here is what shows itself only when the server really starts.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme
from server_kit import PATIENCE, ROOT, environment

TLS = ("--bind", "127.0.0.1:0")
PLAIN = ("--no-tls", *TLS)


@dataclass(frozen=True)
class Told:
    status: int
    out: str
    err: str


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A project with applications that are wrong in one way each."""
    (tmp_path / "fine.py").write_text("def app(environ, start_response): ...\nnumber = 5\n")
    (tmp_path / "nameless.py").write_text("number = 5\n")
    (tmp_path / "inside.py").write_text("import a_module_that_nobody_has\n")
    (tmp_path / "broken.py").write_text("def app(:\n")
    (tmp_path / "raising.py").write_text("def load():\n    raise RuntimeError('no database')\n\nload()\n")
    (tmp_path / "file.txt").write_text("a file")
    return tmp_path


def serve(folder: Path, *words: str, through: tuple[str, ...] = ()) -> Told:
    """What `edgestack serve` says and does that cannot begin."""
    done = subprocess.run(
        [*through, sys.executable, "-m", "edgestack", "serve", *words],
        cwd=folder, env=environment(folder, {"PYTHONPATH": str(ROOT)}), stdin=subprocess.DEVNULL,
        capture_output=True, text=True, check=False, timeout=PATIENCE,
    )  # fmt: skip
    return Told(done.returncode, done.stdout, done.stderr)


ONE_LINE: list[tuple[tuple[str, ...], tuple[str, ...]]] = [
    (("--app", "nowhere:app"), ("there is no module `nowhere`",)),
    (("--app", "fin:app"), ("there is no module `fin`", "did you mean")),
    (("--app", "fine:ap"), ("module 'fine' has no 'ap'", "did you mean")),
    (("--app", "fine:number"), ("'fine:number' is an int, which cannot be called",)),
    (("--app", "nameless"), ("module 'nameless' has neither", "'app'")),
    (("--static", "absent"), ("the folder absent does not exist",)),
    (("--static", "file.txt"), ("file.txt is a file, not a folder",)),
    (("--static", ".", "--access-log", "absent/log"), ("the folder absent does not exist",)),
    (("--static", ".", "--bind", "no.such.host.invalid:0"), ("no.such.host.invalid", "unknown here")),
    (("--static", ".", "--bind", "192.0.2.1:0"), ("192.0.2.1", "127.0.0.1")),
    (("--static", ".", "--bind", "unix:absent/s"), ("the folder absent", "does not exist")),
    (("--static", ".", "--bind", "unix:file.txt"), ("file.txt exists",)),
    (("--static", ".", "--bind", "fd://97"), ("descriptor 97 is not open",)),
]


@pytest.mark.parametrize(("words", "said"), ONE_LINE)
def test_one_clear_line(folder: Path, words: tuple[str, ...], said: tuple[str, ...]) -> None:
    """F15 for the applications."""
    address = () if "--bind" in words else PLAIN
    told = serve(folder, *address, *words, *(() if address else ("--no-tls",)))
    assert (told.status, told.out) == (2, "")
    assert told.err.count("\n") == 1, told.err
    assert told.err.startswith("edgestack: ")
    assert all(text in told.err for text in said), told.err


@pytest.mark.parametrize(
    ("module", "said"),
    [("inside", "a_module_that_nobody_has"), ("broken", "SyntaxError"), ("raising", "RuntimeError: no database")],
)
def test_an_import_that_fails_inside(folder: Path, module: str, said: str) -> None:
    """F15: the application's own traceback, from its own file on; nothing of ours around it."""
    told = serve(folder, *PLAIN, "--app", f"{module}:app")
    assert (told.status, told.out) == (2, "")
    assert said in told.err
    assert f"{module}.py" in told.err
    assert str(ROOT / "edgestack") not in told.err
    assert told.err.rstrip().splitlines()[-1] != ""


def test_a_port_in_use(folder: Path) -> None:
    """Who holds it is said: this very test."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        told = serve(folder, "--static", ".", "--bind", f"127.0.0.1:{port}")
    assert told.status == 2
    assert told.err.count("\n") == 1
    assert f"port {port} is already in use" in told.err
    if sys.platform == "linux":
        assert f"(pid {os.getpid()})" in told.err


@pytest.fixture
def certificates(folder: Path) -> tuple[Path, Path, Path]:
    """A certificate, its key, and another key."""
    authority = trustme.CA()
    names = []
    for name in ("one", "two"):
        issued = authority.issue_cert("localhost")
        issued.cert_chain_pems[0].write_to_path(str(folder / f"{name}.pem"))
        issued.private_key_pem.write_to_path(str(folder / f"{name}.key"))
        names.append(folder / name)
    return names[0].with_suffix(".pem"), names[0].with_suffix(".key"), names[1].with_suffix(".key")


def test_a_certificate_that_does_not_match_its_key(folder: Path, certificates: tuple[Path, Path, Path]) -> None:
    cert, key, other = certificates
    for cert_words, said in (
        (("--cert", str(cert), "--key", str(other)), "does not belong to"),
        (("--cert", str(key), "--key", str(key)), str(key)),
        (("--cert", "absent.pem", "--key", str(key)), "absent.pem"),
        (("--cert", str(cert), "--key", "file.txt"), "file.txt"),
    ):
        told = serve(folder, *TLS, "--static", ".", *cert_words)
        assert told.status == 2
        assert told.err.count("\n") == 1, told.err
        assert said in told.err


UNPRIVILEGED = Path("/proc/sys/net/ipv4/ip_unprivileged_port_start")
WITHOUT_RIGHT = ("setpriv", "--bounding-set=-net_bind_service") if os.geteuid() == 0 else ()


@pytest.mark.skipif(not UNPRIVILEGED.exists(), reason="only Linux tells which ports are privileged")
@pytest.mark.skipif(WITHOUT_RIGHT != () and not shutil.which("setpriv"), reason="root without setpriv has every right")
def test_a_port_below_1024(folder: Path) -> None:
    """How to get the right is said."""
    if int(UNPRIVILEGED.read_text()) <= 81:
        pytest.skip("port 81 is open to everybody here")
    told = serve(folder, "--static", ".", "--bind", "127.0.0.1:81", through=WITHOUT_RIGHT)
    assert told.status == 2
    assert told.err.count("\n") == 1
    assert "no right to listen on port 81" in told.err
    assert "setcap" in told.err


def test_a_second_server_with_the_same_pid_file(folder: Path) -> None:
    """A living process is respected."""
    (folder / "pid").write_text(f"{os.getpid()}\n")
    told = serve(folder, *PLAIN, "--static", ".", "--pid", "pid")
    assert told.status == 2
    assert f"pid {os.getpid()}" in told.err
    assert (folder / "pid").read_text() == f"{os.getpid()}\n"
