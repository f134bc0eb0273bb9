"""`edgestack certs`: what there is, and until when; `trust` and `untrust`: the authority in the stores of this machine.

Exit status: 0 when something was done or all was so already, 1 when nothing could be done, 2 on wrong use or when
the certificates cannot be written.
`Surroundings` in click's `obj` stands in for the machine and for running commands, in tests.
"""

from __future__ import annotations

import shlex
import time
from dataclasses import dataclass
from pathlib import Path

import click

from edgestack.certs.authority import AUTHORITY, LEAF, certificates_folder, development_certificate
from edgestack.certs.running import Outcome, Run, describe_machine, is_trusted, run_command, take, with_rights
from edgestack.certs.trust import Authority, Machine, Step, trust_steps, untrust_steps
from edgestack.errors import ConfigError
from edgestack.wire.x509 import Certificate, read_certificate

__all__ = ["Surroundings", "certs"]


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the commands work on."""

    machine: Machine
    run: Run = run_command


class _Unusable(click.ClickException):
    """What the user asked for cannot be: one line, exit status 2."""

    exit_code = 2


def _surroundings(context: click.Context) -> Surroundings:
    return context.find_object(Surroundings) or Surroundings(describe_machine())


folder_option = click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where the certificates are.  [default: ./certs if there is one, else the user's data folder]",
)
dry_option = click.option("--dry-run", is_flag=True, help="Show the exact commands and run none.")


@click.group(invoke_without_command=True)
@folder_option
@click.pass_context
def certs(context: click.Context, folder: Path | None) -> None:
    """Show the development certificates, and who trusts them."""
    if context.invoked_subcommand is None:
        _show(folder or certificates_folder(), _surroundings(context))
    else:
        context.meta[__name__] = folder


@certs.command()
@dry_option
@click.pass_context
def trust(context: click.Context, dry_run: bool) -> None:
    """Make this machine and its browsers trust the development CA."""
    _change(context, dry_run, True)


@certs.command()
@dry_option
@click.pass_context
def untrust(context: click.Context, dry_run: bool) -> None:
    """Undo `trust`: take the development CA out of all stores."""
    _change(context, dry_run, False)


def _change(context: click.Context, dry_run: bool, wanted: bool) -> None:
    folder = context.meta.get(__name__) or certificates_folder()
    around = _surroundings(context)
    if wanted and not dry_run and _read(folder / AUTHORITY) is None:
        try:
            development_certificate(folder)
        except ConfigError as error:
            raise _Unusable(str(error)) from None
    certificate = _read(folder / AUTHORITY)
    if certificate is None:
        click.echo(f"There is no development CA in {folder} yet; edgestack serve and edgestack certs trust make one.")
        return
    authority = Authority((folder / AUTHORITY).absolute(), certificate)
    steps = (trust_steps if wanted else untrust_steps)(around.machine, authority)
    if dry_run:
        for step in steps:
            _print_plan(step, around.machine, wanted)
        return
    outcomes = [take(step, around.machine, around.run, wanted) for step in steps]
    for outcome in outcomes:
        _print_outcome(outcome, wanted)
    if all(outcome.state == "failed" for outcome in outcomes):
        context.exit(1)
    if wanted and any(outcome.state == "done" for outcome in outcomes):
        click.echo("Browsers that are open notice it when they are started again.")


def _print_plan(step: Step, machine: Machine, wanted: bool) -> None:
    click.echo(f"# {step.store}")
    if step.obstacle:
        click.echo(f"#   cannot be done: {step.obstacle}" + (f"; to fix it: {step.fix}" if step.fix else ""))
    elif step.present is wanted:
        click.echo("#   nothing to do")
    else:
        for command in with_rights(step, machine):
            click.echo(shlex.join(command))


def _print_outcome(outcome: Outcome, wanted: bool) -> None:
    words = {
        "done": "trusted now" if wanted else "removed",
        "already": "trusted already" if wanted else "was not there",
        "failed": "not done",
    }
    colour = {"done": "green", "already": None, "failed": "yellow"}[outcome.state]
    line = f"{outcome.step.store}: " + click.style(words[outcome.state], fg=colour)
    click.echo(line + (f" ({outcome.why})" if outcome.why else ""))
    if outcome.fix:
        click.echo(f"    {outcome.fix}")


def _show(folder: Path, around: Surroundings) -> None:
    authority, leaf = _read(folder / AUTHORITY), _read(folder / LEAF)
    if authority is None:
        click.echo(
            f"There are no development certificates in {folder} yet; edgestack serve makes them when it needs them."
        )
        return
    click.echo(f"Development certificates in {folder}")
    _print_certificate("authority", folder / AUTHORITY, authority)
    if leaf is not None:
        _print_certificate("certificate", folder / LEAF, leaf)
        click.echo(f"    names        {', '.join(leaf.names)}")
    if leaf is not None and leaf.authority_key_id != authority.key_id:
        click.echo("    The certificate is not signed by this authority; the next start makes a new one.")
    known = [
        (step, is_trusted(step, around.run))
        for step in trust_steps(around.machine, Authority((folder / AUTHORITY).absolute(), authority))
    ]
    click.echo("Trusted by")
    for step, trusted in known:
        word = {True: "yes", False: "no", None: f"cannot be told: {step.obstacle}"}[trusted]
        click.echo(f"  {step.store}: {word}")
    if not all(trusted for _step, trusted in known):
        click.echo("To trust it: edgestack certs trust (--dry-run shows the commands)")


def _print_certificate(what: str, path: Path, certificate: Certificate) -> None:
    days = int(certificate.not_after - time.time()) // 86400
    until = time.strftime("%Y-%m-%d", time.gmtime(certificate.not_after))
    click.echo(f"  {what:<12} {path.name}")
    click.echo(f"    until        {until} ({f'{days} days' if days >= 0 else 'expired'})")
    click.echo(f"    SHA-256      {certificate.fingerprint}")


def _read(path: Path) -> Certificate | None:
    try:
        return read_certificate(path.read_bytes())
    except (OSError, ValueError):
        return None
