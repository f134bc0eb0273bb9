"""The plan for the trust stores, over descriptions of machines, and its taking, by a runner that only writes down.

The root of the file system and the home folder are folders in tmp_path: no store of this machine is touched.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import trustme

from edgestack.certs.running import Outcome, describe_machine, is_trusted, run_command, take, with_rights
from edgestack.certs.trust import Authority, Command, Machine, Step, trust_steps, untrust_steps
from edgestack.wire.x509 import read_certificate

PEM = trustme.CA().cert_pem.bytes()
OTHER = trustme.CA().cert_pem.bytes()
LINUX = frozenset({"update-ca-certificates", "update-ca-trust", "trust", "certutil", "sudo"})
DEBIAN = "usr/local/share/ca-certificates"
BUNDLE = "etc/ssl/certs/ca-certificates.crt"


class Recorder:
    """Runs nothing: writes down what it was asked, and answers from a table of (a word in the command, status)."""

    def __init__(self, **failing: int) -> None:
        self.ran: list[Command] = []
        self.failing = failing

    def __call__(self, command: Command) -> tuple[int, str]:
        self.ran.append(command)
        for word, status in self.failing.items():
            if any(word in part for part in command):
                return status, f"{word} says no\nand more"
        return 0, ""


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    path = tmp_path / "edgestack-ca.pem"
    path.write_bytes(PEM)
    return Authority(path, read_certificate(PEM))


def machine(tmp_path: Path, *folders: str, programs: frozenset[str] = LINUX, **facts: object) -> Machine:
    root, home = tmp_path / "root", tmp_path / "home"
    for folder in folders:
        (root / folder).mkdir(parents=True, exist_ok=True)
    home.mkdir(exist_ok=True)
    return Machine("Linux", home, root, programs=programs, **facts)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("anchors", "add", "remove"),
    [
        (DEBIAN, ["update-ca-certificates"], ["update-ca-certificates --fresh"]),
        ("etc/pki/ca-trust/source/anchors", ["update-ca-trust extract"], ["update-ca-trust extract"]),
        ("etc/pki/trust/anchors", ["update-ca-certificates"], ["update-ca-certificates --fresh"]),
        ("etc/ca-certificates/trust-source/anchors", ["trust anchor --store {ca}"], ["trust anchor --remove {ca}"]),
    ],
    ids=["debian, ubuntu, alpine", "fedora, rhel", "opensuse", "arch"],
)
def test_system_stores(tmp_path: Path, authority: Authority, anchors: str, add: list[str], remove: list[str]) -> None:
    """Issue 2 §5: the exact commands, by distribution."""
    box = machine(tmp_path, anchors, "etc/ssl/certs")
    anchor = tmp_path / "root" / anchors / authority.anchor
    copies = not anchors.endswith("trust-source/anchors")
    (trust,) = trust_steps(box, authority)
    expected = [line.format(ca=authority.path) for line in add]
    assert [" ".join(command) for command in trust.commands] == (
        [f"install -m 644 {authority.path} {anchor}"] if copies else []
    ) + expected
    assert trust.elevated
    assert trust.present is False
    if copies:
        anchor.write_bytes(PEM)
    (untrust,) = untrust_steps(box, authority)
    expected = [line.format(ca=authority.path) for line in remove]
    assert [" ".join(command) for command in untrust.commands] == ([f"rm -f {anchor}"] if copies else []) + expected
    assert untrust.present is copies


def test_java_forgets_it_too(tmp_path: Path, authority: Authority) -> None:
    """Its store is changed by a hook, which `update-ca-certificates --fresh` does not tell what is gone."""
    box = machine(tmp_path, DEBIAN)
    hook = tmp_path / "root/etc/ca-certificates/update.d/jks-keystore"
    hook.parent.mkdir(parents=True)
    hook.write_text(f"#!/bin/sh\ncat > {tmp_path}/told\n")
    hook.chmod(0o755)
    (step,) = untrust_steps(box, authority)
    assert run_command(step.commands[-1]) == (0, "")
    entry = tmp_path / "root/etc/ssl/certs" / authority.anchor.replace(".crt", ".pem")
    assert (tmp_path / "told").read_text() == f"-{entry}\n"
    assert "sh" not in [command[0] for command in trust_steps(box, authority)[0].commands]


def test_presence_is_read_from_the_bundle(tmp_path: Path, authority: Authority) -> None:
    """Whether programs trust it is what counts; the bundle's line breaks may differ from ours."""
    box = machine(tmp_path, DEBIAN, "etc/ssl/certs")
    bundle = tmp_path / "root" / BUNDLE
    bundle.write_bytes(OTHER)
    assert trust_steps(box, authority)[0].present is False
    assert untrust_steps(box, authority)[0].present is False
    bundle.write_bytes(OTHER + PEM.replace(b"\n", b"\r\n"))
    assert trust_steps(box, authority)[0].present is True
    assert untrust_steps(box, authority)[0].present is True


