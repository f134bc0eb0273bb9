"""The moments at which a gunicorn configuration may have functions of its own called: their names, and the way to them.

    hooks_of(options)            those that a configuration brings, found anew in each process: functions are not sent
    hooks.call(name, *things)    does nothing where that name has none; what a function raises is logged, or ends what
                                 it was about to begin, as FATAL says
    hooks.around(application)    the application between pre_request and post_request; itself, where neither is there

`server` is the `Supervisor`, or the `Server` of a single process: `.pid .log .cfg .address .num_workers .workers`.
`worker` is a `Worker`: `.pid .ppid .age .log .cfg .alive .nr .wsgi`; in the worker's own process it is the one that
runs there.
"""

from __future__ import annotations

import logging
import os
import ssl
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from edgestack.asgi import is_asgi
from edgestack.process.options import Options
from edgestack.upstream.hosted import Hosted

__all__ = ["AT_WORKERS", "FATAL", "HOOKS", "Hooks", "Server", "Worker", "adjust", "hooks_of"]

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

AT_WORKERS = frozenset(
    ("pre_fork", "post_fork", "worker_abort", "pre_request", "post_request", "child_exit", "worker_exit")
)  # fmt: skip
"""Those about processes in which applications run: where these are hosted, nothing of a configuration runs there."""

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
    ppid: int = field(default_factory=os.getpid)
    """Who keeps it: this process, where it is asked for in the supervisor, or where there is none."""
    wsgi: Any = None
    """The application that it has loaded, the first of them; None in the supervisor."""
    counted: Callable[[], int] = field(default=lambda: 0, repr=False)

    @property
    def nr(self) -> int:
        """How many requests have come to it; 0 in the supervisor, which does not see them."""
        return self.counted()


@dataclass
class Server:
    """Whoever keeps workers, as hooks see it from a worker, or where there is no supervisor."""

    cfg: Any = None
    num_workers: int = 1
    pid: int = field(default_factory=os.getpid)
    workers: dict[int, Worker] = field(default_factory=dict)
    log: logging.Logger = log

    @property
    def address(self) -> Any:
        """Where it listens: pairs of host and port, and paths."""
        return getattr(self.cfg, "address", [])


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

    def around(
        self, application: Callable[..., Any] | Hosted, worker: Worker, *, asgi: bool = False
    ) -> Callable[..., Any] | Hosted:
        """The application, with what is to be called before and after each request; an ASGI one as it is.

        :param asgi: the user says that it is one.
        """
        if isinstance(application, Hosted) or is_asgi(application, said=asgi):
            return application
        if not self.functions.keys() & {"pre_request", "post_request"}:
            return application

        told = "post_request" in self.functions

        def hooked(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
            request, response = _Asked(environ), _Answered()

            def started(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
                response.begin(status, headers)
                return start_response(status, headers, exc_info)

            def ended() -> None:
                self.call("post_request", worker, request, environ, response)

            self.call("pre_request", worker, request)
            try:
                result = application(environ, started)
            except BaseException:
                ended()
                raise
            return _told_at_its_end(result, environ, response, ended) if told else result  # type: ignore[no-any-return]

        return hooked


class _Asked:
    """A request, as far as hooks of gunicorn look at it."""

    def __init__(self, environ: Mapping[str, Any]) -> None:
        self.method = environ["REQUEST_METHOD"]
        self.query = environ.get("QUERY_STRING", "")
        self.uri = environ.get("RAW_URI", environ["PATH_INFO"])
        self.path = self.uri.partition("?")[0]
        """As it was sent, like `uri`."""
        self.scheme = environ["wsgi.url_scheme"]
        self.remote_addr = (environ.get("REMOTE_ADDR", ""), environ.get("REMOTE_PORT", ""))
        self.version = tuple(int(part) for part in environ["SERVER_PROTOCOL"].removeprefix("HTTP/").split("."))
        names = {name.removeprefix("HTTP_"): value for name, value in environ.items() if name.startswith(FIELDS)}
        self.headers = [(name.replace("_", "-"), value) for name, value in names.items() if value]


class _Answered:
    """An answer, as far as hooks of gunicorn look at it; nothing, where the application failed before it began."""

    def __init__(self) -> None:
        self.status = ""
        self.status_code: int | None = None
        self.headers: list[tuple[str, str]] = []
        self.sent = 0
        """Bytes of the body that the application has given."""

    def begin(self, status: str, headers: list[tuple[str, str]]) -> None:
        """The application has called start_response; it may do so again."""
        self.status, self.headers = status, headers
        self.status_code = int(status[:3]) if status[:3].isdigit() else None


FIELDS = ("HTTP_", "CONTENT_TYPE", "CONTENT_LENGTH")
"""How the names of request fields begin in the environ (PEP 3333)."""


def _told_at_its_end(result: Any, environ: Mapping[str, Any], response: _Answered, ended: Callable[[], None]) -> Any:
    """A result whose end is told; it stays what it is where that makes its answer a better one."""
    if type(result) is list or type(result) is tuple:  # all of it is there, and its length becomes Content-Length
        response.sent = sum(map(len, result)) if environ["REQUEST_METHOD"] != "HEAD" else 0
        ended()
        return result
    told = _Told(result, response, ended)
    if type(result) is environ.get("wsgi.file_wrapper"):  # it leaves by sendfile
        result.close = told.close
        return result
    return told


class _Told:
    """An application's result whose end is told."""

    def __init__(self, result: Iterable[bytes], response: _Answered, ended: Callable[[], None]) -> None:
        self._result = result
        self._response = response
        self._close: Callable[[], Any] | None = getattr(result, "close", None)
        self._ended = ended

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._result:
            self._response.sent += len(piece)
            yield piece

    def close(self) -> None:
        """PEP 3333: called once, at the end of the request."""
        try:
            if self._close is not None:
                self._close()
        finally:
            self._ended()


def hooks_of(options: Options) -> Hooks:
    """The hooks that a configuration brings; asked in the supervisor and in every worker."""
    said = options.gunicorn
    return Hooks() if said is None else Hooks(said.hooks, said.cfg)


def adjust(options: Options) -> Callable[[ssl.SSLContext], ssl.SSLContext] | None:
    """The hook `ssl_context`, as certificates have it: a context in, a context out."""
    said = options.gunicorn
    if said is None or said.context is None:
        return None
    function, cfg = said.context, said.cfg
    return lambda context: function(cfg, lambda: context)
