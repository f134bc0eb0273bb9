"""The supervisor: plain code, one thread, no trio. It binds, starts workers, and never serves a request itself.

    supervise(config, options)
      ├ checks, error log, pid file, sockets                 what can fail quickly
      ├ the first crew: all ready ── announcing.py: control socket, ready file, banner, systemd
      └ the loop:  signals and orders          TERM INT QUIT HUP USR1 USR2 TTIN TTOU WINCH, `edgestack ctl`
                   children                    crew.py decides what becomes of one generation's
                   the clock                   who hangs, who is missing

    HUP, reload    configure ─ check ─ bind what is new ─ another crew ─┬ all ready: it serves, the old one leaves
                                                                        └ one cannot begin: the old one stays

Why so. Workers are fresh interpreters, or forks of a preloader that has no threads: a fork of a process with trio's
threads, or with an application's, would be broken. They get the configuration as it was read here (`spec.py`), so that
one that is started later is what its neighbours are. The sockets stay open here, whoever dies: what waits to be
accepted is lost to nobody. SIGHUP means new code too: always in new processes. To hooks this is `server`.
"""

from __future__ import annotations

import logging
import os
import signal
import time
from contextlib import ExitStack
from functools import partial
from typing import Any

from edgestack.certs.authority import Development, development_certificate
from edgestack.config.model import Config, Listener
from edgestack.errors import ConfigError
from edgestack.phases.arena import Arena
from edgestack.process.announcing import Announcing
from edgestack.process.board import Board, unnamed_file
from edgestack.process.checks import check
from edgestack.process.children import Child, State
from edgestack.process.crew import Crew
from edgestack.process.deaths import Kills
from edgestack.process.hooks import hooks_of
from edgestack.process.identity import entitle, settle
from edgestack.process.logs import open_error_log
from edgestack.process.loop import Loop, Timer
from edgestack.process.notify import Systemd
from edgestack.process.options import Options
from edgestack.process.orphans import reap
from edgestack.process.preloaders import Preloader
from edgestack.process.reloading import Reloading
from edgestack.process.signals import INTERRUPTED, has_terminal
from edgestack.process.sockets import Sockets, inherited, wanted
from edgestack.process.spec import Spec, write_spec
from edgestack.process.supervised import worker_count
from edgestack.process.telling import counted
from edgestack.process.upgrade import Upgrade

__all__ = ["Supervisor", "supervise"]

LOOKS = (0.1, 5.0)
"""Seconds between two looks at who hangs: a quarter of `timeout`, within these."""
LAST_CALL = 5.0
"""Seconds beyond the drain until workers that still run at the end are killed."""

log = logging.getLogger("edgestack.error")


def supervise(config: Config, options: Options) -> int:
    """Serve with workers until told to stop.

    :return: 0 after a graceful stop, 130 after SIGINT or SIGQUIT.
    :raises ConfigError: what the user wrote cannot be served.
    """
    with ExitStack() as at_exit:
        return Supervisor(config, options, at_exit).run()


