"""The error log: what the `edgestack.*` loggers say, on standard error or in a file, as text or as JSON lines.

    2026-11-23 07:34:56 +0000 error: message      a message of several lines goes on indented, so that nothing that a
        second line of the message                client made us say can pass for a line of the log
    {"time": …, "level": …, "logger": …, "message": …, "traceback": …}

The application's own loggers are its own business. The access log is `phases/access_log.py`.
"""

from __future__ import annotations

import io
import json
import logging
import sys
import time
from pathlib import Path
from typing import TextIO

from edgestack.config.model import Log
from edgestack.errors import ConfigError
from edgestack.phases.log_file import open_for_lines

__all__ = ["ErrorLog", "open_error_log"]

CONTROLS = {code: f"\\x{code:02X}" for code in (*range(0x20), *range(0x7F, 0xA0)) if code not in (0x09, 0x0A)}


class TextLines(logging.Formatter):
    """One line a record; the lines of a traceback below it, indented."""

    def format(self, record: logging.LogRecord) -> str:
        moment = time.strftime("%Y-%m-%d %H:%M:%S %z", time.localtime(record.created))
        text = f"{moment} {record.levelname.lower()}: {record.getMessage()}"
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        return text.translate(CONTROLS).rstrip("\n").replace("\n", "\n    ")


class JsonLines(logging.Formatter):
    """One JSON object a record."""

    def format(self, record: logging.LogRecord) -> str:
        seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line = {
            "time": f"{seconds}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line)


class QuietHandler(logging.StreamHandler[TextIO]):
    """Writes where it can: a full disk or a closed pipe must not bring more errors into the places that log."""

    def handleError(self, record: logging.LogRecord) -> None:
        """There is no third place to complain in."""


class ErrorLog:
    """The handler of all `edgestack` loggers, for as long as the process serves."""

    __slots__ = ("_handler", "_logger", "_path")

    def __init__(self, path: Path | None, formatter: logging.Formatter) -> None:
        """:raises OSError: the file cannot be opened."""
        self._path = path
        self._handler = QuietHandler(sys.stderr if path is None else _opened(path))
        self._handler.setFormatter(formatter)
        self._logger = logging.getLogger("edgestack")
        self._logger.addHandler(self._handler)
        self._logger.setLevel(logging.INFO)
        self._logger.propagate = False

    def change(self, log: Log) -> None:
        """Another file, another form (reload); the old file stays in use when the new one cannot be opened."""
        self._handler.setFormatter(_formatter(log))
        path = None if log.error == "-" else Path(log.error)
        if path == self._path:
            return
        try:
            fresh = sys.stderr if path is None else _opened(path)
        except OSError as error:
            self._logger.error("the error log %s cannot be opened: %s", path, error.strerror)
            return
        before = self._handler.setStream(fresh)
        if before and self._path is not None:
            before.close()
        self._path = path

    def reopen(self) -> None:
        """Open the file anew by its name (SIGUSR1, logrotate); the old one stays in use when that fails."""
        if self._path is None:
            return
        try:
            fresh = _opened(self._path)
        except OSError as error:
            self._logger.error("the error log %s cannot be reopened: %s", self._path, error.strerror)
            return
        if before := self._handler.setStream(fresh):
            before.close()

    def close(self) -> None:
        """Write what is left; what is logged afterwards goes nowhere."""
        self._handler.flush()
        self._logger.removeHandler(self._handler)
        self._logger.propagate = True
        if self._path is not None:
            self._handler.stream.close()
        self._handler.close()


def open_error_log(log: Log) -> ErrorLog:
    """Open the error log; its lines have the form of the access log's.

    :raises ConfigError: the file cannot be opened.
    """
    try:
        return ErrorLog(None if log.error == "-" else Path(log.error), _formatter(log))
    except OSError as error:
        raise ConfigError(f"the error log {log.error} cannot be opened: {error.strerror}", key="error-log") from None


def _formatter(log: Log) -> logging.Formatter:
    return JsonLines() if log.format == "json" else TextLines()


def _opened(path: Path) -> TextIO:
    """Without a buffer: on a full disk, what could not be written must not come back as an error of `close`."""
    raw = io.FileIO(open_for_lines(path), "w")
    return io.TextIOWrapper(raw, encoding="utf-8", errors="backslashreplace", write_through=True)
