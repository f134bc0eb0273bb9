"""A gunicorn configuration as a document: the same that a TOML file gives, with every value at its line.

    read_python(Path("gunicorn.conf.py")) -> (Document, Said)

Names that are no settings are the user's own. A setting without a counterpart is told in a warning; one whose value
makes no sense, at its line, as in every other file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

from edgestack.config.documents import Document
from edgestack.config.overrides import FLAGS, FORM
from edgestack.config.positions import Mark
from edgestack.config.problems import ConfigErrors, Problem
from edgestack.errors import ConfigError
from edgestack.process.gunicorn.log_atoms import template_of
from edgestack.process.gunicorn.python_file import PythonFile, Script, run_file, run_script
from edgestack.process.gunicorn.said import Cfg, Said, hook
from edgestack.process.gunicorn.settings import DAEMON, SETTINGS, Setting
from edgestack.process.hooks import HOOKS

__all__ = ["read_python", "remarks", "said_again"]

REQUIRED = 2
"""`ssl.CERT_REQUIRED`: the value of `cert_reqs` under which clients must bring a certificate."""


def read_python(path: Path, folder: Path = Path(), chdir: Path | None = None) -> tuple[Document, Said]:
    """Run a configuration, and tell in our own terms what it says.

    Its relative paths are relative to the folder in which the server will run: its `chdir`, or a stronger one.

    :param path: as `python_file.run_file` takes it.
    :param folder: what a relative `chdir` is relative to: the one in which we were started.
    :param chdir: a `chdir` that is stronger than the file's own.
    :raises ConfigErrors: it fails, or a value is none.
    """
    reader = _Reader(run_file(path, folder))
    if reader.problems:
        raise ConfigErrors(reader.problems)
    server = reader.document.values.get("server", {})
    if isinstance(server.get("chdir"), str):
        server["chdir"] = str(folder.absolute() / server["chdir"])
        chdir = chdir or Path(server["chdir"])
    if chdir is not None:
        reader.document.mark.source.folder = chdir
    return reader.document, reader.said()


def said_again(script: Script, values: Mapping[str, Any]) -> Said:
    """In a worker: the functions of the same text, and what held when it was read.

    :param values: `cfg`, as far as it could be sent.
    :raises ConfigErrors: what could be run in the supervisor, cannot be here.
    """
    reader = _Reader(run_script(script))
    if reader.problems:
        raise ConfigErrors(reader.problems)
    said = reader.said()
    return replace(said, cfg=Cfg({**said.settings, **values}))


def remarks(setting: Setting, value: Any) -> Iterator[str]:
    """What is to be said about a value that is given outside of a file, or in one."""
    if setting.lost and value not in (setting.default, *setting.held):
        yield f"gunicorn's `{setting.name}` does nothing here: {setting.lost}"
    if setting.name == "access_log_format" and isinstance(value, str):
        for atom in template_of(value)[1]:
            yield f"{atom} is not known here, and gives `-`"


class _Reader:
    """One file on its way."""

    def __init__(self, ran: PythonFile) -> None:
        self.problems: list[ConfigError] = []
        self.settings = {
            name: value for name, value in ran.names.items() if name in SETTINGS and not isinstance(value, ModuleType)
        }
        """In the order in which they were first said."""
        self._ran = ran
        self._whole = Mark(ran.source, (0, 0), (0, 0), {})
        self.document = Document({}, self._whole, [Path(ran.script.path)])
        self._hooks: dict[str, Callable[..., Any]] = {}
        for name, value in self.settings.items():
            self._take(name, value)
        self._settle()
        if isinstance(self.settings.get("wsgi_app"), str):
            self._serve(self.settings["wsgi_app"])

    def said(self) -> Said:
        """What stands in no key."""
        context = self._hooks.pop("ssl_context", None)
        table = self.settings.get("logconfig_dict")
        logging = table if isinstance(table, Mapping) and table else None
        return Said(self._ran.script, self.settings, self._hooks, context, logging)

    def _take(self, name: str, value: Any) -> None:
        """One setting."""
        if name == "daemon" and value:
            self._problem(name, *DAEMON)
        for remark in remarks(SETTINGS[name], value):
            mark = self._mark(name)
            self.document.warnings.append(Problem(remark, mark.source, (mark.start, mark.end), key=name))
        try:
            if name in HOOKS or name == "ssl_context":
                self._hooks[name] = hook(name, value)
            elif value is not None or SETTINGS[name].default is not None:
                self._put_all(name, SETTINGS[name].read(value))
            elif name == "accesslog":
                self._put_all(name, SETTINGS[name].read(None))
        except ConfigError as error:
            self._problem(name, error.why, error.hint)

    def _put_all(self, name: str, keys: Mapping[str, Any]) -> None:
        for key, value in keys.items():
            if key == FORM:
                self._put(("log_formats",), FORM, value, name)
                self._put(("server",), "log_format", FORM, name)
            else:
                self._put(FLAGS[key].tables, FLAGS[key].name, value, name)

    def _settle(self) -> None:
        """What several settings say together."""
        secure = self.settings.get("certfile")
        if secure and not self.settings.get("keyfile"):
            self._put_all("certfile", {"key": [secure]})
        if self.settings.get("cert_reqs", 0) != REQUIRED and "tls" in self.document.values:
            self.document.values["tls"].pop("client_ca", None)

    def _serve(self, target: str) -> None:
        """The application, as the content of every path."""
        mark = self._mark("wsgi_app")
        self.document.values["route"] = [{"app": target}]
        route = Mark(mark.source, (mark.start, mark.end), (mark.start, mark.end), {"app": mark})
        assert isinstance(self._whole.parts, dict)
        self._whole.parts["route"] = Mark(mark.source, (mark.start, mark.end), (mark.start, mark.end), [route])

    def _put(self, tables: tuple[str, ...], key: str, value: Any, name: str) -> None:
        """A value into its table, which is made where it is not there."""
        values, place = self.document.values, self._whole
        for table in tables:
            values = values.setdefault(table, {})
            assert isinstance(place.parts, dict)
            place = place.parts.setdefault(table, Mark(self._ran.source, (0, 0), (0, 0), {}))
        assert isinstance(place.parts, dict)
        values[key] = value
        place.parts[key] = _spread(self._mark(name), value)

    def _mark(self, name: str) -> Mark:
        """Where a setting stands; the file as a whole, where that is not known."""
        return self._ran.marks.get(name) or Mark(self._ran.source, (0, 0), (0, 0))

    def _problem(self, name: str, why: str, hint: str = "") -> None:
        mark = self._mark(name)
        self.problems.append(Problem(why, mark.source, (mark.start, mark.end), hint=hint, key=name))


def _spread(mark: Mark, value: Any) -> Mark:
    """A mark whose parts stand where the whole does."""
    spans = (mark.key_start, mark.key_end), (mark.start, mark.end)
    if isinstance(value, list):
        return Mark(mark.source, *spans, [Mark(mark.source, *spans) for _ in value])
    if isinstance(value, dict):
        return Mark(mark.source, *spans, {name: Mark(mark.source, *spans) for name in value})
    return Mark(mark.source, *spans)
