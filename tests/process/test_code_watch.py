"""What counts as a change of code, and what follows from it; virtual time, real files."""

from __future__ import annotations

import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from edgestack.errors import ConfigError
from edgestack.process import code_watch
from edgestack.process.code_watch import CodeWatch, look
from edgestack.process.host_process import NotHosted


class Scene:
    """A watch over two files, with a renewal that can be made to fail."""

    def __init__(self, folder: Path) -> None:
        self.main, self.part, self.extra = (folder / name for name in ("main.py", "part.py", "words.txt"))
        for file in (self.main, self.part, self.extra):
            file.write_text("first")
        self.group = SimpleNamespace(
            files=frozenset(map(str, (self.main, self.part))), hosted=SimpleNamespace(broken="")
        )
        hosts: Any = SimpleNamespace(groups=(self.group,))
        self.watch = CodeWatch(self.renew, hosts, [self.extra])
        self.error: ConfigError | None = None
        self.renewals = 0

    async def renew(self) -> None:
        self.renewals += 1
        if self.error is not None:
            raise self.error

    async def after(self, seconds: float) -> int:
        """Renewals so far, so much later."""
        await trio.sleep(seconds)
        return self.renewals


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    monkeypatch.setattr(code_watch, "find_spec", lambda name: None)
    return Scene(tmp_path)


async def test_each_change_is_one_renewal(scene: Scene, nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    """Of a module, of an extra file, of a file that goes and comes; nothing for what stays as it is."""
    nursery.start_soon(scene.watch.run)
    assert await scene.after(10) == 0
    scene.part.write_text("other")
    assert await scene.after(1) == 1
    scene.extra.write_text("other words")
    assert await scene.after(1) == 2
    scene.main.unlink()
    assert await scene.after(1) == 3
    scene.main.write_text("back")
    scene.part.write_text("at the same time")
    assert await scene.after(1) == 4
    assert await scene.after(10) == 4


async def test_what_fails_is_told_and_watched(
    scene: Scene,
    nursery: trio.Nursery,
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
    autojump_clock: MockClock,
) -> None:
    """The traceback goes to the log and to the page; files that it names count from then on, until all is well."""
    logging.getLogger("edgestack").propagate = True
    other, imported = tmp_path / "other.py", tmp_path / "imported.py"
    other.write_text("broken")
    imported.write_text("fine")
    scene.error = NotHosted("it cannot be loaded")
    scene.error.traceback_text = f'Traceback:\n  File "{other}", line 1\n    broken\nNameError: broken\n'
    scene.error.files = frozenset([str(imported)])
    nursery.start_soon(scene.watch.run)
    await trio.sleep(1)
    scene.part.write_text("other")
    assert await scene.after(1) == 1
    assert "NameError: broken" in scene.group.hosted.broken
    assert "part.py changed, and cannot be loaded; the code before goes on: it cannot be loaded" in caplog.text
    assert {str(other), str(imported)} <= scene.watch.files()
    imported.write_text("still fine")
    assert await scene.after(1) == 2
    scene.error = None
    other.write_text("mended")
    assert await scene.after(1) == 3
    assert str(other) not in scene.watch.files()


def test_a_look(tmp_path: Path) -> None:
    """A file that is not there is told as such, and one that takes its place is another one."""
    here, missing = tmp_path / "here", tmp_path / "missing"
    here.write_text("x")
    first = look([str(here), str(missing)])
    assert first[str(missing)] is None
    there = tmp_path / "there"
    there.write_text("x")
    there.replace(here)
    assert look([str(here)])[str(here)] != first[str(here)]
