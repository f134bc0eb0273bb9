"""Trust for the development authority: a plan made from a description of the machine. `running.py` follows it.

    Machine, Authority ── trust_steps() or untrust_steps() ── [Step, ...]

The steps are data: which store, which commands, what stands in the way and how to remove it. Planning reads files
below `Machine.root` and `Machine.home`, runs nothing and changes nothing.
"""

from __future__ import annotations

import shlex
from base64 import b64encode
from dataclasses import dataclass
from pathlib import Path

from edgestack.certs.stores import (
    CHROMIUMS,
    JAVA_HOOK,
    NSS_PATTERNS,
    SHARED_NSS,
    SYSTEM_STORES,
    SystemStore,
    package,
)
from edgestack.wire.x509 import Certificate

__all__ = ["Authority", "Command", "Machine", "Step", "trust_steps", "untrust_steps"]

Command = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Machine:
    """What the plan depends on."""

    system: str
    """As `platform.system()` has it: "Linux", "Darwin"."""
    home: Path
    root: Path = Path("/")
    """The root of the file system; another folder in tests."""
    superuser: bool = False
    programs: frozenset[str] = frozenset()
    """Those programs of the plan that are installed."""
    distribution: tuple[str, ...] = ()
    """ID and ID_LIKE of os-release(5)."""


@dataclass(frozen=True, slots=True)
class Authority:
    """The authority to be trusted: its file, and what it says."""

    path: Path
    certificate: Certificate

    @property
    def nickname(self) -> str:
        """Under which NSS knows it; tells the authorities of several projects apart."""
        return f"edgestack development CA {self.certificate.fingerprint[:11].replace(':', '').lower()}"

    @property
    def anchor(self) -> str:
        """The name of its file in a system store."""
        return self.nickname.replace(" development CA ", "-") + ".crt"


@dataclass(frozen=True, slots=True)
class Step:
    """What is to be done at one store."""

    store: str
    commands: tuple[Command, ...] = ()
    elevated: bool = False
    """Whether the commands need root's rights."""
    present: bool | None = None
    """Whether the authority is in the store now; None when only `check` can tell."""
    check: Command = ()
    """A command that changes nothing and exits with 0 if the authority is in the store (to add: and trusted there)."""
    obstacle: str = ""
    """Why it cannot be done at all."""
    fix: str = ""
    """What to do about the obstacle, or when the commands fail."""


def trust_steps(machine: Machine, authority: Authority) -> list[Step]:
    """How to make this machine and its browsers trust the authority."""
    return [_system_step(machine, authority, True), *_nss_steps(machine, authority, True)]


def untrust_steps(machine: Machine, authority: Authority) -> list[Step]:
    """How to undo that."""
    return [_system_step(machine, authority, False), *_nss_steps(machine, authority, False)]


def _system_step(machine: Machine, authority: Authority, add: bool) -> Step:
    if machine.system == "Darwin":
        return _keychain_step(machine, authority, add)
    store = next((store for store in SYSTEM_STORES if (machine.root / store.anchors).is_dir()), None)
    if store is None or store.program not in machine.programs:
        missing = "no system store that we know" if store is None else f"{store.program} is missing"
        return Step("the system store", obstacle=missing, fix=package(machine.distribution, 0))
    anchor = machine.root / store.anchors / authority.anchor
    name = f"the system store ({machine.root / store.anchors})"
    present = _in_bundle(machine, store, authority.certificate) or (not add and store.copies and anchor.exists())
    finish = tuple(word.replace("{ca}", str(authority.path)) for word in (store.add if add else store.remove))
    if not store.copies:
        commands: tuple[Command, ...] = (finish,)
    elif add:
        commands = (("install", "-m", "644", str(authority.path), str(anchor)), finish)
    else:
        commands = (("rm", "-f", str(anchor)), finish, *_java_commands(machine, authority))
    return Step(name, commands, elevated=True, present=present)


def _java_commands(machine: Machine, authority: Authority) -> tuple[Command, ...]:
    """Have Java's store forget it: `update-ca-certificates --fresh` tells its hooks what was added and no more."""
    hook = machine.root / JAVA_HOOK
    if not hook.exists():
        return ()
    entry = machine.root / "etc/ssl/certs" / Path(authority.anchor).with_suffix(".pem")
    return (("sh", "-c", f"echo -{shlex.quote(str(entry))} | {shlex.quote(str(hook))}"),)


def _in_bundle(machine: Machine, store: SystemStore, certificate: Certificate) -> bool:
    """Whether the bundle that the system's programs read holds the certificate."""
    wanted = b64encode(certificate.der)
    for bundle in store.bundles:
        try:
            text = (machine.root / bundle).read_bytes()
        except OSError:
            continue
        if wanted in b"".join(text.split()):
            return True
    return False


def _keychain_step(machine: Machine, authority: Authority, add: bool) -> Step:
    """macOS: the user's own trust settings, which need no root but ask for a password (security(1))."""
    if "security" not in machine.programs:
        return Step("the login keychain", obstacle="security is missing")
    keychain = str(machine.home / "Library/Keychains/login.keychain-db")
    ca = str(authority.path)
    commands: tuple[Command, ...] = (("security", "add-trusted-cert", "-r", "trustRoot", "-k", keychain, ca),)
    if not add:
        digest = authority.certificate.fingerprint.replace(":", "")
        commands = (
            ("security", "remove-trusted-cert", ca),
            ("security", "delete-certificate", "-Z", digest, keychain),
        )
    return Step("the login keychain", commands, check=("security", "verify-cert", "-q", "-c", ca))


def _nss_steps(machine: Machine, authority: Authority, add: bool) -> list[Step]:
    """Chromium and Firefox keep databases of their own (NSS); certutil writes them."""
    folders = [
        (f"{browser} ({found.parent})", found.parent)
        for browser, pattern in NSS_PATTERNS
        for found in sorted(machine.home.glob(pattern))
    ]
    shared = machine.home / SHARED_NSS
    fresh = add and not shared.exists() and not machine.programs.isdisjoint(CHROMIUMS)
    if fresh:
        folders.insert(0, (f"Chromium ({shared})", shared))
    if not folders:
        return []
    if "certutil" not in machine.programs:
        stores = "browsers: " + ", ".join(name for name, _folder in folders)
        return [Step(stores, obstacle="certutil is missing", fix=package(machine.distribution, 1))]
    return [_nss_step(name, folder, authority, add, fresh and folder == shared) for name, folder in folders]


def _nss_step(name: str, folder: Path, authority: Authority, add: bool, fresh: bool) -> Step:
    database, nickname = f"sql:{folder}", authority.nickname
    commands: tuple[Command, ...] = (("certutil", "-D", "-d", database, "-n", nickname),)
    check: Command = ("certutil", "-L", "-d", database, "-n", nickname)
    if add:  # a database with a password takes the certificate up, and the trust in it not: being there is too little
        check = ("certutil", "-V", "-u", "L", "-d", database, "-n", nickname)
        commands = (("certutil", "-A", "-d", database, "-t", "C,,", "-n", nickname, "-i", str(authority.path)),)
    if fresh:
        commands = (("mkdir", "-p", str(folder)), ("certutil", "-N", "--empty-password", "-d", database), *commands)
    return Step(
        name,
        commands,
        present=False if fresh else None,
        check=check,
        fix=f"close the browser and try again, or import {authority.path} in its settings under certificates",
    )
