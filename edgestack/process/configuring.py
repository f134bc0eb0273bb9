"""From words to what is served: the file, the environment and the flags together make a `Config` and `Options`.

    sources(context)               what a command of click was told: the file, and what is said outside of it
    configure(path, overrides)     read, checked and completed; raises ConfigErrors with all that is wrong
    configure_again(options)       the same for a reload
    placed(error, loaded)          an error of a later step, put at the line, the variable or the flag at fault

Nothing is opened here, and no socket is known. Relative paths of flags are relative to the folder in which we are
started, those of a file to its own; under `run`, as with gunicorn, both are relative to `chdir` where that is said.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace
from operator import methodcaller
from pathlib import Path
from typing import Any, NamedTuple

import click
from click.core import ParameterSource

from edgestack.config.documents import Document
from edgestack.config.load import FILE_NAME, Loaded, find, load, opened
from edgestack.config.model import CONTENT, Config, Route, Site
from edgestack.config.overrides import FLAGS, SHORTHAND, Override, from_environment, from_flags
from edgestack.config.positions import Mark
from edgestack.config.problems import Problem
from edgestack.errors import ConfigError
from edgestack.process.gunicorn import is_python
from edgestack.process.options import Options

__all__ = ["Configured", "Sources", "configure", "configure_again", "needed_file", "placed", "said_in", "sources"]


LONG = methodcaller("startswith", "--")
"""Whether an option is one of more than a letter."""


class Sources(NamedTuple):
    """Where a configuration comes from."""

    file: Path | None
    found: bool
    """Whether the file was found, and not named."""
    overrides: tuple[Override, ...]


class Configured(NamedTuple):
    """A configuration, ready to be composed."""

    config: Config
    options: Options
    loaded: Loaded


def sources(context: click.Context) -> Sources:
    """What the words and the environment of a command say.

    :param context: of a command with `-c`, and perhaps options that are keys of the file.
    """
    named = context.params.get("config")
    overrides = (*from_environment(os.environ), *said_in(context))
    file = named if named is not None else find(Path())
    return Sources(file, named is None and file is not None, overrides)


def said_in(context: click.Context, origin: str = "") -> tuple[Override, ...]:
    """What the words of a command say outside of the file, those first that only gunicorn has.

    :param origin: what to call all of them; each by its own name, without a word.
    :raises ConfigError: a value makes no sense.
    """
    said = {
        name: value
        for name, value in context.params.items()
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE
    }
    names = {one.name: next(filter(LONG, one.opts), one.opts[0]) for one in context.command.params}
    foreign = {name: value for name, value in said.items() if name not in FLAGS and name not in SHORTHAND}
    found = tuple(from_flags(said))
    if foreign.keys() - {"config"}:
        from edgestack.process.gunicorn.words import from_options  # not for those who say nothing of gunicorn's

        found = (*from_options(foreign, lambda name: names[name]), *found)
    return tuple(replace(one, origin=origin) for one in found) if origin else found


def needed_file(context: click.Context) -> Sources:
    """The same, for commands that are about a file.

    :raises ConfigError: none was named, and none is here.
    """
    found = sources(context)
    if found.file is None:
        hint = "name one with -c, or begin one with `edgestack config init`"
        raise ConfigError(f"there is no {FILE_NAME} in this folder", hint=hint)
    return found


def configure(
    file: Path | None,
    overrides: Iterable[Override] = (),
    *,
    found: bool = False,
    application: bool = False,
    folder: Path | None = None,
) -> Configured:
    """Read a configuration and complete it. Folders in which modules are looked for come first on sys.path.

    :param file: None for what flags and the environment alone say.
    :param found: whether nobody named the file.
    :param application: whether one application is to be served, and nothing in its place.
    :param folder: where the process was started; here, without a word.
    :raises ConfigErrors: it makes no sense.
    """
    here, overrides = folder or Path(), tuple(overrides)
    home = _chosen_home(overrides, here)
    if file is not None and is_python(file):
        from edgestack.process.gunicorn.reading import read_python  # nor this
        from edgestack.process.gunicorn.words import defaults

        document, said = read_python(file, here, home)
        overrides = overrides if application else (*defaults({}), *overrides)
    else:
        document, said = opened(file), None
    home = home or _own_home(document)
    if home is not None:
        here = Path.cwd() if folder is None else folder
        overrides = tuple(replace(one, folder=home if application else here) for one in _settled(overrides, home))
        file = _whole(file, here)
        document = document if said is not None else opened(file)
    _look_in(document, overrides, home)
    notes: tuple[str, ...] = ()
    serving: tuple[Override, ...] = ()
    if not _has_content(document, overrides, ("app",) if application else CONTENT):
        if application:
            raise ConfigError("no application is named", hint="edgestack run MODULE:NAME")
        root, shown = ("site", "./site") if Path("site").is_dir() else (".", "this folder")
        serving = (Override("static", root, "default"),)
        missing = f"{file} has no route" if file is not None else "None of --static, --app and --proxy was given"
        notes = (f"{missing}: serving {shown}.",)
    loaded = load(document, (*serving, *overrides))
    config = _completed(loaded)
    options = replace(
        _options(loaded), notes=notes, file=file, found=found, overrides=overrides, application=application,
        folder=here if home is not None else None, gunicorn=None if said is None else said.held(config),
    )  # fmt: skip
    return Configured(config, options, loaded)


def configure_again(options: Options) -> Configured:
    """Read everything that a configuration came from once more, as it is now.

    :raises ConfigErrors: it makes no sense any more.
    """
    return configure(
        options.file,
        options.overrides,
        found=options.found,
        application=options.application,
        folder=options.folder,
    )


# --- another folder than this one -------------------------------------------------------------------------------------


def _chosen_home(overrides: tuple[Override, ...], here: Path) -> Path | None:
    """The folder in which the server is to run, as somebody says outside of the file."""
    said = [one.value for one in overrides if one.name == "chdir"]
    return here.absolute() / said[-1] if said and isinstance(said[-1], str) else None


def _own_home(document: Document) -> Path | None:
    """The same, as the file says."""
    server = document.values.get("server")
    said = server.get("chdir") if isinstance(server, dict) else None
    if not isinstance(said, str):
        return None
    return document.mark.child("server").child("chdir").source.folder.absolute() / said


def _settled(overrides: tuple[Override, ...], home: Path) -> Iterator[Override]:
    """The folder itself, said from the root: what is relative to it comes later."""
    for one in overrides:
        yield replace(one, value=str(home)) if one.name == "chdir" else one


def _whole(file: Path | None, here: Path) -> Path | None:
    """The file, by a name that is good in every folder; a module has none."""
    if file is None or str(file).startswith("python:"):
        return file
    if str(file).startswith("file:"):
        return Path(f"file:{here / str(file).removeprefix('file:')}")
    return here / file


def _look_in(document: Document, overrides: tuple[Override, ...], home: Path | None) -> None:
    """Put the folders of modules on sys.path: whether an application is there is asked before anything is served."""
    server = document.values.get("server")
    said = [one.value for one in overrides if one.name == "pythonpath"]
    folders = said[-1] if said else server.get("pythonpath", ()) if isinstance(server, dict) else ()
    base = home or Path.cwd()
    found = [str(base / one) for one in ([folders] if isinstance(folders, str) else folders) if isinstance(one, str)]
    for path in [*([str(home)] if home is not None else []), *reversed(found)]:
        if path not in sys.path:
            sys.path.insert(0, path)


# --- what is read -----------------------------------------------------------------------------------------------------


def _has_content(document: Document, overrides: tuple[Override, ...], names: Collection[str]) -> bool:
    """Whether anybody says what to serve: the file, or one of these words outside of it."""
    return bool(document.values.keys() & {"route", "site"}) or any(one.name in names for one in overrides)


def _completed(loaded: Loaded) -> Config:
    """What holds for several keys together."""
    config = _for_developers(loaded.config) if loaded.config.server.dev else loaded.config
    server = config.server
    if server.processes.worker_class == "sync" and server.threads > 1 and loaded.says("server", "threads"):
        processes = replace(server.processes, worker_class="gthread")  # as gunicorn has it
        return replace(config, server=replace(server, processes=processes))
    return config


def _options(loaded: Loaded) -> Options:
    """What `[server]` and `[tls]` say about the process."""
    config, server = loaded.config, loaded.config.server
    listens = loaded.says("server", "bind") or any(not one.redirect for one in config.listeners if one.origin)
    return Options(
        ready_file=server.ready_file,
        pid_file=server.pid,
        open_browser=server.open,
        inherit=not listens,
        development_certificate=any(one.tls for one in config.listeners) and not config.tls.certificates,
    )


def _for_developers(config: Config) -> Config:
    """Browsers keep no file while somebody works on it, whatever the cache rules say (`--dev`)."""
    routes, sites = map(_uncached, config.routes), map(_uncached_site, config.sites)
    return replace(config, routes=tuple(routes), sites=tuple(sites))


def _uncached(route: Route) -> Route:
    if route.static is None:
        return route
    return replace(route, static=replace(route.static, cache_control="no-store"), cache_control=())


def _uncached_site(site: Site) -> Site:
    return replace(site, routes=tuple(map(_uncached, site.routes)))


def placed(error: ConfigError, loaded: Loaded) -> ConfigError:
    """An error of the key `error.key`, told at the place where that key is said; as it is where nobody said it."""
    mark = _mark_of(error.key.replace("-", "_"), loaded) if error.key and not error.file else None
    if mark is None:
        return error
    made = Problem(error.why, mark.source, (mark.start, mark.end), hint=error.hint, key=error.key)
    if hasattr(error, "traceback_text"):
        made.traceback_text = error.traceback_text
    return made


def _mark_of(name: str, loaded: Loaded) -> Mark | None:
    """Where a key of `[server]` or `[tls]` stands; of a route's content, where it stands once."""
    if name in FLAGS:
        flag, mark = FLAGS[name], loaded.mark
        for table in (*flag.tables, flag.name):
            mark = mark.child(table)
        return mark if loaded.says(*flag.tables, flag.name) else None
    found = [mark for values, mark in _route_tables(loaded) if name in values]
    return found[0].child(name) if len(found) == 1 else None


def _route_tables(loaded: Loaded) -> Iterable[tuple[dict[str, Any], Mark]]:
    """Every route as it is written, with its place."""
    tops = [(loaded.values, loaded.mark)]
    tops += [(site, loaded.mark.child("site").child(at)) for at, site in enumerate(loaded.values.get("site", ()))]
    for values, mark in tops:
        for at, route in enumerate(values.get("route", ())):
            yield route, mark.child("route").child(at)
