"""Follows a plan of `trust.py` on the machine that we run on. Everything that starts a process is here.

    describe_machine() ── Machine ── (trust.py) ── Step ── take(step, wanted=True or False) ── Outcome

Taking a step asks first whether it is needed, so that doing it all twice does no harm.
"""

from __future__ import annotations

import os
import platform
import shlex
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from edgestack.certs.stores import CHROMIUMS
from edgestack.certs.trust import Command, Machine, Step

__all__ = ["Outcome", "Run", "describe_machine", "is_trusted", "run_command", "take", "with_rights"]

Run = Callable[[Command], tuple[int, str]]
"""Runs a command and gives back its exit status and what it printed."""

_SBIN = ("/usr/local/sbin", "/usr/sbin", "/sbin")
"""Where the programs for administrators lie; not on everybody's PATH."""

PROGRAMS = ("certutil", "security", "sudo", "trust", "update-ca-certificates", "update-ca-trust", *CHROMIUMS)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a step."""

    step: Step
    state: str
    """"done", "already" or "failed"."""
    why: str = ""
    fix: str = ""


def describe_machine(environ: Mapping[str, str] = os.environ) -> Machine:
    """The machine that we run on."""
    path = os.pathsep.join((environ.get("PATH", os.defpath), *_SBIN))
    system = platform.system()
    return Machine(
        system,
        Path(environ["HOME"]) if environ.get("HOME") else Path.home(),
        superuser=os.geteuid() == 0,
        programs=frozenset(name for name in PROGRAMS if shutil.which(name, path=path)),
        distribution=_distribution() if system == "Linux" else (system.lower(),),
    )


def _distribution() -> tuple[str, ...]:
    try:
        release = platform.freedesktop_os_release()
    except OSError:
        return ()
    return (release.get("ID", ""), *release.get("ID_LIKE", "").split())


def is_trusted(step: Step, run: Run) -> bool | None:
    """Whether the authority is in the step's store; None when that cannot be told."""
    if step.obstacle:
        return None
    if step.present is not None:
        return step.present
    return run(step.check)[0] == 0


def with_rights(step: Step, machine: Machine) -> tuple[Command, ...]:
    """The step's commands as we run them: by `sudo -n`, which never asks, when they need rights that we lack."""
    if not step.elevated or machine.superuser:
        return step.commands
    return tuple(("sudo", "-n", *command) for command in step.commands)


def take(step: Step, machine: Machine, run: Run, wanted: bool) -> Outcome:
    """Follow a step unless it is needless or impossible, and say what became of it.

    :param wanted: True when the authority is to be in the store in the end, False when it is not.
    """
    if step.obstacle:
        return Outcome(step, "failed", step.obstacle, step.fix)
    if is_trusted(step, run) is wanted:
        return Outcome(step, "already")
    fix = step.fix
    if step.elevated and not machine.superuser:
        fix = "run: " + " && ".join(shlex.join(("sudo", *command)) for command in step.commands)
        if "sudo" not in machine.programs:
            fix = "run as root: " + " && ".join(map(shlex.join, step.commands))
            return Outcome(step, "failed", "root's rights are needed, and sudo is missing", fix)
    for command in with_rights(step, machine):
        status, output = run(command)
        if status:
            line = next(iter(output.strip().splitlines()), f"exit status {status}")
            return Outcome(step, "failed", f"{shlex.join(command[:3])} …: {line}", fix)
    return Outcome(step, "done")


def run_command(command: Command) -> tuple[int, str]:
    """Run a command of a plan, without input and for at most two minutes (macOS asks for a password in a window)."""
    environ = {**os.environ, "PATH": os.pathsep.join((os.environ.get("PATH", os.defpath), *_SBIN))}
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environ,
            timeout=120,
            check=False,
            text=True,
            errors="replace",
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return 127, str(error)
    return done.returncode, done.stdout
