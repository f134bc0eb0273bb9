"""The pid file and the ready file (issue 2, §6)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgestack.errors import ConfigError
from edgestack.process.markers import claim_pid_file, ready_text, write_ready_file


@pytest.fixture
def other() -> Iterator[int]:
    """Another process that lives."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process.pid
        process.communicate(b"\n")


def test_the_ready_file_is_a_json_list(tmp_path: Path) -> None:
    path = tmp_path / "ready.json"
    path.write_text("an old one")
    urls = ["https://127.0.0.1:8443", "unix:/run/é.sock"]
    marker = write_ready_file(path, urls)
    assert json.loads(path.read_text()) == urls
    assert os.listdir(tmp_path) == ["ready.json"]
    marker.remove()
    assert not path.exists()
    marker.remove()


def test_a_marker_says_something_else(tmp_path: Path) -> None:
    path = tmp_path / "ready.json"
    marker = write_ready_file(path, ["https://127.0.0.1:1"])
    marker.change(ready_text(["https://127.0.0.1:2"]))
    assert json.loads(path.read_text()) == ["https://127.0.0.1:2"]
    assert os.listdir(tmp_path) == ["ready.json"]
    marker.remove()
    assert not path.exists()


def test_removing_leaves_another_s_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "ready.json"
    marker = write_ready_file(path, ["https://127.0.0.1:1"])
    path.write_text("another process's")
    marker.remove()
    assert path.read_text() == "another process's"


def test_a_relative_path_is_found_again_from_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    marker = write_ready_file(Path("ready.json"), [])
    monkeypatch.chdir("/")
    marker.remove()
    assert os.listdir(tmp_path) == []


def test_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be written"):
        write_ready_file(tmp_path / "missing" / "ready.json", [])


def test_the_pid_file(tmp_path: Path) -> None:
    path = tmp_path / "pid"
    marker = claim_pid_file(path)
    assert path.read_text() == f"{os.getpid()}\n"
    marker.remove()
    assert os.listdir(tmp_path) == []


def test_a_living_server_is_respected(tmp_path: Path, other: int) -> None:
    path = tmp_path / "pid"
    path.write_text(f"{other}\n")
    with pytest.raises(ConfigError, match=rf"says that a server runs already: .* \(pid {other}\)"):
        claim_pid_file(path)
    assert path.read_text() == f"{other}\n"


def gone() -> str:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    return f"{process.pid}\n"


@pytest.mark.parametrize("text", ["", "nonsense", "0", "-1", "9" * 30, "ours", "gone"])
def test_a_stale_pid_file_is_replaced(tmp_path: Path, text: str) -> None:
    path = tmp_path / "pid"
    path.write_text({"ours": f"{os.getpid()}\n", "gone": gone()}.get(text, text))
    claim_pid_file(path)
    assert path.read_text() == f"{os.getpid()}\n"


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="this system does not tell when a process started")
def test_a_number_that_was_given_out_again_is_stale(tmp_path: Path, other: int) -> None:
    path = tmp_path / "pid"
    path.write_text(f"{other}\n")
    os.utime(path, (0, 1_000_000_000))
    claim_pid_file(path)
    assert path.read_text() == f"{os.getpid()}\n"
