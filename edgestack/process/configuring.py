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
from collections.abc import Iterable
from dataclasses import replace
from operator import methodcaller
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

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
from edgestack.process.start import Start, look_in, own_home, whole

if TYPE_CHECKING:
    from edgestack.process.gunicorn.said import Said

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
    start = Start(folder or Path(), tuple(overrides), application)
    document, said = _read(file, start)
    home = start.home or own_home(document)
    effective = start.overrides
    if home is not None:
        start = start.absolute(home)
        file = whole(file, start.folder)
        document = document if said is not None else opened(file)
        effective = start.overrides
    if said is not None and not application:
        from edgestack.process.gunicorn.words import defaults  # not for those who have no such file

        effective = (*defaults({}), *effective)
    look_in(document, effective, home)
    serving, notes = _served(document, effective, file, application)
    loaded = load(document, (*serving, *effective))
    config = _completed(loaded)
    options = replace(
        _options(loaded), notes=notes, file=file, found=found, overrides=start.overrides, application=application,
        folder=start.folder if home is not None else None, gunicorn=None if said is None else said.held(config),
    )  # fmt: skip
    return Configured(config, options, loaded)


def _read(file: Path | None, start: Start) -> tuple[Document, Said | None]:
    """The file, whichever language it is in."""
    if file is None or not is_python(file):
        return opened(file), None
    from edgestack.process.gunicorn.reading import read_python  # nor this

    return read_python(file, start.folder, start.home)


def _served(
    document: Document, overrides: tuple[Override, ...], file: Path | None, application: bool
) -> tuple[tuple[Override, ...], tuple[str, ...]]:
    """What is served where nobody says it, and the note about that.

    :raises ConfigError: an application was to be served.
    """
    said = ("app",) if application else CONTENT
    if document.values.keys() & {"route", "site"} or any(one.name in said for one in overrides):
        return (), ()
    if application:
        raise ConfigError("no application is named", hint="edgestack run MODULE:NAME")
    root, shown = ("site", "./site") if Path("site").is_dir() else (".", "this folder")
    missing = f"{file} has no route" if file is not None else "None of --static, --app and --proxy was given"
    return (Override("static", root, "default"),), (f"{missing}: serving {shown}.",)


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


def _completed(loaded: Loaded) -> Config:
    """What holds for several keys together."""
    config = _for_developers(loaded.config) if loaded.config.server.dev else loaded.config
    server = config.server
    if server.processes.worker_class == "sync" and server.threads > 1 and loaded.says("server", "threads"):
        processes = replace(server.processes, worker_class="gthread")  # as gunicorn has it
        return replace(config, server=replace(server, processes=processes))
    return _one_at_a_time(config)


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


def _one_at_a_time(config: Config) -> Config:
    """The worker class `sync`, where nobody said `threads`, is one application thread a process."""
    server = config.server
    return replace(config, server=replace(server, threads=1)) if server.processes.worker_class == "sync" else config


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
