"""The development certificate: made, found again, renewed, replaced, learnt, private; and clients that accept it."""

from __future__ import annotations

import logging
import os
import shutil
import socket
import ssl
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from cryptography.x509 import load_pem_x509_certificate

from edgestack.certs import Development, certificates_folder, development_certificate
from edgestack.certs.authority import DAY, LEAF_DAYS, MOST_LEARNT, RENEW_DAYS
from edgestack.certs.naming import machine_names
from edgestack.errors import ConfigError
from edgestack.wire.tls import Certificates
from edgestack.wire.tls_sockets import sni_of
from edgestack.wire.x509 import read_certificate

NAMES = ("localhost", "*.localhost", "127.0.0.1", "::1")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "share" / "edgestack"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def assert_signed(development: Development) -> None:
    """The signature fits, whatever the clock says; judged by cryptography."""
    leaf = load_pem_x509_certificate(development.cert.read_bytes())
    leaf.verify_directly_issued_by(load_pem_x509_certificate(development.ca.read_bytes()))


def test_made_once_and_found_again(folder: Path) -> None:
    """Issue 2 §5: one authority, kept; the second call changes nothing."""
    first = development_certificate(folder)
    before = files_of(folder)
    assert set(before) == {"edgestack-ca.pem", "edgestack-ca.key", "localhost.pem", "localhost.key", ".lock"}
    again = development_certificate(folder)
    assert (first.created, first.created_ca) == (True, True)
    assert (again.created, again.created_ca) == (False, False)
    assert (again.names, again.not_after, again.cert) == (first.names, first.not_after, folder / "localhost.pem")
    assert files_of(folder) == before


def test_keys_are_private(folder: Path) -> None:
    """C15 and issue 2 §5: keys 0600, the user's folder 0700, whatever the umask; loosened modes are tightened."""
    before = os.umask(0)
    try:
        made = development_certificate(folder)
    finally:
        os.umask(before)
    assert mode(folder) == 0o700
    assert mode(folder / "edgestack-ca.key") == mode(made.key) == 0o600
    assert mode(made.cert) == mode(made.ca) == 0o644
    assert set(made.files) == {path for path in folder.iterdir() if path.name != ".lock"}
    made.key.chmod(0o644)
    development_certificate(folder)
    assert mode(made.key) == 0o600


def test_how_long_it_holds(folder: Path) -> None:
    """Issue 2 §5: at most 397 days, both ends counted (RFC 5280 §4.1.2.5); the authority ten years."""
    development_certificate(folder, now=1_900_000_000)
    leaf = read_certificate((folder / "localhost.pem").read_bytes())
    authority = read_certificate((folder / "edgestack-ca.pem").read_bytes())
    assert leaf.not_after - leaf.not_before + 1 == LEAF_DAYS * DAY == 397 * DAY
    assert authority.not_after == 1_900_000_000 + 3650 * DAY
    assert leaf.not_before < 1_900_000_000


@pytest.mark.parametrize(("left", "renewed"), [(-1, False), (0, False), (1, True)])
def test_renewed_thirty_days_before_its_end(folder: Path, left: int, renewed: bool) -> None:
    """Issue 2 §5: renewed by itself; at 30 days less, exactly, and more one second."""
    first = development_certificate(folder, names=NAMES)
    then = first.not_after - RENEW_DAYS * DAY + left
    second = development_certificate(folder, names=NAMES, now=then)
    assert (second.created, second.created_ca) == (renewed, False)
    if renewed:
        assert second.not_after > first.not_after
        assert_signed(second)


def test_renewed_when_the_machine_has_another_name(folder: Path) -> None:
    development_certificate(folder, names=NAMES)
    moved = development_certificate(folder, names=(*NAMES, "192.168.1.7"))
    assert moved.created
    assert moved.names == (*NAMES, "192.168.1.7")
    assert not moved.created_ca
    assert not development_certificate(folder, names=NAMES).created  # offline: bearing more does no harm


@pytest.mark.parametrize("file", ["localhost.pem", "localhost.key"])
@pytest.mark.parametrize("content", [None, b"", b"damaged"])
def test_what_is_damaged_is_made_anew(folder: Path, file: str, content: bytes | None) -> None:
    development_certificate(folder, names=NAMES)
    (folder / file).unlink() if content is None else (folder / file).write_bytes(content)
    again = development_certificate(folder, names=NAMES)
    assert (again.created, again.created_ca) == (True, False)
    verify(again, "localhost")