class Supervisor:
    """Keeps workers."""

    def __init__(self, config: Config, options: Options, at_exit: ExitStack) -> None:
        """Everything that can fail quickly.

        :raises ConfigError: it cannot be served.
        """
        check(config, options)
        self.log = log
        self.pid = os.getpid()
        self.loop = Loop()
        at_exit.callback(self.loop.close)
        self.upgrade = Upgrade(os.environ)
        settle(config.server.processes)
        entitle("supervisor", config)
        self.error_log = open_error_log(config.server.log, options)
        at_exit.callback(self.error_log.close)
        self.hooks = hooks_of(options)
        self.cfg = self.hooks.cfg
        self.systemd = Systemd.of(os.environ)
        self.options = options
        self.config = config
        self.hooks.call("on_starting", self)
        at_exit.callback(self.hooks.call, "on_exit", self)
        self.announcing = Announcing(self)
        at_exit.callback(self.announcing.close)
        self.announcing.claim()
        self.passed: tuple[Listener, ...] = self.upgrade.passed or tuple(
            inherited(os.environ, self.pid, any(one.tls for one in config.listeners))
        )
        standing = Sockets.taken(self.upgrade.sockets, own=True)
        backlog = config.server.processes.backlog
        self.sockets = standing.changed(wanted(config, options, self.passed), backlog)
        at_exit.callback(self._close_sockets)
        self.development: Development | None = development_certificate() if options.development_certificate else None
        self.board = Board()
        self._arena_fd = unnamed_file("edgestack-limits")
        self._arena = Arena(self._arena_fd, 0, self.board.rows)
        self._secret = os.urandom(32)
        self.children: dict[int, Child] = {}
        """By age: everybody who is not dead."""
        self._age = 0
        self._kills = Kills()
        self.started = time.time()
        self.terminal = has_terminal()
        self.reloading = Reloading(self)
        self.crew = self.make_crew(config, options, self.sockets)
        self.crews = [self.crew]
        """This one, the next one, and those before that still leave."""
        self._look_timer: Timer | None = None
        self._failure: ConfigError | None = None
        self._stopping = False
        self._status = 0
        self._told_number: int | None = None

    # -- what hooks see ------------------------------------------------------------------------------------------------

    @property
    def num_workers(self) -> int:
        """How many are wanted."""
        return self.crew.wanted

    @property
    def address(self) -> Any:
        """Where it listens, as hooks ask for it: pairs of host and port, and paths."""
        return getattr(self.cfg, "address", [])

    @property
    def workers(self) -> dict[int, Child]:
        """By process id."""
        return {child.pid: child for child in self.children.values() if child.pid}

    # -- life ----------------------------------------------------------------------------------------------------------

    def run(self) -> int:
        """Until the end; the exit status.

        :raises ConfigError: the first crew could not begin.
        """
        stop = signal.SIGTERM, signal.SIGINT, signal.SIGQUIT
        self.loop.obey(
            {
                **{number: partial(self.stop, number) for number in stop},
                signal.SIGCHLD: self._reap,
                signal.SIGUSR1: self.reopen_logs,
                signal.SIGUSR2: self._upgrade,
                signal.SIGTTIN: lambda: self.scale(self.crew.wanted + 1),
                signal.SIGTTOU: self._one_less,
                signal.SIGWINCH: self._window_changed,
            }
        )
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            self.loop.obey({signal.SIGHUP: self._hang_up})
        self._tell_number(self.crew.wanted)
        self.crew.fill()
        self._look()
        self.loop.run()
        if self._failure is not None:
            raise self._failure
        return self._status

    def make_crew(self, config: Config, options: Options, sockets: Sockets) -> Crew:
        """The workers of a configuration; nobody is started yet."""
        count = worker_count(config.server.processes)
        spec = Spec(
            config, options, sockets.handed(), self.passed, count, self.board.fd, self._arena_fd, self._secret
        )  # fmt: skip
        fd = write_spec(spec)
        crew = Crew(self, spec, fd, count, None)
        if config.server.processes.preload:
            crew.preloader = Preloader(self.loop, spec, fd, partial(self._preloader_failed, crew))
        return crew

    def _preloader_failed(self, crew: Crew, error: ConfigError) -> None:
        if not crew.has_begun:
            self.broken(crew, error)
        elif crew is self.crew and not self._stopping:
            log.error("%s: another generation is started", error)
            self.reloading.begin()

    def _look(self) -> None:
        """See to what only the clock tells, and once more in a while, whatever comes of it now."""
        now = time.monotonic()
        try:
            for crew in self.crews:
                crew.look(now)
            self._tidy()
        finally:
            patience = self.config.server.processes.patience / 4
            pause = self.crew.next_start() - now
            if self._look_timer is not None:
                self._look_timer.cancel()
            seconds = min(LOOKS[1], max(LOOKS[0], patience))
            self._look_timer = self.loop.later(min(seconds, pause) if pause > 0 else seconds, self._look)

    def _reap(self) -> None:
        """Somebody has ended: all that have; as process 1 also those that nobody else waits for."""
        for child in list(self.children.values()):
            if child.process is not None and child.process.poll() is not None and not child.is_dead:
                process, child.process = child.process, None
                child.ended(process.returncode)
        for crew in self.crews:
            if crew.preloader is not None:
                crew.preloader.process.poll()
        self.upgrade.reap()
        self.announcing.reap()
        if self.pid == 1:
            reap({child.process.pid for child in self.children.values() if child.process is not None})

    def _tidy(self) -> None:
        """Crews that are over and have no members are no more."""
        for crew in [crew for crew in self.crews if crew.over and not crew.members]:
            self.crews.remove(crew)
            os.close(crew.spec_fd)
            if crew.preloader is not None:
                crew.preloader.close()
        if self._stopping and not self.children:
            self.loop.stop()

    # -- as owner of crews ---------------------------------------------------------------------------------------------

    def child(self, crew: Crew) -> Child:
        """A new worker, not started.

        :raises OSError: there are no descriptors for it.
        """
        child = Child(self._age + 1, self.cfg, self.loop, crew)
        self._age = child.age
        child.row = self.board.take()
        self.children[child.age] = child
        self.hooks.call("pre_fork", self, child)
        return child

    def last_sign(self, child: Child) -> float:
        """When it was last seen alive."""
        return self.board.read(child.row).alive

    def killed_for_memory(self) -> bool:
        """Whether the kernel did that."""
        return self._kills.more()

    def begun(self, crew: Crew) -> None:
        """All of a crew are ready: the first one, or the next."""
        if crew is self.crew:
            self.announcing.begin()
        else:
            self.reloading.succeeded(crew)

    def broken(self, crew: Crew, error: ConfigError) -> None:
        """A crew cannot begin."""
        if crew.over:
            return
        crew.kill(signal.SIGKILL)
        if crew is not self.crew:
            self.reloading.failed(error)
        elif self._failure is None:
            self._failure = error
            self._stopping = True
        self._tidy_soon()

    def gone(self, child: Child) -> None:
        """A worker has ended."""
        del self.children[child.age]
        self.board.wipe(child.row)
        self._arena.wipe(child.row)
        self.hooks.call("child_exit", self, child)
        self._tidy_soon()

    def _tidy_soon(self) -> None:
        self.loop.later(0, self._look)

    # -- orders --------------------------------------------------------------------------------------------------------

    def stop(self, number: int) -> None:
        """SIGTERM lets all drain; SIGINT and SIGQUIT do not."""
        self.systemd.stopping()
        self._stopping = True
        self.reloading.stop()
        begun = [child for child in self.children.values() if child.state is not State.STARTING]
        for crew in self.crews:
            crew.retire(now=number != signal.SIGTERM)
        if number != signal.SIGTERM:
            self._status = INTERRUPTED
            for child in begun:  # others are told enough by SIGTERM
                child.kill(signal.SIGQUIT)
            self.loop.later(LAST_CALL, self._kill_all)
        self._tidy_soon()

    def _kill_all(self) -> None:
        for child in self.children.values():
            child.kill(signal.SIGKILL)

    def _hang_up(self) -> None:
        """Another configuration and other code; where a terminal was closed on us and no file was named, the end."""
        if self.terminal and (self.options.file is None or self.options.found):
            self.stop(signal.SIGTERM)
        else:
            self.reloading.begin()

    def reopen_logs(self) -> None:
        """Everywhere."""
        self.error_log.reopen()
        for child in self.children.values():
            child.line.say(do="reopen")
        log.info("logs reopened")

    def scale(self, wanted: int) -> None:
        """Another number of workers."""
        if self._stopping or wanted == self.crew.wanted:
            return
        log.info("%s instead of %d", counted(wanted, "worker"), self.crew.wanted)
        self._tell_number(wanted)
        self.crew.scale(wanted)

    def _one_less(self) -> None:
        """One is the least; none, after SIGWINCH, stays none."""
        if self.crew.wanted > 1:
            self.scale(self.crew.wanted - 1)

    def _tell_number(self, wanted: int) -> None:
        self.hooks.call("nworkers_changed", self, wanted, self._told_number)
        self._told_number = wanted

    def _window_changed(self) -> None:
        """Without a terminal, all workers leave, and the supervisor stays: a step of an upgrade (upgrade.py)."""
        if not self.terminal:
            log.info("SIGWINCH: the workers leave, and the supervisor stays")
            self.crew.scale(0)

    def _upgrade(self) -> None:
        if self.upgrade.is_going_on():
            log.error("SIGUSR2: another supervisor was started already, as process %d", self.upgrade.successor)
            return
        self.hooks.call("pre_exec", self)
        self.upgrade.begin(self.sockets, self.passed, self.systemd)

    def adopted(self, config: Config, options: Options, sockets: Sockets, crew: Crew) -> None:
        """Another generation serves; the one before leaves."""
        before, self.crew = self.crew, crew
        self.config = config
        self.options = options
        self.error_log.change(config.server.log, options)
        self.hooks = hooks_of(options)
        self.cfg = self.hooks.cfg
        self._tell_number(crew.wanted)
        before.retire()
        stays = {id(sock) for _, sock in sockets.pairs}
        for _, sock in self.sockets.pairs:
            if id(sock) not in stays:
                sock.close()
        self.sockets.left(sockets)
        self.sockets = sockets
        self.announcing.changed()
        self._tidy_soon()

    def _close_sockets(self) -> None:
        if self.upgrade.is_going_on():
            self.sockets.keep_files()
        self.sockets.close()

    def serving(self) -> list[Child]:
        """Workers that can be asked something."""
        return [child for child in self.children.values() if child.state is State.SERVING]