@pytest.mark.parametrize(
    ("folders", "programs", "distribution", "obstacle", "fix"),
    [
        ((), LINUX, (), "no system store that we know", "install the package ca-certificates"),
        ((DEBIAN,), frozenset[str](), ("debian",), "update-ca-certificates is missing", "apt install ca-certificates"),
        ((), LINUX, ("linuxmint", "ubuntu", "debian"), "no system store that we know", "apt install ca-certificates"),
        ((), LINUX, ("alpine",), "no system store that we know", "apk add ca-certificates"),
    ],
)
def test_what_stands_in_the_way(
    tmp_path: Path,
    authority: Authority,
    folders: tuple[str, ...],
    programs: frozenset[str],
    distribution: tuple[str, ...],
    obstacle: str,
    fix: str,
) -> None:
    """Issue 2 §5: says what it could not do and how to fix it."""
    (step,) = trust_steps(machine(tmp_path, *folders, programs=programs, distribution=distribution), authority)
    assert (step.obstacle, step.fix, step.commands) == (obstacle, fix, ())
    run = Recorder()
    assert take(step, machine(tmp_path), run, True) == Outcome(step, "failed", obstacle, fix)
    assert is_trusted(step, run) is None
    assert run.ran == []


PROFILES = [
    (".pki/nssdb", "Chromium"),
    (".mozilla/firefox/abc.default-release", "Firefox"),
    ("snap/firefox/common/.mozilla/firefox/x.default", "Firefox (snap)"),
    (".var/app/org.mozilla.firefox/.mozilla/firefox/y.default", "Firefox (flatpak)"),
    ("snap/chromium/current/.pki/nssdb", "Chromium (snap)"),
    (".var/app/com.google.Chrome/.pki/nssdb", "Chromium (flatpak)"),
]


def browsers(box: Machine) -> None:
    for folder, _name in PROFILES:
        (box.home / folder).mkdir(parents=True)
        (box.home / folder / "cert9.db").write_bytes(b"")


def test_nss_stores(tmp_path: Path, authority: Authority) -> None:
    """Issue 2 §5: Chromium's shared database and Firefox's profiles, snaps and flatpaks included."""
    box = machine(tmp_path)
    browsers(box)
    (box.home / ".mozilla/firefox/Crash Reports").mkdir()
    steps = trust_steps(box, authority)[1:]
    assert {step.store for step in steps} == {f"{name} ({box.home / folder})" for folder, name in PROFILES}
    step = next(step for step in steps if step.store.startswith("Firefox (/"))
    database = f"sql:{box.home}/.mozilla/firefox/abc.default-release"
    assert step.commands == (
        ("certutil", "-A", "-d", database, "-t", "C,,", "-n", authority.nickname, "-i", str(authority.path)),
    )
    assert step.check == ("certutil", "-V", "-u", "L", "-d", database, "-n", authority.nickname)
    assert not step.elevated
    undo = next(step for step in untrust_steps(box, authority) if step.store.startswith("Firefox (/"))
    assert undo.commands == (("certutil", "-D", "-d", database, "-n", authority.nickname),)
    assert undo.check == ("certutil", "-L", "-d", database, "-n", authority.nickname)


def test_without_certutil_one_line_says_what_to_install(tmp_path: Path, authority: Authority) -> None:
    box = machine(tmp_path, programs=LINUX - {"certutil"}, distribution=("ubuntu", "debian"))
    browsers(box)
    (_system, step) = trust_steps(box, authority)
    assert step.obstacle == "certutil is missing"
    assert step.fix == "apt install libnss3-tools"
    assert "Firefox (snap)" in step.store


