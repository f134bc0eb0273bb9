"""A crew without a system that could start anybody: what it does when nothing works for a long time."""

from __future__ import annotations

import errno
import logging
import signal
import subprocess
from contextlib import closing

import pytest

from edgestack.config.model import Config
from edgestack.errors import ConfigError
from edgestack.process import crew as room
from edgestack.process.children import Child
from edgestack.process.crew import Crew
from edgestack.process.loop import Loop
from edgestack.process.options import Options
from edgestack.process.spec import Spec

PATIENCE = 20.0


class Poor:
    """An `Owner` that has no descriptors."""

    def __init__(self) -> None:
        self.told: list[ConfigError] = []

    def child(self, crew: Crew) -> Child:
        raise OSError(errno.EMFILE, "Too many open files")

    def last_sign(self, child: Child) -> float:
        raise AssertionError

    def killed_for_memory(self) -> bool:
        raise AssertionError

    def begun(self, crew: Crew) -> None:
        raise AssertionError

    def broken(self, crew: Crew, error: ConfigError) -> None:
        self.told.append(error)
        crew.over = True

    def gone(self, child: Child) -> None:
        raise AssertionError


def crew_of(owner: Poor, wanted: int) -> Crew:
    spec = Spec(Config(), Options(), [], (), wanted, -1, -1, b"")
    return Crew(owner, spec, -1, wanted, None)


def test_what_never_begins_is_told_once() -> None:
    owner = Poor()
    crew_of(owner, 3).fill()
    assert [str(error) for error in owner.told] == ["a worker cannot be started: Too many open files"]


def test_tries_become_rare_and_stay_so(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """One try at a time, for as long as it takes: a pause is a float, and doubled all night it would be none."""
    crew = crew_of(Poor(), 3)
    crew.has_begun = True
    with caplog.at_level(logging.ERROR):
        crew.fill()
        crew.fill()
    assert caplog.messages == ["a worker cannot be started: Too many open files; another try in 0.1 s"]
    monkeypatch.setattr(room, "PAUSES", (0.0, 0.0))
    crew = crew_of(Poor(), 1)
    crew.has_begun = True
    for _ in range(2000):
        crew.fill()
    assert caplog.messages[-1].endswith("another try in 0 s")


def test_who_is_told_to_leave_while_it_is_forked_gets_a_signal() -> None:
    """Its startup may hang, and then it reads no line: the order that came before it had a number is given again."""
    with closing(Loop()) as loop, subprocess.Popen(["cat"], stdin=subprocess.PIPE) as process:
        child = Child(1, None, loop, Poor())  # type: ignore[arg-type] # nobody asks its keeper
        child.leave()
        child.started(process.pid)
        assert process.wait(PATIENCE) == -signal.SIGTERM
        child.line.close()
