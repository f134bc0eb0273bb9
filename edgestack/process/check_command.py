"""`edgestack check`: does the file make sense, and does it do what its own tests say? Nothing is opened or imported
but for the tests.

    read       every key, every file and folder that is named, every module's file      config/
    compose    what the chains need                                                      compose.py
    TLS        do certificates and keys belong together
    tests      each [[test]], in memory                                                  explaining.py

Exit status 0 and a summary, or 2 and everything that is wrong; a test that fails is something that is wrong.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgestack.config.model import Config, Listener, Route
from edgestack.errors import ConfigError
from edgestack.process.banner import BOLD, DIM, GREEN, YELLOW, Paint, painter, wants_colour
from edgestack.process.commands import BAD_INPUT
from edgestack.process.configuring import Configured, configure, needed_file, placed
from edgestack.process.proxied import group
from edgestack.process.serve_options import CONFIG_FILE, HELP

if TYPE_CHECKING:
    from edgestack.explaining import Outcome

__all__ = ["check", "summary"]

LABEL_WIDTH = 9

MOST_ROUTES, WIDEST_MATCH = 12, 28
"""Routes of one site that the summary lists, and columns that it gives to their matches."""


@click.command(params=[CONFIG_FILE], context_settings=HELP)
@click.pass_context
def check(context: click.Context, /, **said: object) -> int:
    """Tell whether edgestack.toml makes sense, and run its tests.

    Nothing is served. What is wrong is told all at once, each with its place.
    """
    file, found, overrides = needed_file(context)
    configured = configure(file, overrides, found=found)
    paint = painter(wants_colour(sys.stdout, os.environ))
    for warning in configured.loaded.warnings:
        click.echo(f"{warning.shown()}\n", err=True)
    try:
        failed, told = _try(configured)
    except ConfigError as error:
        raise placed(error, configured.loaded) from error
    for line in told:
        click.echo(f"{line}\n", err=True)
    if failed:
        click.echo(f"edgestack: {_number(failed, 'test')} of {len(configured.config.tests)} failed", err=True)
        return BAD_INPUT
    for line in summary(configured, paint):
        click.echo(line)
    return 0


def _try(configured: Configured) -> tuple[int, list[str]]:
    """Compose it, load its certificates, run its tests.

    :return: how many tests failed, and what is to be said about them.
    :raises ConfigError: it cannot be served.
    """
    from edgestack.compose import compose
    from edgestack.wire.tls import Certificates

    config = configured.config
    plan = compose(config)
    if config.tls.certificates:
        Certificates(config.tls.certificates, client_ca=config.tls.client_ca)
    if not config.tests:
        return 0, []
    from edgestack.explaining import run_tests

    failed = [outcome for outcome in run_tests(plan) if outcome.failures]
    return len(failed), [_failed(outcome) for outcome in failed]


def _failed(outcome: Outcome) -> str:
    """A test and what it expected in vain, a line for each; then what the error log would say."""
    request = " ".join(outcome.test.request)
    told = [*outcome.failures, *(line for record in outcome.log for line in f"log: {record}".splitlines())]
    return "\n".join((f"{outcome.test.origin}: {request}", *(f"    {line}" for line in told)))


def summary(configured: Configured, paint: Paint) -> Iterator[str]:
    """What a good file says, in a few lines."""
    config, warnings = configured.config, configured.loaded.warnings
    files = " and ".join(_shown(path) for path in configured.loaded.files)
    good = "is good" if len(configured.loaded.files) == 1 else "are good"
    but = paint(f", with {_number(len(warnings), 'warning')}", YELLOW) if warnings else ""
    yield f"{paint(files, BOLD)} {paint(good, GREEN)}{but}."
    yield ""
    before = ""
    for label, text in _facts(config):
        yield f"  {paint((label if label != before else '').ljust(LABEL_WIDTH), DIM)}{text}"
        before = label


def _facts(config: Config) -> Iterator[tuple[str, str]]:
    for listener in config.listeners:
        yield "listens", _listening(listener)
    for site in config.all_sites():
        if config.sites:
            yield f"site {', '.join(site.hosts) or 'of every other host'}", ""
            for host, to in site.moved:
                yield "", f"{host} redirects to {to}"
        yield from _routes(site.routes, "" if config.sites else "routes")
    for upstream in config.upstreams:
        yield "upstream", f"{upstream.name}  {group(upstream)}"
    if config.maps:
        yield "maps", ", ".join(f"${name}" for name, _ in config.maps)
    if config.tests:
        yield "tests", f"{len(config.tests)} passed"


def _listening(listener: Listener) -> str:
    """An address as a person says it."""
    if listener.path or listener.fd >= 0:
        place = str(listener)
    else:
        host = listener.host or "*"
        place = f"{'https' if listener.tls else 'http'}://{f'[{host}]' if ':' in host else host}:{listener.port}"
    return place + (", redirects to https" if listener.redirect else "")


def _routes(routes: Sequence[Route], label: str) -> Iterator[tuple[str, str]]:
    """Each match and what answers there; of very many, the first."""
    few = routes if len(routes) <= MOST_ROUTES else routes[: MOST_ROUTES - 1]
    width = min(max((len(str(route.match)) for route in few), default=0), WIDEST_MATCH)
    for route in few:
        yield label, f"{route.match!s:<{width}}  {_answer(route)}"
    if len(routes) > len(few):
        yield label, f"and {len(routes) - len(few)} more"


def _answer(route: Route) -> str:
    """What a route answers with."""
    if route.redirect is not None:
        return f"→ {route.redirect.to}"
    if route.proxy is not None:
        return f"→ {route.proxy.to}"
    if route.respond is not None:
        return f"always {route.respond.status}"
    files = f"{_shown(route.static.root)}/" if route.static is not None else ""
    return ", then ".join(filter(None, [files, route.app.target if route.app is not None else ""])) or "no content"


def _shown(path: Path) -> str:
    return os.path.relpath(path) if path.absolute().is_relative_to(Path.cwd()) else str(path)


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
