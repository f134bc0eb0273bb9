"""How many processes there are, what each is allowed, and as whom they run. All these keys stand in `[server]`.

The words are gunicorn's; where nginx has one, it is named beside. Pure data, each key said once.
"""

from __future__ import annotations

import math
from pathlib import Path

from edgestack.config.keys import key, section
from edgestack.config.kinds import DURATION_OR_0, SWITCH, TEXT, WHOLE, Choice, Whole
from edgestack.config.nested_kinds import As, Either, OneOrMany
from edgestack.config.place_kinds import FILES, FOLDER
from edgestack.config.process_kinds import UMASK, VARIABLE, Variables

__all__ = ["HOSTED", "WORKER_CLASSES", "Processes"]

WORKER_CLASSES = ("gthread", "sync", "process", "asgi", "gevent", "eventlet", "tornado")
"""How applications are called; the names are gunicorn's where it has them."""
HOSTED = ("process", "gevent", "eventlet", "tornado")
"""Those whose applications live in processes of their own."""


@section("[server]")
class Processes:
    """Workers, and the process itself."""

    workers: int = key(
        Either(Whole(1, 1024), As(Choice("auto"), lambda _: 0)),
        "Worker processes that share the listeners; `\"auto\"` is one for each core. With one there is no supervisor.",
        default=1, shown="1", example='"auto"', nginx="worker_processes", lifted=True, flag=True,
    )  # fmt: skip
    worker_class: str = key(
        Choice(*WORKER_CLASSES), "How applications are called: on threads, one at a time, in processes of their own, "
        "as ASGI, or by a coroutine library's own server.",
        default="gthread", example='"process"', lifted=True, flag=True,
    )  # fmt: skip
    asgi_loop: str = key(
        Choice("auto", "trio", "asyncio"), "Where ASGI applications run: on this server's own loop, or on one of "
        "asyncio's in a thread. `auto` is the first, and the second for an application whose startup asks for asyncio.",
        default="auto", example='"asyncio"', lifted=True, flag=True,
    )  # fmt: skip
    websocket_compression: bool = key(
        SWITCH, "Compress the messages of ASGI applications' WebSockets for clients that offer it (RFC 7692); messages "
        "that other servers exchange pass as they are.",
        default=True, example="false", lifted=True,
    )  # fmt: skip
    timeout: float = key(
        DURATION_OR_0, "How long an application may take to begin its answer, beyond it 504; and how long a worker may "
        "show no sign of life until it is replaced. 0 is no limit.",
        default=30.0, example='"30s"', lifted=True, flag=True,
    )  # fmt: skip
    max_requests: int = key(
        WHOLE, "Requests after which a worker is replaced by a fresh one; 0 is never.", default=0, example="10000",
        lifted=True, flag=True,
    )  # fmt: skip
    max_requests_jitter: int = key(
        WHOLE, "Up to so many requests more, by chance, so that workers do not leave together.", default=0,
        example="500", lifted=True, flag=True,
    )  # fmt: skip
    preload: bool = key(
        SWITCH, "Load the application once and fork the workers from there: they share its memory.", default=False,
        example="true", lifted=True, flag=True,
    )  # fmt: skip
    reload: bool = key(
        SWITCH, "Replace the application when its code changes.", default=False, example="true", lifted=True, flag=True
    )
    reload_extra_files: tuple[Path, ...] = key(
        FILES, "Further files whose change counts as one of the code.", default=(), shown="none",
        example='["templates/index.html"]', lifted=True, flag=True,
    )  # fmt: skip
    name: str = key(
        TEXT, "What the processes are called in lists of processes (with setproctitle installed).", default="",
        shown="the application's name", example='"shop"', lifted=True, flag=True,
    )  # fmt: skip
    user: str = key(
        TEXT, "The user, by name or number, as whom workers run; their supervisor stays who it was.", default="",
        shown="whoever starts it", example='"www-data"', nginx="user", lifted=True, flag=True,
    )  # fmt: skip
    group: str = key(
        TEXT, "The group, by name or number, as which workers run.", default="", shown="the user's own",
        example='"www-data"', nginx="user", lifted=True, flag=True,
    )  # fmt: skip
    umask: str = key(
        UMASK, "The mode bits that new files do not get, as an octal number.", default="", shown="that of the shell",
        example='"027"', lifted=True, flag=True,
    )  # fmt: skip
    chdir: Path | None = key(
        FOLDER, "The folder in which applications are looked for and run.", default=None, shown="the current folder",
        example='"/srv/shop"', lifted=True, flag=True,
    )  # fmt: skip
    pythonpath: tuple[Path, ...] = key(
        OneOrMany(FOLDER, "a folder, or an array of folders"), "Folders in which modules are looked for first.",
        default=(), shown="none", example='["lib"]', lifted=True, flag=True,
    )  # fmt: skip
    env: tuple[tuple[str, str], ...] = key(
        Variables("a table of variables", VARIABLE, TEXT), "Environment variables for the applications.", default=(),
        shown="none", example='{ DJANGO_SETTINGS_MODULE = "shop.settings" }', nginx="env", lifted=True, flag=True,
    )  # fmt: skip
    backlog: int = key(
        Whole(1), "Connections that may wait to be accepted, on each listener.", default=2048, example="2048",
        nginx="listen … backlog=", lifted=True, flag=True,
    )  # fmt: skip

    @property
    def hosting(self) -> str:
        """The class whose server hosts the applications in processes of their own; "" where this one calls them.

        With `reload` they always do, as with `process`: new code always means a fresh process. This process stays one
        then, and `workers` is how many of those there are.
        """
        return self.worker_class if self.worker_class in HOSTED else "process" if self.reload else ""

    @property
    def patience(self) -> float:
        """`timeout`, where 0 is no limit."""
        return self.timeout or math.inf
