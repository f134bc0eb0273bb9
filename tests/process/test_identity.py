"""Where a process stands and who it is (nginx `user`, gunicorn `chdir`, `raw_env`, `umask`, `user`, `group`)."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgestack.config.model import App, Config, Route, Server
from edgestack.config.processes import Processes
from edgestack.errors import ConfigError
from edgestack.process.identity import Identity, before, entitle, give_away, identity_of, settle

AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes somebody else")
NOBODY = pwd.getpwnam("nobody")


@pytest.fixture(autouse=True)
def _as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    mask = os.umask(0o022)
    os.umask(mask)
    yield
    settle(Processes())
    os.umask(mask)


def test_a_place_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLD", "before")
    (tmp_path / "inner").mkdir()
    processes = Processes(
        chdir=tmp_path / "inner", env=(("NEW", "1"), ("OLD", "2")), umask="0o077", pythonpath=(tmp_path / "lib",)
    )
    settle(processes)
    assert Path.cwd() == tmp_path / "inner"
    assert (os.environ["NEW"], os.environ["OLD"]) == ("1", "2")
    assert sys.path[0] == str(tmp_path / "lib")
    assert os.umask(0o022) == 0o077


def test_a_reload_takes_variables_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLD", "before")
    settle(Processes(env=(("NEW", "1"), ("OLD", "2"))))
    settle(Processes(env=(("NEW", "3"),)))
    assert (os.environ["NEW"], os.environ["OLD"]) == ("3", "before")
    settle(Processes())
    assert "NEW" not in os.environ


def test_the_program_that_follows_has_what_was_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """An upgrade in place reads the configuration anew: what this one has set must not pass for the user's own."""
    monkeypatch.setenv("OLD", "before")
    assert before() == (dict(os.environ), -1)
    os.umask(0o022)
    settle(Processes(env=(("NEW", "1"), ("OLD", "2")), umask="0o077"))
    variables, umask = before()
    assert ("NEW" in variables, variables["OLD"], umask) == (False, "before", 0o022)
    assert os.environ["NEW"] == "1"


def test_a_reload_goes_back_where_it_came_from(tmp_path: Path) -> None:
    """Folder and mode bits that are no longer said are those of the start."""
    os.umask(0o027)
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        settle(Processes(chdir=tmp_path / name, umask="077"))
    settle(Processes())
    assert (Path.cwd(), os.umask(0o022)) == (tmp_path, 0o027)
    (tmp_path / "three").mkdir()
    os.chdir(tmp_path / "three")  # by somebody else: not ours to undo
    settle(Processes())
    assert (Path.cwd(), os.umask(0o022)) == (tmp_path / "three", 0o022)


def test_who_cannot_enter_stays(tmp_path: Path) -> None:
    settle(Processes(env=(("NEW", "1"),)))
    with pytest.raises(ConfigError, match="cannot be entered"):
        settle(Processes(chdir=tmp_path / "gone"))
    settle(Processes())
    assert Path.cwd() == tmp_path
    assert "NEW" not in os.environ


def test_a_folder_that_has_gone_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"the folder .*/gone cannot be entered: No such file or directory"):
        settle(Processes(chdir=tmp_path / "gone"))


@AS_ROOT
@pytest.mark.parametrize(
    ("user", "group", "expected"),
    [
        ("nobody", "", Identity(NOBODY.pw_uid, NOBODY.pw_gid, "nobody")),
        (str(NOBODY.pw_uid), "", Identity(NOBODY.pw_uid, NOBODY.pw_gid, "nobody")),
        ("nobody", "0", Identity(NOBODY.pw_uid, 0, "nobody")),
        ("54321", "54322", Identity(54321, 54322, "")),
        ("", "54322", Identity(0, 54322, "")),
    ],
)
def test_who_is_meant(user: str, group: str, expected: Identity) -> None:
    assert identity_of(Processes(user=user, group=group)) == expected


def test_without_a_word_one_stays_who_one_is() -> None:
    assert identity_of(Processes()) is None


@pytest.mark.parametrize(
    ("processes", "why"),
    [
        (Processes(user="nobdy"), r"there is no user 'nobdy' \(did you mean `nobody`\?\)"),
        (Processes(user="99999999999"), "there is no user '99999999999'"),
        (Processes(group="no-such-group"), "there is no group 'no-such-group'"),
    ],
)
def test_nobody_of_that_name(processes: Processes, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        identity_of(processes)


def test_only_root_becomes_somebody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 4711)
    with pytest.raises(ConfigError, match="only root can become another user"):
        identity_of(Processes(user="nobody"))


@AS_ROOT
def test_what_is_given_away_is_theirs(tmp_path: Path) -> None:
    (tmp_path / "log").touch()
    who = Identity(NOBODY.pw_uid, NOBODY.pw_gid, "nobody")
    give_away(tmp_path / "log", who)
    give_away("/dev/null", who)
    assert (tmp_path / "log").stat().st_uid == NOBODY.pw_uid
    assert os.stat("/dev/null").st_uid == 0


BECOMING = """
import os
from edgestack.config.processes import Processes
from edgestack.process.identity import become, identity_of
become(identity_of(Processes(user="nobody")))
become(identity_of(Processes(user="nobody")))
print(os.getuid(), os.geteuid(), os.getgid(), 0 in os.getgroups())
"""


@AS_ROOT
def test_one_becomes_another_for_good() -> None:
    done = subprocess.run([sys.executable, "-c", BECOMING], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout.split() == [str(NOBODY.pw_uid), str(NOBODY.pw_uid), str(NOBODY.pw_gid), "False"]


def test_a_title_says_role_and_application(monkeypatch: pytest.MonkeyPatch) -> None:
    titles: list[str] = []
    setproctitle = pytest.importorskip("setproctitle")
    monkeypatch.setattr(setproctitle, "setproctitle", titles.append)
    config = Config(routes=(Route(app=App("shop:app")),))
    entitle("worker", config)
    entitle("", config)
    entitle("supervisor", Config(server=Server(processes=Processes(name="web"))))
    entitle("worker", Config())
    assert titles == ["edgestack: worker [shop:app]", "edgestack: [shop:app]", "edgestack: supervisor [web]"]


def test_without_setproctitle_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "setproctitle", None)
    entitle("worker", Config(routes=(Route(app=App("shop:app")),)))
