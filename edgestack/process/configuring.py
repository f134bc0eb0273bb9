"""From words to what is served: the file, the environment and the flags together make a `Config` and `Options`.

    sources(context)               what a command of click was told: the file, and what is said outside of it
    configure(path, overrides)     read, checked and completed; raises ConfigErrors with all that is wrong
    placed(error, loaded)          an error of a later step, put at the line, the variable or the flag at fault

A reload calls `configure` again with `options.file` and `options.overrides`. It opens nothing and knows no socket.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import click
from click.core import ParameterSource

from edgestack.config.load import FILE_NAME, Loaded, find, load
from edgestack.config.model import CONTENT, Config, Route, Site
from edgestack.config.overrides import FLAGS, Override, from_environment, from_flags
from edgestack.config.positions import Mark
from edgestack.config.problems import Problem
from edgestack.errors import ConfigError
from edgestack.process.options import Options

__all__ = ["Configured", "Sources", "configure", "needed_file", "placed", "sources"]


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
    flags = {
        name: value
        for name, value in context.params.items()
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE
    }
    overrides = (*from_environment(os.environ), *from_flags(flags))
    file = named if named is not None else find(Path())
    return Sources(file, named is None and file is not None, overrides)


def needed_file(context: click.Context) -> Sources:
    """The same, for commands that are about a file.

    :raises ConfigError: none was named, and none is here.
    """
    found = sources(context)
    if found.file is None:
        hint = "name one with -c, or begin one with `edgestack config init`"
        raise ConfigError(f"there is no {FILE_NAME} in this folder", hint=hint)
    return found


def configure(file: Path | None, overrides: Iterable[Override] = (), *, found: bool = False) -> Configured:
    """Read a configuration and complete it.

    :param file: None for what flags and the environment alone say.
    :param found: whether nobody named the file.
    :raises ConfigErrors: it makes no sense.
    """
    overrides = tuple(overrides)
    notes: tuple[str, ...] = ()
    loaded = None
    if file is not None:
        loaded = load(file, overrides)
    if not (_has_content(loaded) if loaded else any(one.name in CONTENT for one in overrides)):
        root, said = ("site", "./site") if Path("site").is_dir() else (".", "this folder")
        loaded = load(file, (Override("static", root, "default"), *overrides))
        missing = f"{file} has no route" if file is not None else "None of --static, --app and --proxy was given"
        notes = (f"{missing}: serving {said}.",)
    loaded = loaded or load(None, overrides)
    config = _one_at_a_time(loaded.config)
    config = _for_developers(config) if config.server.dev else config
    options = replace(_options(loaded), notes=notes, file=file, found=found, overrides=overrides)
    return Configured(config, options, loaded)


def _has_content(loaded: Loaded) -> bool:
    return bool(loaded.config.routes or loaded.config.sites)


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
    """The worker class `sync` is one application thread a process, whatever `threads` says."""
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
        table = FLAGS[name][0]
        return loaded.mark.child(table).child(name) if loaded.says(table, name) else None
    found = [mark for values, mark in _route_tables(loaded) if name in values]
    return found[0].child(name) if len(found) == 1 else None


def _route_tables(loaded: Loaded) -> Iterable[tuple[dict[str, Any], Mark]]:
    """Every route as it is written, with its place."""
    tops = [(loaded.values, loaded.mark)]
    tops += [(site, loaded.mark.child("site").child(at)) for at, site in enumerate(loaded.values.get("site", ()))]
    for values, mark in tops:
        for at, route in enumerate(values.get("route", ())):
            yield route, mark.child("route").child(at)
