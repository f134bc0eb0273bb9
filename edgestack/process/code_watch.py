"""`--reload`: when the code of an application changes, fresh processes load it beside the old ones, and take over.

    changed (watchfiles, or a look each half second) -> quiet for a moment -> Reloader.renew()
      loaded      -> the new processes serve; the old ones finish what they have begun
      not loaded  -> the last good ones go on; the traceback is in the log, and in development mode in the browser

Watched is what the application has imported from files of its own, as its processes tell it, with
`reload_extra_files`; after a failure also what the traceback names. A file counts as changed when its time, size or
inode is another one: what wakes us is only a reason to look. On the loop.
"""

from __future__ import annotations

import logging
import os
import re
import threading
from collections.abc import Awaitable, Callable, Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import TypeAlias

import trio

from edgestack.errors import ConfigError
from edgestack.process.host_process import NotHosted
from edgestack.process.hosts import Hosts

__all__ = ["CodeWatch", "Hints"]

LOOK = 0.5
"""Seconds between two looks, without watchfiles. A look at a hundred files takes less than a millisecond."""
SETTLE = 0.05
"""Seconds without a further change until the code is loaded: editors write a file in several steps."""
STEP_MS = 20
"""What watchfiles waits for further changes before it tells of the first."""

Marks: TypeAlias = "dict[str, tuple[int, int, int] | None]"

_named = re.compile(r'^ *File "([^"<]+)", line', re.MULTILINE)

log = logging.getLogger("edgestack.error")


class CodeWatch:
    """See the top of this file."""

    def __init__(self, renew: Renew, hosts: Hosts, extra: Iterable[Path] = ()) -> None:
        """
        :param renew: `Reloader.renew`.
        :param extra: further files that count as code.
        """
        self._renew = renew
        self._hosts = hosts
        self._extra = frozenset(str(path.absolute()) for path in extra)
        self._suspects: frozenset[str] = frozenset()
        """Files that broken code has led to."""
        self._marks: Marks = {}

    def files(self) -> frozenset[str]:
        """What is watched."""
        return self._extra.union(self._suspects, *(group.files for group in self._hosts.groups))

    async def run(self) -> None:
        """Until cancelled."""
        hints = Hints() if find_spec("watchfiles") is not None else None
        how = "" if hints is not None else f", by a look each {LOOK:g} s (with watchfiles installed, at once)"
        self._marks = look(self.files())
        log.info("reload: %d %s watched%s", len(self._marks), "file is" if len(self._marks) == 1 else "files are", how)
        try:
            while True:
                if hints is None:
                    await trio.sleep(LOOK)
                else:
                    hints.watch(self.files())
                    with trio.move_on_after(LOOK):
                        await hints.wait()
                await self._look()
        finally:
            if hints is not None:
                hints.stop()

    async def _look(self) -> None:
        """See whether anything has changed, and load it if so."""
        changed = await self._settled()
        if changed:
            await self._load(changed)
            self._marks = look(self.files()) | self._marks  # what it has led to is known from here on

    async def _settled(self) -> list[str]:
        """The files that have changed, once nothing changes any more."""
        marks = look(self.files())
        changed = [file for file, mark in marks.items() if self._marks.setdefault(file, mark) != mark]
        while changed:
            await trio.sleep(SETTLE)
            again = look(self.files())
            if again == marks:
                break
            changed += [file for file in again if again[file] != marks.get(file)]
            marks = again
        self._marks |= marks
        return list(dict.fromkeys(changed))

    async def _load(self, changed: list[str]) -> None:
        told, began = _said(changed), trio.current_time()
        try:
            await self._renew()
        except ConfigError as error:
            self._failed(error, told)
        else:
            self._suspects = frozenset()
            log.info("reloaded in %.2f s: %s changed", trio.current_time() - began, told)

    def _failed(self, error: ConfigError, told: str) -> None:
        text = error.traceback_text.rstrip()
        log.error("%s changed, and cannot be loaded; the code before goes on: %s%s", told, error,
                  f"\n{text}" if text else "")  # fmt: skip
        for group in self._hosts.groups:
            group.hosted.broken = text or str(error)
        named = frozenset(_named.findall(text))
        self._suspects = named | (error.files if isinstance(error, NotHosted) else frozenset())


def _said(files: list[str]) -> str:
    """Some of the files, for people."""
    return ", ".join(os.path.relpath(file) for file in files[:3]) + (" and others" if len(files) > 3 else "")


class Hints:
    """Wakes us when something happens in the folders of the files, by watchfiles in a thread of its own."""

    def __init__(self) -> None:
        self._folders: frozenset[str] = frozenset()
        self._token = trio.lowlevel.current_trio_token()
        self._stop = threading.Event()
        self._happened = trio.Event()

    def watch(self, files: Iterable[str]) -> None:
        """These from now on."""
        folders = frozenset(folder for file in files if os.path.isdir(folder := os.path.dirname(file)))
        if folders == self._folders:
            return
        self.stop()
        self._folders, self._stop = folders, threading.Event()
        threading.Thread(target=self._run, args=(folders, self._stop), name="reload", daemon=True).start()

    async def wait(self) -> None:
        """Until something has happened."""
        await self._happened.wait()
        self._happened = trio.Event()

    def stop(self) -> None:
        """End the thread."""
        self._stop.set()

    def _run(self, folders: Iterable[str], stop: threading.Event) -> None:
        from watchfiles import watch

        try:
            for _ in watch(*folders, recursive=False, watch_filter=None, stop_event=stop, step=STEP_MS):
                self._token.run_sync_soon(self._tell)
        except (OSError, trio.RunFinishedError):
            return  # a folder is gone, or the server: the looks go on without hints

    def _tell(self) -> None:
        self._happened.set()


def look(files: Iterable[str]) -> Marks:
    """Time, size and inode of each file; None where there is none."""
    marks: Marks = {}
    for file in files:
        try:
            seen = os.stat(file)
        except OSError:
            marks[file] = None
        else:
            marks[file] = (seen.st_mtime_ns, seen.st_size, seen.st_ino)
    return marks


Renew: TypeAlias = "Callable[[], Awaitable[None]]"
