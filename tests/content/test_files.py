"""Criteria C7, C8, C15: which file a path names, and which it must not."""

from __future__ import annotations

import errno
import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from static_kit import as_nobody, write

from edgestack.content import files, representation
from edgestack.content.files import Folder, PrivateFiles, hidden_names
from edgestack.content.representation import Changed, content, digest, open_regular
from edgestack.errors import ClientError, EdgeError


def folder(root: Path, links: bool = False, private: PrivateFiles | None = None, listing: bool = False) -> Folder:
    return Folder(root, ("index.html", "index.htm"), listing, links, private or PrivateFiles())


@pytest.fixture
def site(tmp_path: Path) -> Path:
    root = tmp_path / "site"
    for name in (
        "a.txt",
        "docs/index.html",
        "old/index.htm",
        "empty/x.txt",
        ".env",
        ".git/config",
        "docs/.secret",
        ".well-known/acme-challenge/token",
        ".well-known/.hidden",
        "a\\b.txt",
        "grüße.txt",
        "a b&c.txt",
    ):
        write(root / name)  # fmt: skip
    write(tmp_path / "secret.txt")
    write(tmp_path / "site-two/x.txt")
    return root


@pytest.mark.parametrize(
    ("path", "kind", "status"),
    [
        ("/a.txt", "file", 200),
        ("/grüße.txt", "file", 200),
        ("/a b&c.txt", "file", 200),
        ("/docs/", "file", 200),
        ("/old/", "file", 200),
        ("/docs", "slash", 301),
        ("", "slash", 301),
        ("/", "nothing", 403),
        ("/empty/", "nothing", 403),
        ("/missing", "nothing", 404),
        ("/missing/", "nothing", 404),
        ("/a.txt/", "nothing", 404),  # a trailing slash on a file
        ("/a.txt/b", "nothing", 404),
        ("/" + "n" * 255, "nothing", 404),
        ("/" + "n" * 256, "nothing", 404),
        ("/n" * 4000, "nothing", 404),
    ],
)
def test_kinds(site: Path, path: str, kind: str, status: int) -> None:
    """C7"""
    place = folder(site).locate(path)
    assert (place.kind, place.status) == (kind, status)


@pytest.mark.parametrize(
    "path",
    [
        "/.env", "/.git/config", "/.git", "/.git/", "/docs/.secret", "/..", "/../secret.txt", "/docs/../../secret.txt",
        "/.well-known/.hidden", "/.well-known/../.env", "/.well-knownx", "/docs/.well-known/x", "/./a.txt",
        "/a\\b.txt", "/..\\secret.txt", "/a.txt\0", "/a\0.txt", "a.txt", "-two/x.txt", "../secret.txt", "*",
    ],
)  # fmt: skip
def test_refused_by_the_path_alone(site: Path, path: str) -> None:
    """C8: dotfiles, backslashes, NUL, and what does not begin below the root; not even a stat is made."""
    place = folder(site, links=True).locate(path)
    assert (place.kind, place.status, place.probes) == ("nothing", 404, ())


def test_well_known_is_served(site: Path) -> None:
    """C8: the one folder with a dot (RFC 8615)."""
    assert folder(site).locate("/.well-known/acme-challenge/token").kind == "file"
    assert folder(site).locate("/.well-known").kind == "slash"


def test_symlinks(site: Path) -> None:
    """C8: a link out is 404 unless allowed, a link within is served, whether to a file or a folder."""
    (site / "out.txt").symlink_to(site.parent / "secret.txt")
    (site / "outside").symlink_to(site.parent)
    (site / "two").symlink_to(site.parent / "site-two")  # begins with the root's letters
    (site / "in.txt").symlink_to("a.txt")
    (site / "within").symlink_to("docs")
    (site / "nowhere").symlink_to("missing")
    (site / "circle").symlink_to("circle")
    out = ["/out.txt", "/outside/secret.txt", "/outside", "/outside/", "/two/x.txt", "/two"]
    for path in out:
        assert folder(site).locate(path).status == 404, path
        assert folder(site, links=True).locate(path).status != 404 or path == "/outside/", path
    for path in ("/in.txt", "/within/"):
        assert folder(site).locate(path).kind == "file"
    for path in ("/nowhere", "/circle"):
        assert folder(site, links=True).locate(path).status == 404


