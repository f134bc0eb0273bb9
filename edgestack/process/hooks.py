"""The moments at which a gunicorn configuration may have functions of its own called: their names, and the way to them.

    hooks_of(options)            those that a configuration brings, found anew in each process: functions are not sent
    hooks.call(name, *things)    does nothing where that name has none; what a function raises is logged, or ends what
                                 it was about to begin, as FATAL says
    hooks.around(application)    the application between pre_request and post_request; itself, where neither is there

`server` is the `Supervisor`, or the `Server` of a single process: `.pid .log .cfg .num_workers .workers`. `worker` is a
`Worker`: `.pid .age .log .cfg .alive`; in the worker's own process it is the one that runs there.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from edgestack.asgi import is_asgi
from edgestack.process.options import Options
from edgestack.upstream.hosted import Hosted

__all__ = ["FATAL", "HOOKS", "Hooks", "Server", "Worker", "hooks_of"]

HOOKS = {
    "on_starting": "server",  # the configuration is read, nothing is bound
    "on_reload": "server",  # SIGHUP or `reload`: another generation begins
    "when_ready": "server",  # the first workers accept
    "pre_fork": "server worker",  # in the supervisor, before a worker is started
    "post_fork": "server worker",  # in the worker, before anything of the application is imported
    "post_worker_init": "worker",  # in the worker, the application is loaded
    "worker_int": "worker",  # in the worker, SIGINT or SIGQUIT
    "worker_abort": "worker",  # in the worker, SIGABRT: it gave no sign of life
    "pre_exec": "server",  # in the supervisor, before it is started anew (SIGUSR2)
    "pre_request": "worker request",  # on the application's thread
    "post_request": "worker request environ response",
    "child_exit": "server worker",  # in the supervisor, a worker has ended
    "worker_exit": "server worker",  # in the worker, at its end
    "nworkers_changed": "server new old",  # the number of workers is another one; None before the first
    "on_exit": "server",  # the last moment of all
}
"""Names (gunicorn's "Server Hooks") and what each is given."""

FATAL = frozenset(("on_starting", "post_fork", "post_worker_init"))
"""Those whose exceptions stop the server or worker that was about to begin; of all others they are logged."""

log = logging.getLogger("edgestack.error")


@dataclass
class Worker:
    """A worker process, as hooks see it."""

    age: int
    """Its number: the first worker is 1, and each later one has the next."""
    cfg: Any = None
    pid: int = 0
    """Its process; 0 before it is started."""
    alive: bool = True
    log: logging.Logger = log


@dataclass
class Server:
    """Whoever keeps workers, as hooks see it from a worker, or where there is no supervisor."""

    cfg: Any = None
    num_workers: int = 1
    pid: int = field(default_factory=os.getpid)
    workers: dict[int, Worker] = field(default_factory=dict)
    log: logging.Logger = log


class Hooks:
    """Functions by name; without any, nothing happens."""

    def __init__(self, functions: Mapping[str, Callable[..., Any]] | None = None, cfg: Any = None) -> None:
        """
        :param functions: some of `HOOKS`.
        :param cfg: what functions find as `server.cfg` and `worker.cfg`.
        """
        self.functions = dict(functions or {})
        self.cfg = cfg

    def call(self, name: str, *things: Any) -> None:
        """Call the function of that name, if there is one.

        :raises Exception: what it raised, for the names in `FATAL`.
        """
        function = self.functions.get(name)
        if function is None:
            return
        try:
            function(*things)
        except Exception:
            if name in FATAL:
                raise
            log.exception("the hook %s failed", name)

    def around(self, application: Callable[..., Any] | Hosted, worker: Worker) -> Callable[..., Any] | Hosted:
        """The application, with what is to be called before and after each request; an ASGI one as it is."""
        if isinstance(application, Hosted) or is_asgi(application):
            return application
        if not self.functions.keys() & {"pre_request", "post_request"}:
            return application

        def hooked(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
            request = _Asked(environ)
            response = SimpleNamespace(status="", headers=[])

            def started(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
                response.status, response.headers = status, headers
                return start_response(status, headers, exc_info)

            self.call("pre_request", worker, request)
            try:
                result = application(environ, started)
            except BaseException:
                self.call("post_request", worker, request, environ, response)
                raise
            if "post_request" not in self.functions:
                return result  # type: ignore[no-any-return]
            return _Told(result, lambda: self.call("post_request", worker, request, environ, response))

        return hooked


class _Asked:
    """A request, as far as hooks of gunicorn look at it."""

    def __init__(self, environ: Mapping[str, Any]) -> None:
        self.method = environ["REQUEST_METHOD"]
        self.path = environ["PATH_INFO"]
        self.query = environ.get("QUERY_STRING", "")
        self.uri = environ.get("RAW_URI", self.path)
        self.version = tuple(int(part) for part in environ["SERVER_PROTOCOL"].removeprefix("HTTP/").split("."))
        names = {name: value for name, value in environ.items() if name.startswith("HTTP_")}
        self.headers = [(name[5:].replace("_", "-"), value) for name, value in names.items()]


class _Told:
    """An application's result whose end is told."""

    def __init__(self, result: Iterable[bytes], ended: Callable[[], None]) -> None:
        self._result = result
        self._ended = ended

    def __iter__(self) -> Any:
        return iter(self._result)

    def close(self) -> None:
        """PEP 3333: called once, at the end of the request."""
        try:
            close = getattr(self._result, "close", None)
            if close is not None:
                close()
        finally:
            self._ended()


def hooks_of(options: Options) -> Hooks:
    """The hooks that a configuration brings; asked in the supervisor and in every worker."""
    return Hooks()
