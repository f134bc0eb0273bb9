"""The development certificate: found good, or made anew. The only door for whoever starts the server.

    development_certificate()
      └ authority and certificate good? ── yes ── two small files read, one pair loaded: under 2 ms
                 └ no ── lock the folder ── look again (another process may have made it) ── make what is missing

The certificate is good when it is signed by this authority, holds for another 30 days, bears all names of the machine,
and its key fits. All that is read from the certificate itself: there is no index beside it that could disagree. The
authority is good when its key is there and it holds for another 30 days; a new one means trusting anew, so it is
replaced only when it cannot be used, and what it replaces is kept under the ending `.old`.

Clients do not accept `*.localhost` for `foo.localhost`, a wildcard right under a top-level domain (RFC 2606 §2):
OpenSSL, curl, Chromium and Firefox all refuse. Such names are therefore learnt when they are first asked for, by
`Development.learn`, which `wire/tls.py` calls during the handshake, and kept in the certificate from then on.
"""

from __future__ import annotations

import getpass
import logging
import os
import socket
import ssl
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from edgestack.certs.keeping import certificates_folder as choose_folder
from edgestack.certs.keeping import guard, locked, write_file
from edgestack.certs.naming import is_localhost_name, machine_names
from edgestack.errors import ConfigError
from edgestack.wire.x509 import Certificate, read_certificate

__all__ = ["Development", "certificates_folder", "development_certificate"]

log = logging.getLogger("edgestack.error")

DAY = 86400
LEAF_DAYS = 397
"""Apple refuses server certificates that hold longer than 398 days, and advises 397."""
AUTHORITY_DAYS = 3650
RENEW_DAYS = 30
"""What holds less long than this is made anew."""
MOST_LEARNT = 64
"""Names under .localhost that a certificate takes up; whoever can connect can ask for names."""


@dataclass(frozen=True, slots=True)
class Development:
    """The development certificate and its authority, as files."""

    ca: Path
    """The authority's certificate, for `edgestack certs trust` and `curl --cacert`."""
    cert: Path
    key: Path
    created: bool
    """Whether the certificate was made by this call."""
    created_ca: bool
    """Whether the authority was made by this call: it is to be trusted (again)."""
    names: tuple[str, ...]
    """Names and addresses that the certificate bears."""
    not_after: int
    """Seconds since the epoch until which it holds."""

    @property
    def files(self) -> tuple[Path, ...]:
        """Everything of ours in the folder, the authority's key included: never to be served (criterion C15)."""
        return (self.ca, self.ca.with_name(AUTHORITY_KEY), self.cert, self.key)

    def learn(self, name: str) -> bool:
        """Make the certificate bear `name` too, if it lies under .localhost; for `Certificates(unknown=...)`.

        Blocks for about a tenth of a second the first time (the import of cryptography), then a few milliseconds.
        Returns whether the certificate bears it now; never raises.
        """
        if not is_localhost_name(name):
            return False
        folder = self.cert.parent
        try:
            known = _learnt(_read(folder / LEAF))
            if name not in known and len(known) >= MOST_LEARNT:
                return False
            development_certificate(folder, names=(*machine_names(), name))
        except ConfigError as error:
            log.warning("the development certificate cannot take up %s: %s", name, error)
            return False
        return True


AUTHORITY, AUTHORITY_KEY, LEAF, LEAF_KEY = "edgestack-ca.pem", "edgestack-ca.key", "localhost.pem", "localhost.key"


def certificates_folder() -> Path:
    """The folder that `development_certificate` uses when none is given (it need not be there yet)."""
    return choose_folder(Path.cwd(), os.environ)


def development_certificate(
    folder: Path | None = None, *, names: tuple[str, ...] | None = None, now: float | None = None
) -> Development:
    """The development certificate in `folder`, made or renewed if need be. Safe in several processes at once.

    :param folder: default: `./certs` where there is one, else the user's data folder.
    :param names: what it must bear; default: what this machine is called by.
    :param now: seconds since the epoch.
    :raises ConfigError: something must be written and cannot be.
    """
    folder = certificates_folder() if folder is None else folder
    names = machine_names() if names is None else names
    now = time.time() if now is None else now
    if good := _good(folder, names, now):
        return _development(folder, good, False, False)
    try:
        guard(folder)
        with locked(folder):
            if good := _good(folder, names, now):
                return _development(folder, good, False, False)
            made_authority = _ensure_authority(folder, now)
            return _development(folder, _issue(folder, names, now), True, made_authority)
    except OSError as error:
        raise ConfigError(
            f"the development certificate cannot be kept in {folder}: {error.strerror or error}",
            hint="make the folder writable, or give --cert and --key, or --no-tls",
        ) from error


