"""What a gunicorn configuration says that no key of `[server]` can hold: functions, and a table for logging.config.

    Said.hooks        functions by the names of `process/hooks.py`, each of a known arity
    Said.context      ssl_context, or None
    Said.logging      logconfig_dict
    Cfg               what hooks find as `server.cfg` and `worker.cfg`: gunicorn's names, and what holds for them

`post_request` may take two, three or four arguments, as gunicorn lets it; any hook may be named by a text instead.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from edgestack.config.model import Config
from edgestack.errors import ConfigError
from edgestack.process.gunicorn.python_file import Script
from edgestack.process.gunicorn.settings import SETTINGS
from edgestack.process.hooks import HOOKS

__all__ = ["Cfg", "Said", "hook"]

Function = Callable[..., Any]

ARITY = {name: len(given.split()) for name, given in HOOKS.items()} | {"ssl_context": 2}
FEWEST = {"post_request": 2}
"""Of hooks that may take fewer arguments than they could get."""


def hook(name: str, value: Any) -> Function:
    """A hook, which takes as many arguments as it will be given.

    :param value: a function, or where one is to be imported from: `module.function`.
    :raises ConfigError: there is no such function, or it takes others.
    """
    function = _imported(value) if isinstance(value, str) else value
    if not callable(function):
        raise ConfigError(f"`{name}` is a function, not {value!r}")
    most = ARITY[name]
    for count in range(most, FEWEST.get(name, most) - 1, -1):
        if _takes(function, count):
            return function if count == most else _fewer(function, count)
    takes = HOOKS.get(name, "config default_ssl_context_factory").split()
    raise ConfigError(f"`{name}` is called with {most} arguments", hint=f"def {name}({', '.join(takes)}):")


def _fewer(function: Function, count: int) -> Function:
    return lambda *things: function(*things[:count])


def _imported(place: str) -> Any:
    module, _, name = place.rpartition(".")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(f"{place!r} names no function: {error}") from None


def _takes(function: Function, count: int) -> bool:
    try:
        inspect.signature(function).bind(*[None] * count)
    except TypeError:
        return False
    except ValueError:  # one that is written in C and does not tell
        return True
    return True


class Cfg:
    """A configuration under gunicorn's names: what holds, and gunicorn's default where nobody says anything."""

    def __init__(self, said: Mapping[str, Any]) -> None:
        """:param said: by gunicorn's names."""
        self.settings: dict[str, Any] = {name: one.default for name, one in SETTINGS.items()} | dict(said)
        self.__dict__.update(self.settings)

    @property
    def address(self) -> list[Any]:
        """Where it listens: (host, port), or a path."""
        return [_address(text) for text in self.settings["bind"]]

    @property
    def env(self) -> dict[str, str]:
        """The variables of `raw_env`."""
        return dict(pair.split("=", 1) for pair in self.settings["raw_env"])

    @property
    def is_ssl(self) -> bool:
        """Whether there is a certificate."""
        return bool(self.settings["certfile"])

    @property
    def worker_class_str(self) -> str:
        """The class of workers, by its name."""
        return str(self.settings["worker_class"])

    def __repr__(self) -> str:
        return "\n".join(f"{name} = {value}" for name, value in sorted(self.settings.items()))


def _held(config: Config) -> dict[str, Any]:
    """Every value that edgestack has a key for, as gunicorn would say it."""
    server, processes = config.server, config.server.processes
    pairs = config.tls.certificates
    apps = [route.app.target for site in config.all_sites() for route in site.routes if route.app is not None]
    return {
        "bind": [str(one) for one in config.listeners if not one.redirect],
        "wsgi_app": apps[0] if apps else None,
        "workers": processes.workers, "worker_class": processes.worker_class, "threads": server.threads,
        "timeout": _number(processes.timeout), "graceful_timeout": _number(server.timeouts.graceful),
        "keepalive": _number(server.timeouts.keepalive), "backlog": processes.backlog,
        "max_requests": processes.max_requests, "max_requests_jitter": processes.max_requests_jitter,
        "preload_app": processes.preload, "reload": processes.reload,
        "reload_extra_files": [str(path) for path in processes.reload_extra_files],
        "chdir": str(processes.chdir or ""), "raw_env": [f"{name}={value}" for name, value in processes.env],
        "pidfile": None if server.pid is None else str(server.pid),
        "proc_name": processes.name or (apps[0] if apps else "edgestack"),
        "accesslog": None if server.log.access == "off" else server.log.access, "errorlog": server.log.error,
        "loglevel": server.log.level, "capture_output": server.log.capture_output,
        "limit_request_line": server.limits.request_line, "limit_request_fields": server.limits.fields,
        "certfile": str(pairs[0][0]) if pairs else None, "keyfile": str(pairs[0][1]) if pairs else None,
    }  # fmt: skip


def _number(seconds: float) -> int | float:
    return int(seconds) if seconds == int(seconds) else seconds


def _address(text: str) -> Any:
    host, colon, port = text.rpartition(":")
    if text.startswith("unix:"):
        return text.removeprefix("unix:")
    return (host.strip("[]"), int(port)) if colon and port.isdigit() else text


@dataclass(frozen=True, slots=True)
class Said:
    """What the file says beside the keys."""

    script: Script
    """What was run."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Every setting, as it was said."""
    hooks: Mapping[str, Function] = field(default_factory=dict)
    context: Function | None = None
    """ssl_context: (config, a function that makes the default context) -> a context."""
    logging: Mapping[str, Any] | None = None
    """logconfig_dict."""
    cfg: Cfg | None = None
    """Known once the configuration is checked."""

    def held(self, config: Config) -> Said:
        """With what holds, now that it is known."""
        return replace(self, cfg=Cfg({**self.settings, **_held(config)}))

    def __reduce__(self) -> tuple[Any, ...]:
        """For a worker: functions are not sent, but the text that makes them."""
        from edgestack.process.gunicorn.reading import said_again

        settings = {} if self.cfg is None else self.cfg.settings
        return said_again, (self.script, {name: value for name, value in settings.items() if _is_plain(value)})


def _is_plain(value: Any) -> bool:
    """Whether a value is data through and through."""
    if isinstance(value, dict):
        return all(map(_is_plain, value.values()))
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, str | int | float)
