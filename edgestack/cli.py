"""The command line: words in; a configuration served, checked or told; errors in few words, with status 2.

    edgestack serve           what a file, the environment and the options say    -> process/run.py
    edgestack proxy URL       an HTTPS front for something that runs already      -> the same
    edgestack run MODULE:NAME an application, with gunicorn's command line        -> process/run_command.py
    edgestack check           whether a file makes sense, and its own tests       -> process/check_command.py
    edgestack explain         what becomes of one request                         -> process/explain_command.py
    edgestack config          show, schema, init                                  -> process/config_commands.py
    edgestack cache           see and purge what a running server has stored      -> process/cache_command.py
    edgestack reload          have a running server read its file again           -> process/reload_command.py
    edgestack ctl             status, scale, stop of a running server             -> process/ctl_command.py
    edgestack systemd         a unit for the server that options mean             -> process/systemd_command.py
    edgestack precompress     coded neighbours of files                           -> process/precompress_command.py
    edgestack replay          recorded exchanges sent again, and compared         -> process/replay_command.py
    edgestack hash-password   a line for a password file                          -> process/password_command.py
    edgestack certs           the development certificates                        -> certs/commands.py
    edgestack completion      the script that completes all this in a shell

The options of `serve` are in `process/serve_options.py`; each is an environment variable too: EDGESTACK_ and its long
name. What they mean together with the file is `process/configuring.py`'s business. Nothing heavy is imported before the
command is known: trio, ssl and the application cost more than all of this file. How errors are told, and how the help
is grouped, is in `process/commands.py`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from click.shell_completion import get_completion_class

from edgestack import __version__
from edgestack.config.overrides import SHORTHAND, Override
from edgestack.process.commands import Program, Sectioned
from edgestack.process.configuring import configure, sources
from edgestack.process.serve_options import ENVIRONMENT, HELP, OPTIONS, PROXY_OPTIONS, TARGETS
from edgestack.process.serving_command import serve_configured

__all__ = ["main"]

EPILOG = """\b
Examples:
  edgestack serve                                    ./edgestack.toml, or ./site, or this folder
  edgestack serve -c shop.toml --threads 16          an option is stronger than the file
  edgestack serve --static site/ --app src.main:app  files first, then the app
  edgestack serve --static site/ --proxy /api/=http://127.0.0.1:9000
  edgestack serve --app shop.web:app --dev           tracebacks in the browser
  edgestack serve -b :443 --redirect-http :80 --cert chain.pem --key key.pem

\b
Addresses:
  HOST:PORT, HOST        the port is 8443 unless given; 8000 with --no-tls
  :PORT                  every address of this machine, IPv4 and IPv6
  PORT                   on 127.0.0.1; port 0 picks a free one
  [IPV6]:PORT            such as [::1]:8443
  unix:PATH, fd://N      a unix socket; an inherited descriptor
  Without -b, sockets that systemd passes (LISTEN_FDS) are taken.

\b
Sizes: 65536, 64k, 100MB, 1GiB.     Durations: 30, 1.5, 500ms, 2m, 1h 30m.

Every option is an environment variable too: EDGESTACK_STATIC, EDGESTACK_MAX_BODY, EDGESTACK_BIND (several, separated
by spaces or commas), and so on; yes and no are 1 and 0. Options are stronger than the environment, and both are
stronger than the file.

SIGTERM and Ctrl-C stop gracefully, a second Ctrl-C stops at once, SIGHUP and `edgestack reload` read the file again,
and SIGUSR1 reopens the logs. With several workers Ctrl-C stops at once, and SIGHUP loads the application again too."""


PROXY_EPILOG = """\b
Examples:
  edgestack proxy http://127.0.0.1:9000
  edgestack proxy http://unix:/run/app.sock:/ -b :8443
  edgestack proxy http://127.0.0.1:5173 /api/=http://127.0.0.1:8000

A URL that ends in a path, even "/", takes the place of the prefix; one that does not passes paths on as they are.
No edgestack.toml is read. `edgestack serve --proxy` does the same beside files, applications and a file."""


@click.group(
    cls=Program,
    program="edgestack",
    lazy={
        "cache": "edgestack.process.cache_command:cache",
        "certs": "edgestack.certs.commands:certs",
        "check": "edgestack.process.check_command:check",
        "config": "edgestack.process.config_commands:config",
        "ctl": "edgestack.process.ctl_command:ctl",
        "explain": "edgestack.process.explain_command:explain",
        "hash-password": "edgestack.process.password_command:hash_password",
        "precompress": "edgestack.process.precompress_command:precompress",
        "reload": "edgestack.process.reload_command:reload",
        "replay": "edgestack.process.replay_command:replay",
        "run": "edgestack.process.run_command:run",
        "systemd": "edgestack.process.systemd_command:systemd",
    },
    context_settings=HELP,
)
@click.version_option(__version__, prog_name="edgestack", message="%(prog)s %(version)s")
def main() -> None:
    """HTTPS, static files, WSGI applications and a reverse proxy from one process."""


@main.command(
    cls=Sectioned,
    params=OPTIONS,
    epilog=EPILOG,
    context_settings={**HELP, "auto_envvar_prefix": ENVIRONMENT, "allow_extra_args": True},
)
@click.pass_context
def serve(context: click.Context, /, **said: Any) -> int:
    """Serve files, WSGI applications and other servers' answers over HTTPS.

    What is served stands in edgestack.toml, or in the options. Files come first, where a folder and an application
    are both given: GET and HEAD of a file that is there; everything else goes to the application. Without a
    certificate of your own, one for development is made; `edgestack certs trust` makes browsers accept it.
    """
    for word in context.args:
        raise click.UsageError(f"`serve` takes options only, not {word!r} (did you mean {_meant(word)}?)")
    file, found, overrides = sources(context)
    return serve_configured(configure(file, overrides, found=found), only=said)


@main.command(
    cls=Sectioned,
    params=[TARGETS, *PROXY_OPTIONS],
    epilog=PROXY_EPILOG,
    context_settings={**HELP, "auto_envvar_prefix": ENVIRONMENT},
)
@click.pass_context
def proxy(context: click.Context, /, targets: tuple[str, ...], **said: Any) -> int:
    """Put HTTPS before a server that runs already.

    It listens on 127.0.0.1:8443, with a certificate for development, and passes on everything that is asked, WebSocket
    too. `edgestack certs trust` makes browsers accept the certificate.
    """
    said_outside = [one for one in sources(context).overrides if one.name not in SHORTHAND]
    development, led = Override("dev", True, "default"), Override("proxy", list(targets), "URL")
    return serve_configured(configure(None, (development, *said_outside, led)), only=said)


def _meant(word: str) -> str:
    """The option that a bare word was probably meant for."""
    if Path(word).is_dir():
        return f"--static {word}"
    if word.endswith(".toml"):
        return f"-c {word}"
    return f"--app {word}" if ":" in word else "--static, --app or --config"


@main.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the script that completes edgestack's options.

    \b
    bash:  edgestack completion bash >> ~/.bashrc
    zsh:   edgestack completion zsh >> ~/.zshrc
    fish:  edgestack completion fish > ~/.config/fish/completions/edgestack.fish
    """
    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(main, {}, "edgestack", "_EDGESTACK_COMPLETE").source())
