"""The certificates of test edges: one authority a process, made when it is first needed; keys on P-256.

    the_authority().files(names)         paths of a certificate for these names, for a configuration
    the_authority().certificates(tls)    the same loaded, shared by all edges that say the same
    the_authority().trust                the TLS context of all clients

Making a key and a certificate costs 1 to 2 ms, loading a pair 3 ms, a client's context 1 ms: each is done once. The
files lie in a folder of their own, private to this user, which goes when the process ends. Thread-safe.
"""

from __future__ import annotations

import atexit
import hashlib
import os
import shutil
import ssl
import tempfile
import threading
import time
from base64 import b64encode
from functools import cached_property
from pathlib import Path

from edgestack.config.model import Tls
from edgestack.wire.tls import Certificates
from edgestack.wire.x509 import read_certificate

__all__ = ["NAMES", "Authority", "the_authority"]

NAMES = ("localhost", "127.0.0.1", "::1")
"""What every certificate bears."""
HOUR = 3600
DAYS = 7 * 24 * HOUR
"""Longer than any test run; a key that nobody should trust for longer."""


class Authority:
    """Issues certificates. Use `the_authority()`."""

    def __init__(self) -> None:
        from edgestack.certs.issuing import CA  # cryptography: 90 ms

        now = int(time.time())
        self._lock = threading.Lock()
        self._valid = (now - HOUR, now + DAYS)
        self._ca = CA(organization_name="edgestack tests")
        self._folder = Path(tempfile.mkdtemp(prefix=f"edgestack-tests-{os.getpid()}-"))
        atexit.register(_remove, self._folder, os.getpid())
        self._issued: dict[tuple[str, ...], tuple[Path, Path]] = {}
        self._loaded: dict[Tls, Certificates] = {}

    @property
    def pem(self) -> bytes:
        """The authority's certificate."""
        return self._ca.cert_pem.bytes()

    @cached_property
    def file(self) -> Path:
        """The same as a file, for programs that want one (`curl --cacert`)."""
        path = self._folder / "ca.pem"
        path.write_bytes(self.pem)
        return path

    @cached_property
    def trust(self) -> ssl.SSLContext:
        """Trusts this authority and nobody else; shared by all clients, so not to be changed."""
        return ssl.create_default_context(cadata=self.pem.decode())

    def files(self, names: tuple[str, ...] = ()) -> tuple[Path, Path]:
        """A certificate for `NAMES` and these, and its key.

        :param names: host names, wildcards, addresses.
        """
        every = tuple(dict.fromkeys((*NAMES, *names)))
        with self._lock:
            found = self._issued.get(every)
            if found is None:
                found = self._issued[every] = self._issue(every, len(self._issued))
        return found

    def _issue(self, names: tuple[str, ...], number: int) -> tuple[Path, Path]:
        from edgestack.certs.issuing import issue_certificate

        cert, key = (self._folder / f"{number}.{kind}" for kind in ("pem", "key"))
        pem, secret = issue_certificate(self._ca, names, *self._valid)
        cert.write_bytes(pem)
        key.write_bytes(secret)
        return cert, key

    def certificates(self, tls: Tls) -> Certificates:
        """What a section asks for, loaded once.

        :raises ConfigError: it cannot be.
        """
        with self._lock:
            found = self._loaded.get(tls)
            if found is None:
                minimum = ssl.TLSVersion.TLSv1_3 if tls.minimum == "1.3" else ssl.TLSVersion.TLSv1_2
                made = Certificates(tls.certificates, minimum=minimum, client_ca=tls.client_ca)
                found = self._loaded[tls] = made
        return found

    def spki(self, cert: Path) -> str:
        """The hash of a certificate's public key, as Chromium pins it (RFC 7469 §2.4)."""
        from cryptography import x509
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

        key = x509.load_der_x509_certificate(read_certificate(cert.read_bytes()).der).public_key()
        raw = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return b64encode(hashlib.sha256(raw).digest()).decode()


def _remove(folder: Path, pid: int) -> None:
    """At the end of the process that made it; a forked child ends, too."""
    if os.getpid() == pid:
        shutil.rmtree(folder, ignore_errors=True)


_made: list[Authority] = []
_making = threading.Lock()


def the_authority() -> Authority:
    """The one of this process."""
    with _making:
        if not _made:
            _made.append(Authority())
        return _made[0]
