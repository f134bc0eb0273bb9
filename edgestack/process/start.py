"""Where a server is started, and where it is to run: what relative paths mean when these are not the same.

    Start(folder, overrides, application)    what was said outside of the file, and from where
      .home                                  the folder to run in, as it was said there
      .absolute(home)                        the same, good in every folder
    own_home(document)                       the folder to run in, as the file says

Paths of flags are relative to where one typed them; under `run` they are, as with gunicorn, relative to `home`, since
gunicorn is there before it opens anything. Nothing is entered here: `identity.settle` does that, later.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from edgestack.config.documents import Document
from edgestack.config.overrides import Override
from edgestack.config.positions import Mark

__all__ = ["Start", "look_in", "own_home", "whole"]


class Start(NamedTuple):
    """A command, and the folder in which it was given."""

    folder: Path
    overrides: tuple[Override, ...]
    application: bool
    """Whether it is `run`."""

    @property
    def home(self) -> Path | None:
        """The folder in which the server is to run; None where these words do not say it."""
        said = [one.value for one in self.overrides if one.name == "chdir"]
        return self.folder.absolute() / said[-1] if said and isinstance(said[-1], str) else None

    def absolute(self, home: Path) -> Start:
        """The same words, which mean the same in every folder."""
        folder = self.folder.absolute()
        base = home if self.application else folder
        settled = (replace(one, value=str(home)) if one.name == "chdir" else one for one in self.overrides)
        return Start(folder, tuple(replace(one, folder=base) for one in settled), self.application)


def own_home(document: Document) -> Path | None:
    """The folder in which the server is to run, as the file says."""
    said, mark = _said(document, "chdir")
    return mark.source.folder.absolute() / said if isinstance(said, str) else None


def whole(file: Path | None, folder: Path) -> Path | None:
    """A configuration file by a name that is good in every folder; a module has none.

    :param folder: what its name is relative to.
    """
    if file is None or str(file).startswith("python:"):
        return file
    if str(file).startswith("file:"):
        return Path(f"file:{folder / str(file).removeprefix('file:')}")
    return folder / file


def look_in(document: Document, overrides: tuple[Override, ...], home: Path | None) -> None:
    """Put the folders of modules on sys.path: whether an application is there is asked before anything is served."""
    said, mark = _said(document, "pythonpath")
    base = mark.source.folder
    for one in overrides:
        if one.name == "pythonpath":
            said, base = one.value, one.folder
    folders: Iterable[Any] = [said] if isinstance(said, str) else said or ()
    found = [str(base.absolute() / one) for one in folders if isinstance(one, str)]
    for path in [*([str(home)] if home is not None else []), *reversed(found)]:
        if path not in sys.path:
            sys.path.insert(0, path)


def _said(document: Document, name: str) -> tuple[Any, Mark]:
    """What the file says of a key of `[server]`, and where."""
    server = document.values.get("server")
    value = server.get(name) if isinstance(server, dict) else None
    return value, document.mark.child("server").child(name)
