"""Certificates: one's own, several of them, a renewed one; and that no key ever leaves (issue 2, §5; C15)."""

from __future__ import annotations

import itertools
import os
import socket
import ssl
from pathlib import Path

import pytest
import trustme
from cryptography import x509
from server_kit import PATIENCE, Server, running


def issue(authority: trustme.CA, folder: Path, file: str, *names: str) -> tuple[str, ...]:
    """A certificate for these names, as words of the command line. Renamed into place, as renewing programs do."""
    issued = authority.issue_cert(*names)
    for blob, ending in ((issued.cert_chain_pems[0], "pem"), (issued.private_key_pem, "key")):
        blob.write_to_path(str(folder / f"fresh.{ending}"))
        (folder / f"fresh.{ending}").replace(folder / f"{file}.{ending}")
    return "--cert", str(folder / f"{file}.pem"), "--key", str(folder / f"{file}.key")


def shown(server: Server, authority: trustme.CA, name: str) -> x509.Certificate:
    """The certificate that the server shows for a name, after a handshake in which it was verified."""
    context = ssl.create_default_context()
    authority.configure_trust(context)
    raw = socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE)
    with context.wrap_socket(raw, server_hostname=name) as tls:
        der = tls.getpeercert(binary_form=True)
        assert der
        return x509.load_der_x509_certificate(der)


def test_several_certificates(tmp_path: Path) -> None:
    """SNI (RFC 6066 §3) chooses; no development authority is made or named."""
    authority = trustme.CA()
    words = issue(authority, tmp_path, "one", "one.example", "localhost")
    words += issue(authority, tmp_path, "two", "*.two.example")
    with running(tmp_path, "--static", ".", *words, data=tmp_path / "nowhere") as server:
        one, two = shown(server, authority, "one.example"), shown(server, authority, "a.two.example")
        assert one.serial_number != two.serial_number
        assert shown(server, authority, "localhost") == one
        with pytest.raises(ssl.SSLCertVerificationError):
            shown(server, authority, "three.example")
        assert not any("trust" in line for line in server.err.lines)
    assert not (tmp_path / "nowhere").exists()


def test_a_renewed_certificate(tmp_path: Path, data: Path) -> None:
    """Without a restart, and without an interruption: every handshake on the way succeeds."""
    authority = trustme.CA()
    words = issue(authority, tmp_path, "site", "localhost")
    with running(tmp_path, "--static", ".", *words, data=data) as server:
        before = shown(server, authority, "localhost")
        issue(authority, tmp_path, "site", "localhost")
        renewed = (shown(server, authority, "localhost") != before for _ in itertools.count())
        assert any(renewed)  # within the second that a look at the files takes, or the test's own time


SECRET = [
    "certs/edgestack-ca.key",
    "certs/localhost.key",
    "certs/edgestack-ca.pem",
    "CERTS/edgestack-ca.key",
    "./certs//edgestack-ca.key",
    "certs/../certs/edgestack-ca.key",
    "%63erts/edgestack-ca.key",
    "src/main.py",
    "pyproject.toml",
    ".env",
    "hard-link.txt",
    "soft-link.txt",
    "run/pid",
    "run/access.log",
    "run/error.log",
    "ready.json",
]


@pytest.fixture(scope="module")
def careless(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose own folder is served."""
    folder = tmp_path_factory.mktemp("careless")
    for name in ("certs", "src", "run"):
        (folder / name).mkdir()
    (folder / "src" / "main.py").write_text("SECRET = 'key'")
    (folder / "pyproject.toml").write_text("[project]")
    (folder / ".env").write_text("PASSWORD=1")
    (folder / "page.html").write_text("public")
    return folder


def test_no_secret_leaves(careless: Path, data: Path) -> None:
    """C15: what the server itself opens is refused by device and inode, under whatever name; a served project hides
    its certificates, sources and settings, and says so."""
    run = careless / "run"
    words = ["--pid", "run/pid", "--access-log", "run/access.log", "--error-log", "run/error.log", "--listing"]
    with running(careless, *words, data=data, cwd=careless) as server:
        os.link(careless / "certs" / "edgestack-ca.key", careless / "hard-link.txt")
        os.symlink(careless / "certs" / "edgestack-ca.key", careless / "soft-link.txt")
        server.ca = careless / "certs" / "edgestack-ca.pem"
        assert server.get("/page.html").text == "public"
        assert {path: server.get(f"/{path}").status for path in SECRET} == dict.fromkeys(SECRET, 404)
        listing = server.get("/", accept="text/html").text
        assert "page.html" in listing
        assert not [path for path in SECRET if f">{path}<" in listing]
        said = "\n".join(server.err.lines)
        assert "certs/" in said
        assert "src/" in said
    assert (run / "access.log").read_text().count(" 404 ") == len(SECRET)
    assert (careless / "certs" / "edgestack-ca.key").stat().st_mode & 0o777 == 0o600