def test_another_authority_means_another_certificate(folder: Path, tmp_path: Path) -> None:
    development_certificate(folder, names=NAMES)
    development_certificate(tmp_path / "other", names=NAMES)
    for file in ("edgestack-ca.pem", "edgestack-ca.key"):
        shutil.copy(tmp_path / "other" / file, folder / file)
    again = development_certificate(folder, names=NAMES)
    assert (again.created, again.created_ca) == (True, False)
    verify(again, "localhost")


def test_an_authority_without_its_key(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """While the certificate holds nothing is wrong; then the authority is replaced, loudly, and the old one kept."""
    first = development_certificate(folder, names=NAMES)
    old = first.ca.read_bytes()
    (folder / "edgestack-ca.key").unlink()
    assert not development_certificate(folder, names=NAMES).created
    with caplog.at_level(logging.WARNING, "edgestack.error"):
        again = development_certificate(folder, names=NAMES, now=first.not_after)
    assert again.created_ca
    assert "trust the new one" in caplog.text
    assert (folder / "edgestack-ca.pem.old").read_bytes() == old != again.ca.read_bytes()
    assert_signed(again)


def test_an_authority_near_its_end(folder: Path) -> None:
    """The certificate never outlives its authority; the authority is replaced 30 days before its own end."""
    first = development_certificate(folder, names=NAMES)
    end = read_certificate(first.ca.read_bytes()).not_after
    late = development_certificate(folder, names=NAMES, now=end - 100 * DAY)
    assert (late.created, late.created_ca, late.not_after) == (True, False, end)
    assert development_certificate(folder, names=NAMES, now=end - RENEW_DAYS * DAY + 1).created_ca


def verify(development: Development, name: str) -> str:
    """Connect to a listener on loopback as a client that trusts the authority and nobody else."""
    certificates = Certificates(((development.cert, development.key),), unknown=development.learn)
    seen = []

    def serve() -> None:
        plain, _address = listener.accept()
        plain.settimeout(10)
        with certificates.context.wrap_socket(plain, server_side=True) as conversation:
            seen.append(sni_of(conversation))
            conversation.send(b"welcome")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(10)
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            context = ssl.create_default_context(cafile=str(development.ca))
            with (
                socket.create_connection(listener.getsockname(), 10) as plain,
                context.wrap_socket(plain, server_hostname=name) as conversation,
            ):
                assert conversation.recv(100) == b"welcome"
        finally:
            thread.join(10)
    return str(seen[0])


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "::1", "foo.localhost", "a.b.localhost"])
def test_clients_accept_it(folder: Path, name: str) -> None:
    """Issue 2 §5. `foo.localhost` is learnt: OpenSSL, as browsers do, refuses `*.localhost` for it."""
    development = development_certificate(folder)
    named = name if name.endswith("localhost") else ""
    assert verify(development, name) == named
    assert verify(development, name) == named


def test_clients_accept_the_names_of_this_machine(folder: Path) -> None:
    development = development_certificate(folder)
    for name in machine_names():
        if not name.startswith("*."):
            verify(development, name)


def test_learnt_names_stay(folder: Path) -> None:
    development = development_certificate(folder, names=NAMES)
    assert development.learn("foo.localhost")
    assert development.learn("bar.localhost")
    found = development_certificate(folder, names=(*NAMES, "10.1.2.3"))
    assert set(found.names) == {*NAMES, "10.1.2.3", "foo.localhost", "bar.localhost"}


@pytest.mark.parametrize(
    "name", ["", "localhost", "foo.example", "*.localhost", "a_b.localhost", "-.localhost", ".localhost"]
)
def test_other_names_are_not_learnt(folder: Path, name: str) -> None:
    development = development_certificate(folder, names=NAMES)
    before = files_of(folder)
    assert not development.learn(name)
    assert files_of(folder) == before


def test_no_more_names_than_a_bound(folder: Path) -> None:
    """Whoever can connect can ask for names: n-1, n, n+1."""
    many = tuple(f"n{number}.localhost" for number in range(MOST_LEARNT - 1))
    development = development_certificate(folder, names=(*NAMES, *many))
    assert development.learn("last.localhost")
    assert not development.learn("toomany.localhost")
    assert development.learn("n1.localhost")


