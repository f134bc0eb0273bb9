"""How the commands of this program differ from click's own: errors told well, options in groups, code on demand.

    Program   the group: imports a command when it is asked for, and has the only place where errors are told
    Sectioned, Grouped   a command whose help shows its options in groups
    Value     a parameter that one of the pure functions of `config/` reads

Exit status: 0; 2 for bad input; 130 when interrupted; else what the command gives.
"""

from __future__ import annotations

import copy
import importlib
import os
import re
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import click

from edgestack.config.problems import ConfigErrors, Problem
from edgestack.errors import ConfigError

__all__ = ["Grouped", "Program", "Sectioned", "Value"]

FOREIGN = {
    "--port": "--bind", "--host": "--bind", "--address": "--bind", "--listen": "--bind", "-d": "--static",
    "--directory": "--static", "--root": "--static", "--application": "--app", "--debug": "--dev",
}  # fmt: skip
"""Options of flask, uvicorn and http.server, and what says the same here, or comes closest."""

BAD_INPUT = 2
INTERRUPTED = 130


def _explained(name: str) -> str:
    """What is to be said about an option that is another program's; "" for one that is nobody's."""
    if name in FOREIGN:
        return f"no such option {name!r} (did you mean {FOREIGN[name]}?)"
    from edgestack.process.gunicorn.settings import option_of

    theirs = option_of(name)
    why = theirs.lost or theirs.moot if theirs is not None else ""
    return f"no such option {name!r} (gunicorn's: {why})" if why else ""


def _misplaced(error: click.NoSuchOption) -> str:
    """What is to be said about an option of the group that stands behind the command; "" for another."""
    here = error.ctx
    group = here.parent if here is not None else None
    if here is None or group is None or not any(error.option_name in option.opts for option in group.command.params):
        return ""
    name = error.option_name
    return (
        f"no such option {name!r} (it stands before `{here.info_name}`: {group.command_path} {name} … {here.info_name})"
    )


class Program(click.Group):
    """The whole program."""

    def __init__(self, *args: Any, program: str, lazy: Mapping[str, str], **attributes: Any) -> None:
        """
        :param program: its name, whatever the file is called.
        :param lazy: further commands, as "module:name"; imported when they are asked for.
        """
        super().__init__(*args, **attributes)
        self.program = program
        self.lazy = lazy

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of all commands."""
        return sorted({*super().list_commands(ctx), *self.lazy})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name, imported now if need be."""
        if cmd_name not in self.lazy:
            return super().get_command(ctx, cmd_name)
        module, _, name = self.lazy[cmd_name].partition(":")
        command = getattr(importlib.import_module(module), name)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Choose the command, or say which was probably meant."""
        if args[0] not in self.list_commands(ctx) and not args[0].startswith("-"):
            from difflib import get_close_matches

            names = self.list_commands(ctx)
            near = get_close_matches(args[0], names, n=1)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(names)}"
            raise click.UsageError(f"no such command: {args[0]} ({hint})", ctx)
        return super().resolve_command(ctx, args)

    def main(self, args: Sequence[str] | None = None, *_: Any, **extra: Any) -> Any:
        """Run a command line and leave with its exit status.

        :raises SystemExit: always.
        """
        extra |= {"prog_name": self.program, "standalone_mode": False}
        try:
            if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:  # see __main__.py
                signal.signal(signal.SIGINT, signal.default_int_handler)
            status = super().main(args, **extra)
        except click.ClickException as error:
            status = self._tell_usage(error)
        except ConfigError as error:
            status = self._tell(error)
        except (click.Abort, KeyboardInterrupt):
            status = INTERRUPTED
        except BrokenPipeError:  # `edgestack --help | head`: the interpreter's own flush must not complain either
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            status = 1
        sys.exit(status if isinstance(status, int) else 0)

    def _tell_usage(self, error: click.ClickException) -> int:
        if isinstance(error, click.UsageError) and type(error).__name__ == "NoArgsIsHelpError":
            error.show()
            return BAD_INPUT
        text = error.format_message()
        if isinstance(error, click.NoSuchOption):
            text = _misplaced(error) or _explained(error.option_name) or text
        self._line(text[:1].lower() + text[1:].rstrip("."))
        return error.exit_code

    def _tell(self, error: ConfigError) -> int:
        """All errors, each with its line where it stands in a file; what an import of the application said before."""
        traceback_text = getattr(error, "traceback_text", "")
        if traceback_text:
            click.echo(traceback_text.rstrip("\n") + "\n", err=True)
        errors = error.errors if isinstance(error, ConfigErrors) else (error,)
        for at, one in enumerate(errors):
            if isinstance(one, Problem) and one.line:
                click.echo(("\n" if at else "") + one.shown(), err=True)
            else:
                self._line(f"--{one.key}: {one}" if one.key and not one.file else str(one))
        if len(errors) > 1 or errors[0].line:
            count = f"{len(errors)} errors" if len(errors) > 1 else "1 error"
            click.echo(f"\n{self.program}: {count}", err=True)
        return BAD_INPUT

    def _line(self, text: str) -> None:
        click.echo(f"{self.program}: {' '.join(text.split())}", err=True)


class Sectioned(click.Command):
    """A command whose help shows its options in groups, in the order of their first options."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options into the help text."""
        rows: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None and isinstance(parameter, click.Option):
                rows.setdefault(getattr(parameter, "section", "Help"), []).append(record)
        for section, records in rows.items():
            with formatter.section(section):
                formatter.write_dl(records)


class Grouped(click.Option):
    """An option that knows its group, and what others call it."""

    def __init__(self, names: Sequence[str], *, section: str, also: Sequence[str] = (), **attributes: Any) -> None:
        """
        :param also: further spellings, which the help does not show.
        """
        super().__init__([*names, *also], **attributes)
        self.section = section
        self.also = tuple(also)

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """Its line of the help."""
        return click.Option.get_help_record(self._plain(), ctx)

    def get_error_hint(self, ctx: click.Context | None) -> str:
        """Its name, as errors say it."""
        return click.Option.get_error_hint(self._plain(), ctx)

    def _plain(self) -> Grouped:
        """Without the further spellings."""
        shown = copy.copy(self)
        shown.opts = [name for name in self.opts if name not in self.also]
        return shown


class Value(click.ParamType):  # type: ignore[type-arg]  # generic in newer clicks only
    """Text that a function of `config/` reads; in an environment variable, spaces or commas separate several."""

    def __init__(self, name: str, read: Callable[[str], Any], *, keep: bool = False) -> None:
        """
        :param name: what the help calls it.
        :param read: raises ConfigError.
        :param keep: check only, and give the text on: more must be known before it can be read for good.
        """
        self.name = name
        self._read = read
        self._keep = keep

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The value; defaults, which are values already, pass."""
        if not isinstance(value, str):
            return value
        try:
            read = self._read(value)
        except ConfigError as error:
            self.fail(str(error), param, ctx)
        return value if self._keep else read

    def split_envvar_value(self, rv: str) -> Sequence[str]:
        """The values of an environment variable."""
        return [word for word in re.split(r"[\s,]+", rv) if word]
