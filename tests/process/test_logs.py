"""The error log (issue 2, §6)."""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest

from edgestack.config.model import Log
from edgestack.errors import ConfigError
from edgestack.process.logs import LOGGERS, JsonLines, TextLines, access_logger, open_error_log

log = logging.getLogger("edgestack.error")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "error.log"


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    loggers = [logging.getLogger(name) for name in LOGGERS]
    levels = [logger.level for logger in loggers]
    yield
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)
        assert logger.propagate
        assert logger.handlers == []


def test_text_lines(path: Path) -> None:
    opened = open_error_log(Log(error=str(path)))
    log.error("it broke: %s", "badly")
    logging.getLogger("edgestack.tls").info("a new certificate")
    opened.close()
    first, second = path.read_text().splitlines()
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [+-]\d{4} error: it broke: badly", first)
    assert second.endswith(" info: a new certificate")


def test_json_lines_with_a_traceback(path: Path) -> None:
    opened = open_error_log(Log(error=str(path), format="json"))
    try:
        raise KeyError("é")
    except KeyError:
        log.exception("it broke")
    opened.close()
    said = json.loads(path.read_text())
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", said["time"])
    assert (said["level"], said["logger"], said["message"]) == ("error", "edgestack.error", "it broke")
    assert said["traceback"].startswith("Traceback ")


def record(message: str) -> logging.LogRecord:
    return logging.LogRecord("edgestack.error", logging.ERROR, "", 0, message, None, None)


@pytest.mark.parametrize("evil", ["a\n2026-11-23 07:34:56 +0000 error: forged", "a\x1b[2Jb", "a\rb", "a\x9bb\x85c"])
def test_nobody_forges_a_line(evil: str) -> None:
    lines = TextLines().format(record(evil)).splitlines()
    assert all(line.startswith("    ") for line in lines[1:])
    assert all(line.replace("\t", "").isprintable() for line in lines)
    assert JsonLines().format(record(evil)).isprintable()


def test_reopening(path: Path) -> None:
    opened = open_error_log(Log(error=str(path)))
    log.error("one")
    path.rename(path.with_suffix(".1"))
    log.error("two")
    opened.reopen()
    log.error("three")
    opened.close()
    assert [line.split()[-1] for line in path.with_suffix(".1").read_text().splitlines()] == ["one", "two"]
    assert [line.split()[-1] for line in path.read_text().splitlines()] == ["three"]


def test_the_old_file_stays_in_use_when_the_new_one_cannot_be_opened(path: Path) -> None:
    opened = open_error_log(Log(error=str(path)))
    moved = path.with_suffix(".1")
    path.rename(moved)
    path.mkdir()
    opened.reopen()
    log.error("still here")
    opened.close()
    assert "cannot be reopened" in moved.read_text()
    assert moved.read_text().endswith("still here\n")


def test_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    opened = open_error_log(Log())
    opened.reopen()
    log.warning("hello")
    opened.close()
    assert capsys.readouterr().err.endswith("warning: hello\n")


def test_a_full_disk_is_no_error_of_whoever_logs(capsys: pytest.CaptureFixture[str]) -> None:
    opened = open_error_log(Log(error="/dev/full"))
    log.error("nobody reads this")
    opened.reopen()
    log.error("nor this")
    opened.close()
    assert capsys.readouterr().err == ""


def test_a_named_pipe_that_nobody_reads(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is opened without waiting, and what it has no room for is lost; whoever logs notices nothing."""
    name = tmp_path / "pipe"
    os.mkfifo(name)
    opened = open_error_log(Log(error=str(name)))
    for number in range(1000):
        logging.getLogger("edgestack.error").error("%d %s", number, "x" * 100)
    reader = os.open(name, os.O_RDONLY | os.O_NONBLOCK)
    first = os.read(reader, 100)
    os.close(reader)
    opened.close()
    assert b"error: 0 xxx" in first
    assert capsys.readouterr().err == ""


def test_a_log_that_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"the error log .* cannot be opened") as caught:
        open_error_log(Log(error=str(tmp_path)))
    assert caught.value.key == "error-log"


# --- the loggers of gunicorn, and logging's own configuration ---------------------------------------------------------


def test_what_is_logged_as_under_gunicorn_is_heard(path: Path) -> None:
    """Flask's users take the handlers and the level of `gunicorn.error`."""
    opened = open_error_log(Log(error=str(path), level="warning"))
    theirs = logging.getLogger("gunicorn.error")
    own = logging.Logger("shop", theirs.level)
    own.handlers = theirs.handlers
    theirs.warning("one")
    own.warning("two")
    own.info("not worth a line")
    logging.getLogger("gunicorn.access").error("three")
    log.info("nor this")
    opened.change(Log(error=str(path), level="info"))
    log.info("but this")
    opened.close()
    assert [line.rpartition(": ")[2] for line in path.read_text().splitlines()] == ["one", "two", "three", "but this"]


class Kept(logging.Handler):
    """Keeps what it is given."""

    said: ClassVar[list[str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(f"{record.name}: {record.getMessage()}")


def test_handlers_of_a_table_take_both_logs(path: Path, tmp_path: Path) -> None:
    handlers = {"kept": {"class": f"{__name__}.Kept"}}
    loggers = {name: {"handlers": ["kept"], "level": "INFO"} for name in ("gunicorn.error", "gunicorn.access")}
    (tmp_path / "l.json").write_text(json.dumps({"version": 1, "handlers": handlers, "loggers": loggers}))
    Kept.said.clear()
    opened = open_error_log(Log(error=str(path), config=tmp_path / "l.json"))
    try:
        log.info("ours")
        logging.getLogger("gunicorn.error").info("theirs")
        assert access_logger() is logging.getLogger("gunicorn.access")
        assert Kept.said == ["edgestack.error: ours", "gunicorn.error: theirs"]
        assert path.read_text() == ""
    finally:
        opened.close()
        for name in LOGGERS:
            logging.getLogger(name).handlers.clear()


def test_without_one_the_access_log_is_a_file() -> None:
    opened = open_error_log(Log())
    assert access_logger() is None
    opened.close()


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("l.ini", "[loggers]\nkeys=root", "KeyError: 'formatters'"),
        ("l.json", "{", "JSONDecodeError: Expecting property name"),
        ("l.json", '{"handlers": {"x": {"class": "no.Such"}}}', "ValueError: Unable to configure handler 'x'"),
    ],
)
def test_what_logging_cannot_read_is_one_line(name: str, text: str, why: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    before = [list(logging.getLogger(logger).handlers) for logger in LOGGERS]
    with pytest.raises(ConfigError) as caught:
        open_error_log(Log(config=tmp_path / name))
    assert caught.value.why.startswith(f"{tmp_path / name} does not configure logging: {why}")
    assert caught.value.key == "log-config"
    assert [list(logging.getLogger(logger).handlers) for logger in LOGGERS] == before
