"""`edgestack run`: gunicorn's command line. One word changes, and the rest means what it meant.

    edgestack run -w 4 shop.wsgi:app

What holds, the strongest first: an option; EDGESTACK_*; GUNICORN_CMD_ARGS, a second command line; the file (-c, else
./gunicorn.conf.py); PORT, WEB_CONCURRENCY and FORWARDED_ALLOW_IPS; gunicorn's defaults (`gunicorn/words.py`).
A certificate without a key holds it, as gunicorn has it. Options that only gunicorn has are understood, and what they
would do is told in a warning where it is not done.
"""

from __future__ import annotations

import copy
import os
import shlex
from pathlib import Path
from typing import Any

import click

from edgestack.config.overrides import Override, from_environment
from edgestack.errors import ConfigError
from edgestack.process.commands import Grouped, Sectioned
from edgestack.process.configuring import Configured, configure, said_in
from edgestack.process.gunicorn import is_python
from edgestack.process.gunicorn.settings import SETTINGS, Setting
from edgestack.process.gunicorn.words import DEFAULT_FILE, default_file, defaults
from edgestack.process.serve_options import ENVIRONMENT, HELP, OPTIONS, WHAT, option
from edgestack.process.serving_command import serve_configured

__all__ = ["run", "run_configured"]

CMD_ARGS = "GUNICORN_CMD_ARGS"

EPILOG = """\b
Examples:
  edgestack run shop.wsgi                            shop/wsgi.py, and `application` in it
  edgestack run -w 4 -b 0.0.0.0:8000 shop.wsgi:app
  edgestack run -c gunicorn.conf.py "shop:create_app()"
  edgestack run                                      gunicorn.conf.py, and the `wsgi_app` in it

\b
The strongest first:
  options, EDGESTACK_*, GUNICORN_CMD_ARGS, the file, PORT, WEB_CONCURRENCY, FORWARDED_ALLOW_IPS, gunicorn's defaults

`edgestack serve` is the same server with more before the application: files, other servers, several sites."""


def _file_option() -> Grouped:
    return option(
        WHAT, "-c", "--config", metavar="FILE", type=click.Path(path_type=Path), envvar=f"{ENVIRONMENT}_CONFIG",
        shows=f"{DEFAULT_FILE} of this folder, if there is one",
        says="PATH, file:PATH or python:MODULE of a gunicorn configuration, or an edgestack.toml.",
    )  # fmt: skip


SHOWN = {
    "static": "", "bind": "127.0.0.1:8000, or PORT", "tls": "--no-tls, or --tls with --cert", "access_log": "off",
    "workers": "WEB_CONCURRENCY, or 1", "trusted_proxies": "FORWARDED_ALLOW_IPS, or 127.0.0.1,::1 and unix:",
}  # fmt: skip
"""Defaults that are others than those of `serve`."""


def _as_here(one: click.Parameter) -> click.Parameter:
    """An option of `serve` with the default that it has here."""
    if one.name not in SHOWN or not isinstance(one, click.Option) or one.help is None:
        return one
    changed = copy.copy(one)
    changed.help = one.help.partition("  [default")[0] + (f"  [default: {SHOWN[one.name]}]" if SHOWN[one.name] else "")
    return changed


def _foreign(setting: Setting) -> click.Option:
    """An option that only gunicorn has: understood, and not advertised."""
    kind: dict[str, Any] = {"switch": {"is_flag": True}, "several": {"multiple": True}, "text": {}}[setting.takes]
    return click.Option([*setting.flags, setting.name], hidden=True, default=None, allow_from_autoenv=False, **kind)


def _options() -> list[click.Parameter]:
    """Those of `serve` that are about one application, and gunicorn's others."""
    own = [_as_here(one) for one in OPTIONS if one.name not in ("config", "app", "proxy")]
    known = {word for one in own for word in one.opts} | {"-c", "-D"}
    others = [one for one in SETTINGS.values() if one.flags and known.isdisjoint(one.flags)]
    target = click.Argument(["target"], metavar="[MODULE[:NAME]]", required=False)
    return [target, _file_option(), *own, *map(_foreign, others)]


@click.command(
    cls=Sectioned, params=_options(), epilog=EPILOG, context_settings={**HELP, "auto_envvar_prefix": ENVIRONMENT}
)
@click.pass_context
def run(context: click.Context, /, **said: Any) -> int:
    """Serve a WSGI or ASGI application as gunicorn does.

    The options and their letters are gunicorn's, and so are the defaults: plain HTTP on 127.0.0.1:8000, and no access
    log. The application is looked for in this folder, or that of --chdir.
    """
    return serve_configured(run_configured(context), only=said)


def run_configured(context: click.Context) -> Configured:
    """What the words and the environment of `run` say.

    :raises ConfigErrors: it makes no sense.
    """
    target, named = context.params["target"], context.params["config"]
    file, more = _second_line(os.environ.get(CMD_ARGS, ""))
    outside: list[Override] = [*defaults(os.environ), *more, *from_environment(os.environ), *said_in(context)]
    outside += [Override("key", one.value, one.origin, unless=("key",)) for one in outside if one.name == "cert"][-1:]
    if target:
        outside.append(Override("app", target, "MODULE:NAME"))
    file = named or file
    found = default_file(Path()) if file is None else None
    return configure(_python(file or found), outside, found=found is not None, application=True)


def _second_line(text: str) -> tuple[Path | None, tuple[Override, ...]]:
    """What the variable says: a file, and options.

    :raises ConfigError: it is no command line.
    """
    if not text.strip():
        return None, ()
    try:
        context = run.make_context(CMD_ARGS, shlex.split(text), auto_envvar_prefix=None)
    except (click.UsageError, ValueError) as error:
        why = error.format_message() if isinstance(error, click.UsageError) else str(error)
        raise ConfigError(f"{CMD_ARGS}: {why[:1].lower()}{why[1:].rstrip('.')}") from None
    given = context.get_parameter_source("config") is click.core.ParameterSource.COMMANDLINE
    return context.params["config"] if given else None, said_in(context, CMD_ARGS)


def _python(file: Path | None) -> Path | None:
    """Here, whatever is not called .toml is Python, as it is for gunicorn."""
    if file is None or file.suffix == ".toml" or is_python(file):
        return Path(str(file).removeprefix("file:")) if file is not None and file.suffix == ".toml" else file
    return Path(f"file:{file}")
