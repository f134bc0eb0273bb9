"""`edgestack certs trust` and `untrust` with a real certutil and real NSS databases, in a home folder of their own.

The system's store is a folder without any: changing that of this machine is no test's business.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from edgestack.certs import development_certificate
from edgestack.certs.commands import Surroundings, certs
from edgestack.certs.trust import Machine

pytestmark = pytest.mark.skipif(shutil.which("certutil") is None, reason="certutil is missing (apt: libnss3-tools)")

SECRET = "a password of the database"


def certutil(*words: str) -> str:
    """What it says; it must succeed."""
    done = subprocess.run(["certutil", *words], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


class Home:
    """A home folder, and the commands as they are run there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.certificates = folder / "certs"
        programs = frozenset({"certutil", "chromium"})
        self.machine = Machine("Linux", folder, folder / "no-root", programs=programs, distribution=("debian",))

    def run(self, *words: str) -> Result:
        arguments = ["--folder", str(self.certificates), *words]
        return CliRunner().invoke(certs, arguments, obj=Surroundings(self.machine))

    def profile(self, name: str, password: str = "") -> str:
        """A profile of Firefox; its database."""
        folder = self.folder / ".mozilla/firefox" / name
        folder.mkdir(parents=True)
        (self.folder / "password").write_text(password + "\n")
        certutil("-N", "-d", f"sql:{folder}", "-f", str(self.folder / "password"))
        return f"sql:{folder}"


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    development_certificate(tmp_path / "certs")
    return Home(tmp_path)


def lines_of(result: Result, browser: str) -> list[str]:
    return [line.rpartition("): ")[2] for line in result.output.splitlines() if line.lstrip().startswith(browser)]


def test_trust_and_back(home: Home) -> None:
    """Issue 2 §5: Chromium's database is made, Firefox's is found; both trust the authority, and then do not."""
    databases = [home.profile("me.default"), f"sql:{home.folder}/.pki/nssdb"]
    for words in (("Chromium", "trusted now"), ("Chromium", "trusted already")):
        result = home.run("trust")
        assert lines_of(result, words[0]) == [words[1]]
        assert lines_of(result, "Firefox") == [words[1]]
        for database in databases:
            assert "C,," in certutil("-L", "-d", database)
    shown = home.run()
    assert lines_of(shown, "Chromium") == lines_of(shown, "Firefox") == ["yes"]
    for said in ("removed", "was not there"):
        result = home.run("untrust")
        assert lines_of(result, "Chromium") == lines_of(result, "Firefox") == [said]
        for database in databases:
            assert "edgestack" not in certutil("-L", "-d", database)
    assert lines_of(home.run(), "Firefox") == ["no"]


def test_a_certificate_that_is_signed_by_it_is_good_then(home: Home) -> None:
    """What a browser asks of NSS: is this a server's certificate, by an authority that is trusted?"""
    database = home.profile("me.default")
    certutil("-A", "-d", database, "-n", "leaf", "-t", ",,", "-i", str(home.certificates / "localhost.pem"))
    ask = ["certutil", "-V", "-u", "V", "-d", database, "-n", "leaf"]
    assert subprocess.run(ask, capture_output=True, timeout=60).returncode != 0
    assert home.run("trust").exit_code == 0
    assert subprocess.run(ask, capture_output=True, timeout=60).returncode == 0
    assert home.run("untrust").exit_code == 0
    assert subprocess.run(ask, capture_output=True, timeout=60).returncode != 0


def test_a_database_with_a_password(home: Home) -> None:
    """certutil puts the certificate in and cannot write the trust: that must not pass for trust at the next look."""
    home.profile("locked.default", SECRET)
    for _ in range(2):
        result = home.run("trust")
        (said,) = lines_of(result, "Firefox")
        assert said.startswith("not done (certutil -A -d …"), result.output
        assert "import" in result.output
    assert lines_of(home.run(), "Firefox") == ["no"]
    assert lines_of(home.run("untrust"), "Firefox") == ["removed"]


def test_a_database_that_is_damaged(home: Home) -> None:
    folder = home.folder / ".mozilla/firefox/me.default"
    folder.mkdir(parents=True)
    (folder / "cert9.db").write_bytes(b"no database at all")
    result = home.run("trust")
    assert lines_of(result, "Firefox")[0].startswith("not done (certutil -A -d …")
    assert lines_of(result, "Chromium") == ["trusted now"]
    assert "Traceback" not in result.output