def test_an_index_may_not_lead_out(site: Path) -> None:
    """C8"""
    (site / "empty/index.html").symlink_to(site.parent / "secret.txt")
    assert folder(site).locate("/empty/").status == 404


def test_a_root_that_is_a_link_is_followed_anew(tmp_path: Path) -> None:
    """C8 C14: a release is switched by a link."""
    for release in ("1", "2"):
        write(tmp_path / release / "a.txt", release)
    current = tmp_path / "current"
    current.symlink_to("1")
    served = folder(current)
    assert served.locate("/a.txt").real.endswith(b"/1/a.txt")
    current.unlink()
    current.symlink_to("2")
    assert served.locate("/a.txt").real.endswith(b"/2/a.txt")


def test_a_kubernetes_volume_is_served(tmp_path: Path) -> None:
    """C8: dotfiles are judged by what was asked for; a ConfigMap is mounted through links with dots."""
    write(tmp_path / "..2024_01_01/index.html")
    (tmp_path / "..data").symlink_to("..2024_01_01")
    (tmp_path / "index.html").symlink_to("..data/index.html")
    assert folder(tmp_path).locate("/").kind == "file"
    assert folder(tmp_path).locate("/..data/index.html").status == 404


def test_what_is_no_file_is_never_opened(site: Path) -> None:
    """C7: FIFO, socket, device."""
    os.mkfifo(site / "pipe")
    (site / "null").symlink_to("/dev/null")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(site / "sock"))
        for path in ("/pipe", "/sock", "/null"):
            assert folder(site, links=True).locate(path).status == 404
    os.mkfifo(site / "empty/index.html")
    assert folder(site).locate("/empty/").status == 403


def test_a_fifo_in_the_place_of_a_file_does_not_hang(site: Path) -> None:
    """C7: though it was put there between stat and open."""
    place = folder(site).locate("/a.txt")
    (site / "a.txt").unlink()
    os.mkfifo(site / "a.txt")
    with pytest.raises(Changed):
        open_regular(place.real, place.signature)


def test_a_link_in_the_place_of_a_file_is_not_followed(site: Path) -> None:
    """C8: though it was put there between stat and open."""
    place = folder(site).locate("/a.txt")
    (site / "a.txt").unlink()
    (site / "a.txt").symlink_to(site.parent / "secret.txt")
    with pytest.raises(Changed):
        open_regular(place.real, place.signature)


@pytest.fixture
def open_site() -> Iterator[Path]:
    """A folder that other users reach; pytest's own are closed to them."""
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o755)
        yield Path(name)


def test_unreadable(open_site: Path) -> None:
    """C7: 403, for a file by open and for what lies in a closed folder by stat."""
    write(open_site / "locked.txt").chmod(0)
    write(open_site / "closed/a.txt")
    (open_site / "closed").chmod(0)
    with as_nobody():
        place = folder(open_site).locate("/locked.txt")
        with pytest.raises(ClientError) as caught:
            content(place)
        assert caught.value.status == 403
        assert folder(open_site).locate("/closed/a.txt").status == 403
        assert folder(open_site).locate("/closed/").status == 403
    (open_site / "closed").chmod(0o755)


def test_a_failing_disk_is_our_fault() -> None:
    with pytest.raises(EdgeError) as caught:
        files.unreachable(b"/a.txt", OSError(errno.EIO, "Input/output error"))
    assert caught.value.status == 500


