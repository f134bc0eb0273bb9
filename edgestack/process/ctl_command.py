"""`edgestack ctl`: ask a running server what it does, and tell it what to do; over its control socket.

    edgestack ctl status [--json]        its processes, connections and requests
    edgestack ctl upstreams [--json]     the servers behind: who is asked, who is not and why
    edgestack ctl reload                 as `edgestack reload`
    edgestack ctl scale N                so many workers
    edgestack ctl stop [--now]           let answers under way finish, or not

The server is found as `edgestack reload` finds it.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import click

from edgestack.errors import ConfigError
from edgestack.process.commands import BAD_INPUT
from edgestack.process.control import Message
from edgestack.process.reload_command import ordered_reload
from edgestack.process.serve_options import FILE, HELP
from edgestack.process.servers import asked, of_file, of_pid
from edgestack.process.telling import counted

__all__ = ["ctl"]

PATIENCE = 10.0
"""Seconds to wait for an answer."""
UNITS = ((86400, "d"), (3600, "h"), (60, "min"))


@click.group(context_settings=HELP)
@click.option("-c", "--config", "file", **FILE, help="The server that uses this file.")
@click.option("--pid", **FILE, help="The server that wrote this pid file.")
@click.option("--control", type=click.Path(path_type=Path), metavar="PATH", help="The server with this control socket.")
@click.pass_context
def ctl(context: click.Context, file: Path | None, pid: Path | None, control: Path | None) -> None:
    """See what a running server does, and tell it what to do.

    Without an option it is the server that uses ./edgestack.toml, or the only one there is.
    """
    if sum(said is not None for said in (file, pid, control)) > 1:
        raise click.UsageError("-c, --pid and --control each name a server: give one of them")

    def found() -> Path:
        path = control or (of_pid(pid) if pid is not None else of_file(file))
        if path is None:
            raise ConfigError(f"the server of {pid} has no control socket", hint="its error log says why")
        return path

    context.obj = found


@ctl.command()
@click.option("--json", "as_json", is_flag=True, help="As JSON, with everything that it says.")
@click.pass_context
def status(context: click.Context, as_json: bool) -> int:
    """Tell what it does: where it listens, its processes, connections and requests."""
    answer = asked(context.obj(), {"verb": "status"}, PATIENCE)
    if _failed(answer):
        return BAD_INPUT
    if as_json:
        click.echo(json.dumps(answer, indent=2))
        return 0
    for line in _shown(answer):
        click.echo(line)
    return 0


@ctl.command()
@click.option("--json", "as_json", is_flag=True, help="As JSON, with everything that is known.")
@click.pass_context
def upstreams(context: click.Context, as_json: bool) -> int:
    """Tell of the servers behind: how much each is asked, and why one is not. Each worker finds that out by itself."""
    answer = asked(context.obj(), {"verb": "upstreams"}, PATIENCE)
    if _failed(answer):
        return BAD_INPUT
    known = answer["upstreams"]
    if as_json:
        click.echo(json.dumps(known, indent=2))
        return 0
    for pid, groups in known.items():
        for line in [f"process {pid}"] * (len(known) > 1) + [line for group in groups for line in _group(group)]:
            click.echo(line)
    if not any(known.values()):
        click.echo("no server was asked yet")
    return 0


@ctl.command()
@click.pass_context
def reload(context: click.Context) -> int:
    """Have it read its configuration again; with workers, load its applications again too."""
    return ordered_reload(context.obj())


@ctl.command()
@click.argument("workers", type=click.IntRange(1, 1024), metavar="N")
@click.pass_context
def scale(context: click.Context, workers: int) -> int:
    """Have N workers from now on; a reload goes back to what the configuration says."""
    answer = asked(context.obj(), {"verb": "scale", "workers": workers}, PATIENCE)
    if _failed(answer):
        return BAD_INPUT
    click.echo(f"{counted(answer['workers'], 'worker')} instead of {answer['before']}")
    return 0


@ctl.command()
@click.option("--now", is_flag=True, help="At once: what is being answered is broken off.")
@click.pass_context
def stop(context: click.Context, now: bool) -> int:
    """Stop it: answers under way are finished first, within its graceful timeout."""
    answer = asked(context.obj(), {"verb": "stop", "now": now}, PATIENCE)
    if _failed(answer):
        return BAD_INPUT
    click.echo("it stops")
    return 0


def _shown(answer: Message) -> list[str]:
    """For a person."""
    lines = [f"edgestack {answer['version']}, process {answer['pid']}, for {_time(time.time() - answer['started'])}"]
    lines += [f"  {url}" for url in answer["urls"]]
    if answer["file"]:
        lines.append(f"  configuration {answer['file']}, reloaded {counted(answer['reloads'], 'time')}")
    if not answer.get("workers"):
        lines.append(f"  one process, {_load(answer)}")
        return lines
    lines.append(f"  {counted(answer['wanted'], 'worker')} wanted")
    lines += [f"    {_worker(one)}" for one in answer["workers"]]
    return lines


def _worker(one: dict[str, Any]) -> str:
    lost = f", {one['lost_threads']} hanging" if one["lost_threads"] else ""
    return f"{one['pid']:>8}  {one['state']:<8}  {_time(one['seconds']):>7}  {_load(one)}{lost}"


def _load(one: dict[str, Any]) -> str:
    """Of a process."""
    return f"{counted(one['connections'], 'connection')}, {counted(one['requests'], 'request')}"


def _group(one: dict[str, Any]) -> list[str]:
    """A group of servers, for a person."""
    lines = [one["name"] + (f"  {counted(one['waiting'], 'request', 'wait')}" if one["waiting"] else "")]
    width = max((len(peer["address"]) for peer in one["peers"]), default=0)
    for peer in one["peers"]:
        time_to_head = "" if peer["header_time"] is None else f", {peer['header_time'] * 1000:.1f} ms to the head"
        role = "backup, " if peer["backup"] else ""
        out = f"; out: {peer['out']}" if peer["out"] else ""
        lines.append(
            f"  {peer['address']:<{width}}  {role}weight {peer['weight']}, {peer['active']} active, "
            f"{counted(peer['requests'], 'request')}, {counted(peer['failures'], 'failure')}{time_to_head}{out}"
        )
    return lines + [f"  {name}  has no address yet" for name in one["unresolved"]]


def _time(seconds: float) -> str:
    for size, unit in UNITS:
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"


def _failed(answer: Message) -> bool:
    """Tell what went wrong."""
    if answer.get("ok") is True:
        return False
    for error in answer.get("errors", ["the server gave no reason"]):
        click.echo(f"edgestack: {error}", err=True)
    return True
