"""Servers that several tests share: each is started once, when it is first needed, and checked when it has stopped."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from server_kit import FRAMEWORKS, Server, needs, running

FILE_SIZE = 300_000


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data folder of all servers: one development authority, made by the first of them."""
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="session")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the applications send as a file."""
    path = tmp_path_factory.mktemp("file") / "photo.bin"
    path.write_bytes(bytes(range(250)) * (FILE_SIZE // 250))
    return path


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that others may read, as pytest's own are not."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(os.path.realpath(name))
        folder.chmod(0o755)
        yield folder


@pytest.fixture(scope="session", params=list(FRAMEWORKS))
def framework(request: pytest.FixtureRequest) -> str:
    """Each of the three applications in turn."""
    if request.param != "bare":
        needs(request.param)
    return str(request.param)


@pytest.fixture(scope="session")
def server(framework: str, data: Path, file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """An application alone, over TLS."""
    folder = tmp_path_factory.mktemp(framework)
    with running(folder, "--app", FRAMEWORKS[framework], data=data, env={"EDGE_FILE": str(file)}) as server:
        yield server


@pytest.fixture(scope="session")
def bare(data: Path, file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The bare application, over TLS, with a log in JSON."""
    folder = tmp_path_factory.mktemp("bare-json")
    words = ("--app", FRAMEWORKS["bare"], "--max-body", "60MB")
    with running(folder, *words, data=data, env={"EDGE_FILE": str(file)}) as server:
        yield server
