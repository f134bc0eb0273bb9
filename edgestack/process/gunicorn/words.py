"""gunicorn's words outside of a file, as overrides: its own options, and the environment that it looks at.

    from_options({"forwarded_allow_ips": "*"})    options that only gunicorn has, by the names of its settings
    defaults(environ)                             what holds where nobody says anything, as gunicorn has it

PORT, WEB_CONCURRENCY and FORWARDED_ALLOW_IPS are defaults there, weaker than any file, and so they are here;
GUNICORN_CMD_ARGS is a second command line, between the file and our own variables. How a value is said in our keys is
`settings.py`'s business. Threads (8, not 1), `keepalive` (75 s, not 2) and `max_body` (100 MB) keep our own defaults.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from edgestack.config.overrides import Override
from edgestack.errors import ConfigError
from edgestack.process.gunicorn.reading import REQUIRED, remarks
from edgestack.process.gunicorn.settings import SETTINGS

__all__ = ["DEFAULT_FILE", "default_file", "defaults", "from_options"]

DEFAULT_FILE = "gunicorn.conf.py"

SECRETS = ("tls", "cert", "key")
"""Keys that want TLS where somebody says them."""

LOOPBACK = "127.0.0.1,::1"
"""Whom gunicorn believes without being told: a proxy on the same machine."""


def default_file(folder: Path) -> Path | None:
    """The configuration that gunicorn finds by itself, when there is one."""
    path = folder / DEFAULT_FILE
    return path if path.is_file() else None


def from_options(said: Mapping[str, Any], origin: Callable[[str], str]) -> Iterator[Override]:
    """Options that are no keys of ours.

    :param said: by the names of gunicorn's settings; None, and an empty tuple, mean not given.
    :param origin: what to call an option, from its name.
    :raises ConfigError: a value makes no sense.
    """
    given = {name: value for name, value in said.items() if name in SETTINGS and value not in (None, (), False)}
    for name, value in given.items():
        setting = SETTINGS[name]
        for remark in remarks(setting, list(value) if isinstance(value, tuple) else value):
            yield Override("", None, origin(name), remark=remark)
        if name == "ca_certs" and str(given.get("cert_reqs", 0)) != str(int(REQUIRED)):
            continue
        for key, meant in setting.read(value).items():
            yield Override(key, meant, origin(name))


def defaults(environ: Mapping[str, str]) -> tuple[Override, ...]:
    """gunicorn's: plain HTTP, no access log, a proxy on this machine is believed; or what the environment says.

    :raises ConfigError: a variable that is a number is none.
    """
    found = [
        Override("tls", False, "default", unless=SECRETS),
        Override("access_log", "off", "default", unless=("access_log", "log_config")),
        _default("FORWARDED_ALLOW_IPS", "forwarded_allow_ips", environ.get("FORWARDED_ALLOW_IPS", LOOPBACK), environ),
    ]
    found.append(_default("", "proxy_allow_ips", LOOPBACK, environ))
    if environ.get("PORT"):
        found.append(_default("PORT", "bind", f"0.0.0.0:{environ['PORT']}", environ, "listen"))
    if environ.get("WEB_CONCURRENCY"):
        if not environ["WEB_CONCURRENCY"].isdecimal():
            raise ConfigError(f"WEB_CONCURRENCY: {environ['WEB_CONCURRENCY']!r} is not a whole number")
        found.append(_default("WEB_CONCURRENCY", "workers", environ["WEB_CONCURRENCY"], environ))
    return tuple(found)


def _default(variable: str, name: str, value: str, environ: Mapping[str, str], *unless: str) -> Override:
    """A setting as a default, said by a variable if it is set."""
    ((key, meant),) = SETTINGS[name].read(value).items()
    return Override(key, meant, variable if variable in environ else "default", unless=(key, *unless))
