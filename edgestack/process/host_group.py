"""The processes that host one application: begun together, each watched and begun again, ended together.

    HostGroup(app, config)           the processes begin to load it
    group.wait()                     blocking: every process accepts, or a ConfigError says why one does not
    group.hosted                     what routes see (`upstream/hosted.py`)
    await group.watch()              on the loop: who dies is begun again, at once the first time, then with a back-off;
                                     who shows no sign of life is killed, who has answered enough is replaced
                                     (`host_wear.py`)
    await group.retire(grace)        no route leads there any more: they answer what they were asked, and leave
    group.end()                      the same, blocking: the last word of the server

Each generation has sockets of its own in a folder of its own (mode 0700), so that nothing that is new ever meets a
process that is old.
"""

from __future__ import annotations

import logging
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import trio

from edgestack.compose.hosting import wait_for
from edgestack.config.model import App, Config
from edgestack.errors import ConfigError
from edgestack.hosting.order import Order
from edgestack.http.messages import Exchange
from edgestack.process.crew import LAST_WORDS
from edgestack.process.deaths import Kills
from edgestack.process.deaths import told as how_it_ended
from edgestack.process.host_forker import Forker
from edgestack.process.host_needs import environment, require
from edgestack.process.host_process import HostProcess
from edgestack.process.host_wear import FAREWELL, QUIET_LOOK, Wear
from edgestack.process.supervised import worker_count
from edgestack.upstream.hosted import Hosted
from edgestack.wire.held_clock import on_thread

__all__ = ["HostGroup"]

FIRST_DELAY = 0.5
LONGEST_DELAY = 30.0
"""Seconds before another try, doubled each time: a process that dies at its first request again and again costs little,
and one that a database kept from starting is back within half a minute of it (both are guesses)."""
WELL_AFTER = 10.0
"""Seconds of life after which a death counts as the first again."""
BEATS = 4
"""Signs of life within the time after which a process without any is killed."""
ANSWERED = 2.0
"""Seconds until it is killed beyond those that the edge waits for an answer, so that who asked it gets the 504: its
deadlines are a second coarse."""
SLOWEST = 5.0
"""Seconds between two of them at the most, as in a worker."""

log = logging.getLogger("edgestack.error")


