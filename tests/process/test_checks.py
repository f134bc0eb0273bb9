"""Folders and files that were named: told in one sentence, with what was probably meant (issue 2, §6)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from edgestack.config.model import Config, Log, Route, Server, Static
from edgestack.errors import ConfigError
from edgestack.process.checks import check, closest, static_root, writable
from edgestack.process.options import Options

not_root = pytest.mark.skipif(os.geteuid() == 0, reason="root may write and read everything")


def serving(root: Path) -> Config:
    return Config(routes=(Route(static=Static(root)),))


def logging_to(access: str = "off", error: str = "-") -> Config:
    return Config(server=Server(log=Log(access=access, error=error)))


def refused(config: Config, options: Options | None = None) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        check(config, options or Options())
    return caught.value


def test_all_is_well(tmp_path: Path) -> None:
    check(serving(tmp_path), Options(ready_file=tmp_path / "ready", pid_file=tmp_path / "pid"))
    check(logging_to("-", "-"), Options())
    check(logging_to(str(tmp_path / "access"), str(tmp_path / "error")), Options())


def test_a_missing_folder_and_the_one_that_was_meant(tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    error = refused(serving(tmp_path / "sight"))
    assert error.why == f"the folder {tmp_path}/sight does not exist"
    assert error.hint == f"did you mean {tmp_path}/site?"
    assert error.key == "static"


def test_a_file_where_a_folder_should_be(tmp_path: Path) -> None:
    page = tmp_path / "index.html"
    page.write_text("")
    assert refused(serving(page)).why == f"{page} is a file, not a folder"
    assert refused(serving(page)).hint == f"serve its folder: {tmp_path}"
    assert refused(serving(page / "below")).why == f"{page}/below is a file, not a folder"


@not_root
def test_a_folder_that_cannot_be_read(tmp_path: Path) -> None:
    tmp_path.chmod(0)
    with pytest.raises(ConfigError, match="cannot be read: Permission denied"):
        static_root(tmp_path)
    tmp_path.chmod(0o700)


@not_root
def test_a_log_that_cannot_be_written(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.touch(0o400)
    with pytest.raises(ConfigError, match="cannot be written"):
        writable(path, "access-log")


@pytest.mark.parametrize(("access", "error", "key"), [("{}/a", "-", "access-log"), ("off", "{}/e", "error-log")])
def test_a_log_in_a_missing_folder(tmp_path: Path, access: str, error: str, key: str) -> None:
    missing = tmp_path / "logs"
    told = refused(logging_to(access.format(missing), error.format(missing)))
    assert told.why == f"the folder {missing} does not exist"
    assert told.key == key


def test_a_folder_is_no_log(tmp_path: Path) -> None:
    assert refused(logging_to(str(tmp_path))).why == f"{tmp_path} is a folder, not a file"


@pytest.mark.parametrize(("option", "key"), [("ready_file", "ready-file"), ("pid_file", "pid")])
def test_files_that_are_replaced(tmp_path: Path, option: str, key: str) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    cases = {
        tmp_path / "missing" / "file": f"the folder {tmp_path}/missing does not exist",
        tmp_path: f"{tmp_path} is a folder, not a file",
        pipe: f"{pipe} is not a regular file",
    }
    for path, why in cases.items():
        error = refused(Config(), Options(**{option: path}))
        assert (error.why, error.key) == (why, key)


def test_nothing_near(tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "zzzz").write_text("")
    assert closest(tmp_path / "zzzy") == ""
    assert closest(tmp_path / "missing" / "site") == ""