def _development(folder: Path, leaf: Certificate, created: bool, created_ca: bool) -> Development:
    return Development(
        folder / AUTHORITY, folder / LEAF, folder / LEAF_KEY, created, created_ca, leaf.names, leaf.not_after
    )


def _good(folder: Path, names: Iterable[str], now: float) -> Certificate | None:
    """The certificate in `folder` if it can go on being used."""
    authority, leaf = _read(folder / AUTHORITY), _read(folder / LEAF)
    if (
        authority is None
        or leaf is None
        or not _holds(authority, now)
        or not _holds(leaf, now)
        or leaf.authority_key_id != authority.key_id
        or not set(names) <= set(leaf.names)
        or not _fits(folder / LEAF, folder / LEAF_KEY)
    ):
        return None
    _make_private(folder / LEAF_KEY)
    _make_private(folder / AUTHORITY_KEY)
    return leaf


def _read(path: Path) -> Certificate | None:
    try:
        return read_certificate(path.read_bytes())
    except (OSError, ValueError):
        return None


def _holds(certificate: Certificate, now: float) -> bool:
    return certificate.not_before <= now and now + RENEW_DAYS * DAY <= certificate.not_after


def _fits(cert: Path, key: Path) -> bool:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(cert, key, password="")
    except OSError:
        return False
    return True


def _make_private(key: Path) -> None:
    """Take the rights of everybody else off a key, where that is ours to do."""
    try:
        if key.stat().st_mode & 0o077:
            key.chmod(0o600)
            log.warning("the key %s was readable by others; its mode is 0600 now", key)
    except OSError:
        return  # gone, or another user's: whoever reads it next will say so


def _ensure_authority(folder: Path, now: float) -> bool:
    """Make the authority unless a good one is there. Returns whether one was made."""
    cert, key = folder / AUTHORITY, folder / AUTHORITY_KEY
    found = _read(cert)
    if found is not None and _holds(found, now) and _fits(cert, key):
        return False
    from edgestack.certs.issuing import make_authority

    for path in (cert, key):
        if path.exists():
            log.warning("the development CA %s cannot be used any more and is replaced; trust the new one", path)
            path.replace(path.with_name(path.name + ".old"))
    pem, secret = make_authority(_owner(), int(now) - 3600, int(now) + AUTHORITY_DAYS * DAY)
    write_file(key, secret, 0o600)
    write_file(cert, pem, 0o644)
    return True


def _issue(folder: Path, names: tuple[str, ...], now: float) -> Certificate:
    """Make the certificate, with the names that earlier ones had learnt."""
    from edgestack.certs.issuing import issue_certificate, kept_authority

    authority = (folder / AUTHORITY).read_bytes()
    names = tuple(dict.fromkeys((*names, *_learnt(_read(folder / LEAF)))))
    not_before = int(now) - 3600  # clocks differ
    not_after = min(not_before + LEAF_DAYS * DAY - 1, read_certificate(authority).not_after)
    signer = kept_authority(authority, (folder / AUTHORITY_KEY).read_bytes())
    pem, secret = issue_certificate(signer, names, not_before, not_after)
    write_file(folder / LEAF_KEY, secret, 0o600)
    write_file(folder / LEAF, pem, 0o644)
    return read_certificate(pem)


def _learnt(leaf: Certificate | None) -> list[str]:
    return [name for name in leaf.names if is_localhost_name(name)] if leaf else []


def _owner() -> str:
    try:
        return f"{getpass.getuser()}@{socket.gethostname()}"
    except (KeyError, OSError):  # a user id without a name, as in containers
        return f"{os.getuid()}@{socket.gethostname()}"