class HostGroup:
    """See the top of this file."""

    def __init__(self, app: App, config: Config) -> None:
        """:raises ConfigError: the library of the worker class is not installed, or no process can be started."""
        require(config.server.processes.hosting)
        self.app = app
        self._config = config
        self._order = order_for(app, config)
        self._folder = Path(tempfile.mkdtemp(prefix="edgestack-"))
        self._begun = 0
        self._kills = Kills()
        processes = config.server.processes
        self.patience = wait_for(processes.hosting, processes.patience) + ANSWERED
        """Seconds without a sign of life after which one of them is taken to hang."""
        self._left = trio.Event()
        """Nobody watches any more: all of them have left, and nobody is begun again."""
        self._nursery: trio.Nursery | None = None
        self.retired = False
        self.everyone: list[HostProcess] = []
        """Those that are asked, those that are not asked yet, and those that are not asked any more."""
        self._forker: Forker | None = None
        try:
            if config.server.processes.preload:
                self._forker = Forker(self._order, environment(config))
            for _ in range(worker_count(config.server.processes)):
                self.another()
        except BaseException:
            self.abandon()
            raise
        self.processes = list(self.everyone)
        """Those that are asked."""
        self.hosted = Hosted(app.target, [process.path for process in self.processes], self._order.kind)
        self._wear = Wear(self, config.server)

    def another(self) -> HostProcess:
        """One more process begins; nobody asks it yet.

        :raises ConfigError: it cannot be started.
        """
        self._begun += 1
        path = self._folder / f"{self._begun}.sock"
        process = HostProcess(self._order, path, environment(self._config), self._forker)
        self.everyone.append(process)
        return process

    def wait(self) -> None:
        """Until all of them accept. Blocking.

        :raises ConfigError: the application cannot be loaded.
        """
        try:
            for process in self.processes:
                process.report()
        except KeyboardInterrupt:
            log.warning("told to stop while %s was starting: it is left as it is", self.app.target)
            raise

    @property
    def files(self) -> frozenset[str]:
        """What the application is made of."""
        return frozenset().union(*(process.files for process in self.processes))

    def children(self) -> set[int]:
        """Process ids of those that this process has begun itself, and waits for."""
        forker = () if self._forker is None else (self._forker.process,)
        begun = (one.process for one in self.everyone if isinstance(one.process, subprocess.Popen))
        return {process.pid for process in (*begun, *forker)}

    # -- on the loop ---------------------------------------------------------------------------------------------------

    async def watch(self) -> None:
        """Until the group is retired, and its processes have left."""
        async with trio.open_nursery() as self._nursery:
            self._wear.begin(self._nursery)
            for process in self.processes:
                self.keep(process)
        self._left.set()

    def dismiss(self, process: HostProcess) -> None:
        """Its end, where it has not come yet; nobody asks it any more."""
        process.kill()
        process.process.wait()
        process.close()
        self.everyone.remove(process)

    def keep(self, process: HostProcess) -> None:
        """From now on it is begun again when it dies, unless it was let go."""
        assert self._nursery is not None
        self._nursery.start_soon(self._watch, process)

    async def _watch(self, process: HostProcess) -> None:
        deaths = 0
        while True:
            began = trio.current_time()
            status = await self._ended(process)
            if self._is_leaving(process):
                process.gone.set()
                return
            deaths = 1 if trio.current_time() - began >= WELL_AFTER else deaths + 1
            log.error("a process of %s (%d) %s; %s", self.app.target, process.process.pid,
                      how_it_ended(status, self._kills.more()), _soon(deaths))  # fmt: skip
            deaths = await self._begin_again(process, deaths)
            if self._is_leaving(process) and process.process.poll() is not None:
                process.gone.set()
                return

    async def _ended(self, process: HostProcess) -> int:
        """Until it is dead, of itself or for want of signs of life."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._look_after, process)
            status = await process.ended()
            nursery.cancel_scope.cancel()
        return status

    async def _look_after(self, process: HostProcess) -> None:
        """Looks are counted, and no clock is read: this process may have been held up as well."""
        seen, silent = process.signs, 0
        while silent <= BEATS:
            await trio.sleep(self.patience / BEATS)
            silent = silent + 1 if process.signs == seen and not self._is_leaving(process) else 0
            seen = process.signs
        log.error("a process of %s (%d) gave no sign of life for %g s",
                  self.app.target, process.process.pid, self.patience)  # fmt: skip
        process.abort()
        await trio.sleep(LAST_WORDS)
        process.kill()

    def _is_leaving(self, process: HostProcess) -> bool:
        return self.retired or process.leaving

    async def _begin_again(self, process: HostProcess, deaths: int) -> int:
        """Until another one is ready in its place, or it is to leave; how many have died by then."""
        while True:
            if delay_after(deaths):
                process.deaf()
                self._told()
            await trio.sleep(delay_after(deaths))
            if self._is_leaving(process):
                return deaths
            try:
                process.begin_again()
                self._told()
                await on_thread(process.report, abandon_on_cancel=True)
            except ConfigError as error:
                if self._is_leaving(process):
                    return deaths
                deaths += 1
                trace = f"\n{error.traceback_text.rstrip()}" if error.traceback_text else ""
                log.error("%s; %s%s", error, _soon(deaths), trace)
            else:
                self._wear.begun_again(process)
                log.info("a process of %s (%d) is ready", self.app.target, process.process.pid)
                return deaths

    def _told(self) -> None:
        """What routes must know: whether there is a socket at all that requests may wait at."""
        self.hosted.down = not any(process.listens for process in self.processes)

    async def retire(self, grace: float) -> None:
        """Let them finish what they have begun; who does not leave in time is killed.

        :param grace: seconds that requests under way have.
        """
        self.retired = True
        self.say_goodbye()
        with trio.move_on_after(grace):
            while self.hosted.under_way > 0:  # noqa: ASYNC110 - requests end often, and nobody else asks
                await trio.sleep(QUIET_LOOK)
        self.stop()
        with trio.move_on_after(FAREWELL):
            await self._left.wait()
        for process in self.everyone:
            if process.process.poll() is None:
                self.tell_of_the_kill(process, grace)
                process.kill()
        await self._left.wait()  # until then somebody waits on their lines
        self._clear()

    # -- the end, anywhere ---------------------------------------------------------------------------------------------

    def stop(self) -> None:
        """Have them drain, and begin none of them again."""
        self.retired = True
        for process in self.everyone:
            process.stop()

    def reopen_logs(self) -> None:
        """Have them open the error log anew."""
        for process in self.everyone:
            process.reopen_logs()

    def say_goodbye(self) -> None:
        """Have WebSockets end, which would go on for ever; requests still come."""
        for process in self.everyone:
            process.say_goodbye()

    def abandon(self) -> None:
        """End them at once; nobody watches, or nobody will."""
        self.retired = True
        for process in self.everyone:
            process.kill()
            process.process.wait()
        self._clear()

    def end(self) -> None:
        """Wait until they have left, and clear up, once the loop has ended and nothing is under way. Blocking."""
        self.stop()
        until = time.monotonic() + FAREWELL
        for process in self.everyone:
            if not process.reap(max(0.0, until - time.monotonic())):
                self.tell_of_the_kill(process, 0)
                process.kill()
                process.process.wait()
        self._clear()

    def tell_of_the_kill(self, process: HostProcess, grace: float) -> None:
        """Patience is over."""
        log.warning("a process of %s (%d) did not leave within %g s and is killed",
                    self.app.target, process.process.pid, grace + FAREWELL)  # fmt: skip

    def _clear(self) -> None:
        for process in self.everyone:
            process.close()
        if self._forker is not None:
            self._forker.close()
        shutil.rmtree(self._folder, ignore_errors=True)


def delay_after(deaths: int) -> float:
    """Seconds until the next try: none after the first death."""
    doublings = min(deaths - 2, 10)  # beyond them it is the longest anyway, and at last no float
    return float(min(FIRST_DELAY * 2**doublings, LONGEST_DELAY)) if deaths > 1 else 0.0


def _soon(deaths: int) -> str:
    delay = delay_after(deaths)
    return f"another one is begun in {delay:g} s" if delay else "another one is begun"


def order_for(app: App, config: Config) -> Order:
    """What each of them is told."""
    server = config.server
    processes = server.processes
    return Order(
        processes.hosting, app.target, str(app.folder or ""), -1, -1, "", Exchange.prefix, threads=server.threads,
        queue=server.queue, asgi=processes.worker_class == "asgi", asgi_loop=processes.asgi_loop,
        websocket_compression=processes.websocket_compression, multiprocess=worker_count(processes) > 1,
        dev=server.dev, timeout=processes.timeout, graceful=server.timeouts.graceful,
        error_log=server.log.error, log_format=server.log.format, reload=processes.reload,
        beat=min(SLOWEST, processes.patience / BEATS),
    )  # fmt: skip