def test_a_chromium_that_never_ran_gets_its_database(tmp_path: Path, authority: Authority) -> None:
    box = machine(tmp_path, programs=LINUX | {"chromium"})
    (_system, step) = trust_steps(box, authority)
    assert [command[:2] for command in step.commands] == [("mkdir", "-p"), ("certutil", "-N"), ("certutil", "-A")]
    assert len(untrust_steps(box, authority)) == 1
    assert len(trust_steps(machine(tmp_path), authority)) == 1


def test_macos(tmp_path: Path, authority: Authority) -> None:
    box = Machine("Darwin", tmp_path, programs=frozenset({"security"}), distribution=("darwin",))
    keychain = str(tmp_path / "Library/Keychains/login.keychain-db")
    (step,) = trust_steps(box, authority)
    assert step.commands == (("security", "add-trusted-cert", "-r", "trustRoot", "-k", keychain, str(authority.path)),)
    (undo,) = untrust_steps(box, authority)
    assert [command[1] for command in undo.commands] == ["remove-trusted-cert", "delete-certificate"]
    assert undo.commands[1][3] == authority.certificate.fingerprint.replace(":", "")
    (missing,) = trust_steps(Machine("Darwin", tmp_path), authority)
    assert missing.obstacle == "security is missing"


def test_two_authorities_do_not_meet(authority: Authority) -> None:
    other = Authority(authority.path, read_certificate(OTHER))
    assert other.nickname != authority.nickname
    assert other.anchor != authority.anchor
    assert authority.anchor.startswith("edgestack-")
    assert authority.anchor.endswith(".crt")


STEP = Step("a store", (("one", "a b"), ("two",)), elevated=True, present=False)


@pytest.mark.parametrize(
    ("superuser", "ran"),
    [(True, (("one", "a b"), ("two",))), (False, (("sudo", "-n", "one", "a b"), ("sudo", "-n", "two")))],
)
def test_rights(tmp_path: Path, superuser: bool, ran: tuple[Command, ...]) -> None:
    """Issue 2 §5: root runs them bare, others by `sudo -n`, which never waits for a password."""
    box, run = machine(tmp_path, superuser=superuser), Recorder()
    assert with_rights(STEP, box) == ran
    assert take(STEP, box, run, True).state == "done"
    assert tuple(run.ran) == ran


def test_a_refusal_names_the_command_to_type(tmp_path: Path) -> None:
    run = Recorder(sudo=1)
    outcome = take(STEP, machine(tmp_path), run, True)
    assert outcome.state == "failed"
    assert outcome.why == "sudo -n one …: sudo says no"
    assert outcome.fix == "run: sudo one 'a b' && sudo two"
    assert len(run.ran) == 1
    outcome = take(STEP, machine(tmp_path, programs=frozenset[str]()), run, True)
    assert outcome.fix == "run as root: one 'a b' && two"
    assert len(run.ran) == 1


@pytest.mark.parametrize(
    ("present", "status", "wanted", "state", "runs"),
    [
        (True, 0, True, "already", 0),
        (False, 0, True, "done", 1),
        (None, 0, True, "already", 1),
        (None, 1, True, "done", 2),
        (True, 0, False, "done", 1),
        (False, 0, False, "already", 0),
        (None, 1, False, "already", 1),
        (None, 0, False, "done", 2),
    ],
)
def test_nothing_is_done_twice(
    tmp_path: Path, present: bool | None, status: int, wanted: bool, state: str, runs: int
) -> None:
    """Issue 2 §5: idempotent."""
    step = Step("a store", (("change",),), present=present, check=("ask",))
    run = Recorder(ask=status)
    assert take(step, machine(tmp_path), run, wanted).state == state
    assert len(run.ran) == runs


def test_this_machine_can_be_described(tmp_path: Path) -> None:
    (tmp_path / "certutil").write_text("#!/bin/sh\n")
    (tmp_path / "certutil").chmod(0o755)
    found = describe_machine({"HOME": "/home/me", "PATH": str(tmp_path)})
    assert found.home == Path("/home/me")
    assert "certutil" in found.programs
    assert found.root == Path("/")


def test_running_a_command() -> None:
    assert run_command(("sh", "-c", "echo out; echo err >&2; exit 3")) == (3, "out\nerr\n")
    assert run_command(("cat",)) == (0, "")
    status, output = run_command(("/no/such/program",))
    assert status == 127
    assert "no such" in output.lower()
