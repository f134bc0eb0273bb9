"""`edgestack certs`, `certs trust` and `certs untrust`, on a machine made of folders in tmp_path."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from edgestack.certs import development_certificate
from edgestack.certs.commands import Surroundings, certs
from edgestack.certs.running import Run
from edgestack.certs.trust import Command, Machine

PROGRAMS = frozenset({"update-ca-certificates", "certutil", "sudo"})


class FakeMachine:
    """Does what update-ca-certificates and certutil would, in dicts and folders."""

    def __init__(self, tmp_path: Path, superuser: bool = True, programs: frozenset[str] = PROGRAMS) -> None:
        root, home = tmp_path / "root", tmp_path / "home"
        self.anchors = root / "usr/local/share/ca-certificates"
        self.bundle = root / "etc/ssl/certs/ca-certificates.crt"
        profile = home / ".mozilla/firefox/me.default"
        for folder in (self.anchors, self.bundle.parent, profile):
            folder.mkdir(parents=True)
        (profile / "cert9.db").write_bytes(b"")
        self.machine = Machine("Linux", home, root, superuser, programs, ("debian",))
        self.nicknames: set[str] = set()
        self.ran: list[Command] = []

    def run(self, command: Command) -> tuple[int, str]:
        self.ran.append(command)
        if command[0] == "sudo":
            return 1, "sudo: a password is required"
        if command[0] == "certutil":
            return self.certutil(command)
        if command[0] == "install":
            Path(command[-1]).write_bytes(Path(command[-2]).read_bytes())
        elif command[0] == "rm":
            Path(command[-1]).unlink()
        else:
            self.bundle.write_bytes(b"".join(path.read_bytes() for path in self.anchors.iterdir()))
        return 0, ""

    def certutil(self, command: Command) -> tuple[int, str]:
        nickname = command[command.index("-n") + 1]
        if command[1] == "-A":
            self.nicknames.add(nickname)
        elif nickname not in self.nicknames:
            return 255, "certutil: could not find certificate"
        elif command[1] == "-D":
            self.nicknames.remove(nickname)
        return 0, ""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "mine"


def call(fake: FakeMachine, folder: Path, *words: str) -> Result:
    run: Run = fake.run
    return CliRunner().invoke(certs, ["--folder", str(folder), *words], obj=Surroundings(fake.machine, run))


def test_nothing_there_yet(tmp_path: Path, folder: Path) -> None:
    """Looking makes nothing."""
    for words in ((), ("trust", "--dry-run"), ("untrust",)):
        result = call(FakeMachine(tmp_path / "-".join(("m", *words))), folder, *words)
        assert result.exit_code == 0
        assert str(folder) in result.output
    assert not folder.exists()


def test_what_there_is(tmp_path: Path, folder: Path) -> None:
    """Issue 2 §5: what there is and until when."""
    made = development_certificate(folder)
    result = call(FakeMachine(tmp_path), folder)
    assert result.exit_code == 0
    assert "edgestack-ca.pem" in result.output
    assert "(396 days)" in result.output
    assert ", ".join(made.names) in result.output
    assert result.output.count("SHA-256") == 2
    assert result.output.count(": no\n") == 2
    assert "edgestack certs trust" in result.output


def test_trust_and_back(tmp_path: Path, folder: Path) -> None:
    """Issue 2 §5: made, trusted, trusted already, shown as trusted, removed, removed already."""
    fake = FakeMachine(tmp_path)
    first = call(fake, folder, "trust")
    assert first.exit_code == 0, first.output
    assert first.output.count("trusted now") == 2
    assert fake.bundle.read_bytes() == (folder / "edgestack-ca.pem").read_bytes()
    assert len(fake.nicknames) == 1
    again = call(fake, folder, "trust")
    assert again.exit_code == 0
    assert again.output.count("trusted already") == 2
    assert call(fake, folder).output.count(": yes\n") == 2
    undone = call(fake, folder, "untrust")
    assert undone.output.count("removed") == 2
    assert fake.bundle.read_bytes() == b""
    assert not fake.nicknames
    assert not list(fake.anchors.iterdir())
    assert call(fake, folder, "untrust").output.count("was not there") == 2


def test_dry_run_shows_commands_and_runs_none(tmp_path: Path, folder: Path) -> None:
    development_certificate(folder)
    fake = FakeMachine(tmp_path, superuser=False)
    result = call(fake, folder, "trust", "--dry-run")
    assert result.exit_code == 0
    lines = [line for line in result.output.splitlines() if not line.startswith("#")]
    assert [line.split()[:3] for line in lines] == [
        ["sudo", "-n", "install"],
        ["sudo", "-n", "update-ca-certificates"],
        ["certutil", "-A", "-d"],
    ]
    assert fake.ran == []


def test_a_part_that_fails_is_told_and_the_rest_done(tmp_path: Path, folder: Path) -> None:
    fake = FakeMachine(tmp_path, superuser=False)
    result = call(fake, folder, "trust")
    assert result.exit_code == 0
    assert "not done (sudo -n install …: sudo: a password is required)" in result.output
    assert "    run: sudo install -m 644 " in result.output
    assert result.output.count("trusted now") == 1


def test_when_nothing_could_be_done(tmp_path: Path, folder: Path) -> None:
    """Exit status 1, and a way to go on for each."""
    fake = FakeMachine(tmp_path, superuser=False, programs=frozenset({"sudo", "update-ca-certificates"}))
    result = call(fake, folder, "trust")
    assert result.exit_code == 1
    assert "apt install libnss3-tools" in result.output
    plan = call(fake, folder, "trust", "--dry-run")
    assert "cannot be done: certutil is missing; to fix it: apt install libnss3-tools" in plan.output


def test_a_folder_that_cannot_be_written_to(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    """Issue 2 §6: exit status 2 and one clear line."""
    result = call(FakeMachine(tmp_path), tmp_path / "file" / "x", "trust")
    assert result.exit_code == 2
    assert "cannot be kept in" in result.output
    assert "Traceback" not in result.output


def test_a_stranger_to_its_authority_is_told(tmp_path: Path, folder: Path) -> None:
    development_certificate(folder)
    development_certificate(tmp_path / "other")
    (folder / "localhost.pem").write_bytes((tmp_path / "other" / "localhost.pem").read_bytes())
    assert "not signed by this authority" in call(FakeMachine(tmp_path), folder).output