def test_learning_never_raises(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    development = development_certificate(tmp_path / "gone", names=NAMES)
    shutil.rmtree(tmp_path / "gone")
    (tmp_path / "gone").write_bytes(b"a file in the way")
    assert not development.learn("foo.localhost")
    assert "cannot take up foo.localhost" in caplog.text


def test_a_folder_that_cannot_be_written_to(tmp_path: Path) -> None:
    """Issue 2 §6: one clear line that says what to do."""
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ConfigError, match=r"cannot be kept in .*--cert and --key, or --no-tls"):
        development_certificate(tmp_path / "file" / "certs")


STARTER = """
import sys
from pathlib import Path
from edgestack.certs import development_certificate, issuing  # imported beforehand, so that they race
from edgestack.wire.tls import Certificates
print("ready", flush=True)
sys.stdin.readline()
made = development_certificate(Path(sys.argv[1]), names=("localhost", "127.0.0.1"))
Certificates(((made.cert, made.key),))
print(made.created, made.ca.read_bytes().hex(), made.cert.read_bytes().hex())
"""


def test_processes_that_start_together(folder: Path) -> None:
    """Issue 2 §5: one of them makes it, the others find it; nobody sees a half of it."""
    command = [sys.executable, "-c", STARTER, str(folder)]
    starters = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    for starter in starters:
        assert starter.stdout is not None
        assert starter.stdout.readline() == "ready\n"
    for starter in starters:
        assert starter.stdin is not None
        starter.stdin.write("go\n")
        starter.stdin.flush()
    said = [starter.communicate(timeout=30)[0].split() for starter in starters]
    assert [starter.returncode for starter in starters] == [0, 0, 0]
    assert sorted(created for created, _ca, _leaf in said) == ["False", "False", "True"]
    assert len({(ca, leaf) for _created, ca, leaf in said}) == 1


def test_a_good_certificate_needs_no_cryptography(folder: Path) -> None:
    """Issue 2 §7: start to first answer; the import alone costs 90 ms."""
    development_certificate(folder)
    code = (
        "import sys; from pathlib import Path; from edgestack.certs import development_certificate\n"
        f"made = development_certificate(Path({str(folder)!r}))\n"
        "assert not made.created\n"
        "assert not {'cryptography', 'trustme', 'click'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)


@pytest.mark.parametrize(
    ("own", "environ", "expected"),
    [
        (True, {"XDG_DATA_HOME": "/data", "HOME": "/home/me"}, "{cwd}/certs"),
        (False, {"XDG_DATA_HOME": "/data", "HOME": "/home/me"}, "/data/edgestack"),
        (False, {"XDG_DATA_HOME": "relative", "HOME": "/home/me"}, "/home/me/.local/share/edgestack"),
        (False, {"HOME": "/home/me"}, "/home/me/.local/share/edgestack"),
    ],
)
def test_which_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own: bool, environ: dict[str, str], expected: str
) -> None:
    """Issue 2 §5: ./certs if that folder exists, else the user's data directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    if own:
        (tmp_path / "certs").mkdir()
    assert certificates_folder() == Path(expected.format(cwd=tmp_path))


def test_a_project_folder_is_hidden_from_git(tmp_path: Path) -> None:
    folder = tmp_path / "certs"
    folder.mkdir()
    development_certificate(folder, names=NAMES)
    ignored = (folder / ".gitignore").read_text().splitlines()
    assert {"edgestack-ca.*", "localhost.*", ".lock"} <= set(ignored)


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
@pytest.mark.parametrize("name", ["localhost", "127.0.0.1"])
def test_curl_accepts_it(folder: Path, name: str) -> None:
    """Issue 2, done when: curl --cacert talks to it over real TLS."""
    development = development_certificate(folder)
    certificates = Certificates(((development.cert, development.key),))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(20)
        url = f"https://{name}:{listener.getsockname()[1]}/"
        curl = subprocess.Popen(
            ["curl", "-sS", "-4", "--noproxy", "*", "--max-time", "20", "--cacert", str(development.ca), url],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        plain, _address = listener.accept()
        plain.settimeout(20)
        with certificates.context.wrap_socket(plain, server_side=True) as conversation:
            assert conversation.recv(1000).startswith(b"GET / HTTP/1.1\r\n")
            conversation.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nwelcome")
            assert curl.communicate(timeout=20)[0] == b"welcome"
    assert curl.returncode == 0
