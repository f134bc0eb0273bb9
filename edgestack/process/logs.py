"""The error log: what the `edgestack.*` loggers say, on standard error or in a file, as text or as JSON lines.

    2026-11-23 07:34:56 +0000 error: message      a message of several lines goes on indented, so that nothing that a
        second line of the message                client made us say can pass for a line of the log
    {"time": …, "level": …, "logger": …, "message": …, "traceback": …}

`gunicorn.error` and `gunicorn.access` write there too: applications that were written for gunicorn log to them, or take
their handlers. Other loggers of the application are its own business, unless `log_config` says something about them;
where that gives handlers to `gunicorn.error` and `gunicorn.access`, both our logs go there. The access log is
`phases/access_log.py`.
"""

from __future__ import annotations

import io
import json
import logging
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

from edgestack.config.model import Log
from edgestack.errors import ConfigError
from edgestack.phases.log_file import open_for_lines
from edgestack.process.options import Options

__all__ = ["ErrorLog", "access_logger", "configure_logging", "open_error_log"]

ERRORS, ACCESS = "gunicorn.error", ("edgestack.access", "gunicorn.access")
LOGGERS = ("edgestack", ERRORS, "gunicorn.access")
"""Loggers whose records are lines of the error log."""

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
    """What takes the records of `LOGGERS`, for as long as the process serves: one handler, or the user's own."""

    __slots__ = ("_captures", "_handler", "_lent", "_path", "_table")

    def __init__(self, log: Log, table: Mapping[str, Any] | None = None) -> None:
        """
        :param table: a configuration of `logging.config.dictConfig`, instead of a file of `log`.
        :raises OSError: the file cannot be opened.
        :raises ConfigError: what logging is told makes no sense.
        """
        self._path = _path(log)
        self._table = table
        self._captures = log.capture_output
        self._lent: list[logging.Handler] = []
        """The user's, which take our records too."""
        self._handler = QuietHandler(sys.stderr if self._path is None else _opened(self._path))
        try:
            self._attach(log)
        except ConfigError:
            self.close()
            raise

    def _attach(self, log: Log) -> None:
        self._handler.setFormatter(_formatter(log))
        for name in LOGGERS:
            logger = logging.getLogger(name)
            logger.setLevel(log.level.upper())
            logger.propagate = False
            if self._handler not in logger.handlers:
                logger.addHandler(self._handler)
        configure_logging(log.config, self._table)
        self._yield()
        self._capture()

    def _yield(self) -> None:
        """Where the user's configuration gives handlers to `gunicorn.error`, they are ours too."""
        own = logging.getLogger("edgestack")
        for handler in self._lent:
            own.removeHandler(handler)
        self._lent = [one for one in logging.getLogger(ERRORS).handlers if one is not self._handler]
        if self._lent:
            logging.getLogger(ERRORS).removeHandler(self._handler)
            own.removeHandler(self._handler)
            for handler in self._lent:
                own.addHandler(handler)

    def _capture(self) -> None:
        """What is printed goes into the file as well; a line at a time, whoever prints."""
        if self._captures and self._path is not None:
            for stream in (sys.stdout, sys.stderr):
                stream.flush()
                if isinstance(stream, io.TextIOWrapper):
                    stream.reconfigure(line_buffering=True)
                os.dup2(self._handler.stream.fileno(), stream.fileno())

    def change(self, log: Log, options: Options | None = None) -> None:
        """Another file, another form (reload); the old file stays in use when the new one cannot be opened."""
        self._table = _table(options)
        path = _path(log)
        if path != self._path:
            try:
                fresh = sys.stderr if path is None else _opened(path)
            except OSError as error:
                logging.getLogger("edgestack").error("the error log %s cannot be opened: %s", path, error.strerror)
                return
            before = self._handler.setStream(fresh)
            if before and self._path is not None:
                before.close()
            self._path = path
        try:
            self._attach(log)
        except ConfigError as error:
            logging.getLogger("edgestack").error("%s", error)

    def reopen(self) -> None:
        """Open the file anew by its name (SIGUSR1, logrotate); the old one stays in use when that fails."""
        if self._path is None:
            return
        try:
            fresh = _opened(self._path)
        except OSError as error:
            logging.getLogger("edgestack").error("the error log %s cannot be reopened: %s", self._path, error.strerror)
            return
        if before := self._handler.setStream(fresh):
            before.close()
        self._capture()

    def close(self) -> None:
        """Write what is left; what is logged afterwards goes nowhere."""
        self._handler.flush()
        for handler in self._lent:
            logging.getLogger("edgestack").removeHandler(handler)
        for name in LOGGERS:
            logger = logging.getLogger(name)
            logger.removeHandler(self._handler)
            logger.propagate = True
        if self._path is not None:
            self._handler.stream.close()
        self._handler.close()


def open_error_log(log: Log, options: Options | None = None) -> ErrorLog:
    """Open the error log; its lines have the form of the access log's.

    :param options: may bring a table for logging's own configuration.
    :raises ConfigError: the file cannot be opened, or logging's configuration makes no sense.
    """
    try:
        return ErrorLog(log, _table(options))
    except OSError as error:
        raise ConfigError(f"the error log {log.error} cannot be opened: {error.strerror}", key="error-log") from None


def _table(options: Options | None) -> Mapping[str, Any] | None:
    said = options.gunicorn if options is not None else None
    return None if said is None else said.logging


def configure_logging(path: Path | None, table: Mapping[str, Any] | None) -> None:
    """Have Python's logging.config do what the user says; loggers that there are stay enabled.

    :param path: a file for `fileConfig`, or JSON for `dictConfig`.
    :param table: for `dictConfig`; stronger.
    :raises ConfigError: it makes no sense.
    """
    if path is None and table is None:
        return
    import logging.config

    try:
        if table is None and path is not None and path.suffix == ".json":
            table = json.loads(path.read_text("utf-8"))
        if table is not None:
            logging.config.dictConfig({"version": 1, "disable_existing_loggers": False, **table})
        elif path is not None:
            known = {"__file__": str(path), "here": str(path.parent)}
            logging.config.fileConfig(path, defaults=known, disable_existing_loggers=False)
    except Exception as error:  # whatever the classes that it names may raise
        place = "logconfig_dict" if path is None else str(path)
        cause = f": {error.__cause__}" if error.__cause__ is not None else ""
        why = f"{place} does not configure logging: {type(error).__name__}: {error}{cause}"
        raise ConfigError(why, key="log-config") from None


def access_logger() -> logging.Logger | None:
    """The logger that the user's configuration wants the access log's lines to go to; None without one."""
    for name in ACCESS:
        logger = logging.getLogger(name)
        if logger.handlers and not any(isinstance(one, QuietHandler) for one in logger.handlers):
            return logger
    return None


def _path(log: Log) -> Path | None:
    return None if log.error == "-" else Path(log.error)


def _formatter(log: Log) -> logging.Formatter:
    return JsonLines() if log.format == "json" else TextLines()


def _opened(path: Path) -> TextIO:
    """Without a buffer: on a full disk, what could not be written must not come back as an error of `close`."""
    raw = io.FileIO(open_for_lines(path), "w")
    return io.TextIOWrapper(raw, encoding="utf-8", errors="backslashreplace", write_through=True)