def test_private_files(site: Path, tmp_path: Path) -> None:
    """C15: by device and inode, so no other name helps; by path, so a renewed file is private too."""
    key = write(site / "tls/key.pem")
    log = site / "logs/access.log"
    os.link(key, site / "innocent.txt")
    (site / "link.txt").symlink_to("tls/key.pem")
    private = PrivateFiles([key, site / "store"])
    private.add(log)
    write(log)
    write(site / "store/deep/page")
    write(site / "storehouse.txt")
    served = folder(site, private=private)
    for path in ("/tls/key.pem", "/innocent.txt", "/link.txt", "/logs/access.log", "/store/deep/page", "/store/"):
        assert served.locate(path).status == 404, path
    assert served.locate("/storehouse.txt").kind == "file"
    key.unlink()
    write(key, "renewed")
    os.link(key, site / "again.txt")
    assert served.locate("/tls/key.pem").status == 404
    private.refresh()
    assert served.locate("/again.txt").status == 404


@pytest.mark.parametrize("marker", ["pyproject.toml", "edgestack.toml", "setup.py"])
def test_a_projects_own_folder(site: Path, marker: str) -> None:
    """C15: serving `.` hides certs/, src/ and *.toml, and says so."""
    for name in (marker, "certs/ca.pem", "src/main.py", "deep/x.toml", "manage.py", "deep/certs/x.txt", "srcs/a.txt"):
        write(site / name)
    (site / "way").symlink_to("certs")
    assert hidden_names(site) == ("certs/", "src/", "*.toml", "*.py")
    served = folder(site)
    hidden = [f"/{marker}", "/certs/ca.pem", "/certs", "/certs/", "/CERTS/ca.pem", "/src/main.py", "/deep/x.toml",
              "/deep/X.TOML", "/manage.py", "/way/ca.pem", "/way"]  # fmt: skip
    for path in hidden:
        assert served.locate(path).status == 404, path
    for path in ("/a.txt", "/deep/certs/x.txt", "/srcs/a.txt"):
        assert served.locate(path).kind == "file", path


@pytest.mark.parametrize("marker", ["requirements.txt", "manage.py", ".venv/pyvenv.cfg"])
def test_a_projects_folder_has_other_marks_too(site: Path, marker: str) -> None:
    """C15"""
    write(site / marker)
    assert "*.py" in hidden_names(site)


def test_another_folder_hides_nothing_more(site: Path) -> None:
    """C15"""
    write(site / "certs/about.html")
    write(site / "x.toml")
    assert hidden_names(site) == ()
    assert folder(site).locate("/certs/about.html").kind == folder(site).locate("/x.toml").kind == "file"


def test_content_is_never_torn(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """C11 C14: a file that changes while it is read is not taken."""
    place = folder(site).locate("/a.txt")
    read = representation.read

    def while_it_changes(fd: int, offset: int, length: int) -> bytes:
        write(site / "a.txt", b"CONTENT", mtime=1_700_000_000)
        return read(fd, offset, length)

    monkeypatch.setattr(representation, "read", while_it_changes)
    with pytest.raises(Changed):
        content(place)


def test_reading_what_became_shorter(site: Path) -> None:
    """C11"""
    with open(site / "a.txt", "rb") as file:
        assert representation.read(file.fileno(), 3, 4) == b"tent"
        assert representation.read(file.fileno(), 0, 0) == b""
        with pytest.raises(Changed):
            representation.read(file.fileno(), 3, 5)


@pytest.mark.parametrize(("extra", "in_memory"), [(-1, True), (0, True), (1, False)])
def test_what_is_small(site: Path, extra: int, in_memory: bool) -> None:
    write(site / "big", b"x" * (representation.KEPT + extra))
    assert (content(folder(site).locate("/big"))[1] is not None) is in_memory


def test_digest(site: Path) -> None:
    """C10"""
    place = folder(site).locate("/a.txt")
    assert digest(place.real, place.signature) == "c681ff421fbd7af6dc373a7ced20fbeb"
    write(site / "a.txt", "other content")
    with pytest.raises(Changed):
        digest(place.real, place.signature)
