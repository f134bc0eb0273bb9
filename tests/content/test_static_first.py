"""Criterion C9: a site and an application together, file first."""

from __future__ import annotations

from pathlib import Path

import pytest
from static_kit import exchange, static, write

from edgestack.content import representation
from edgestack.content import static as static_module
from edgestack.content.files import PrivateFiles
from edgestack.errors import ClientError
from edgestack.http.messages import Response

LARGE = representation.KEPT + 1


@pytest.mark.parametrize(
    ("target", "method", "status"),
    [
        ("/a.txt", "GET", 200),
        ("/a.txt", "HEAD", 200),
        ("/docs/", "GET", 200),
        ("/docs", "GET", None),  # the slash is the application's to redirect
        ("/empty/", "GET", None),
        ("/empty", "GET", None),
        ("/", "GET", None),
        ("/none", "GET", None),
        ("/none/", "GET", None),
        ("/a.txt/", "GET", None),
        ("/a.txt", "POST", None),
        ("/a.txt", "OPTIONS", None),
        ("/.env", "GET", None),
        ("/docs%2findex.html", "GET", None),
        ("/private.txt", "GET", None),
    ],
)
@pytest.mark.parametrize("listing", [False, True])
def test_file_first(tmp_path: Path, target: str, method: str, status: int | None, listing: bool) -> None:
    """C9"""
    for name in ("a.txt", "docs/index.html", "empty/x", ".env", "private.txt"):
        write(tmp_path / name)
    handler = static(tmp_path, listing=listing, private=PrivateFiles([tmp_path / "private.txt"]))
    for _ in range(3):  # looked up, then remembered
        response = handler.try_(exchange(target, method))
        assert (response.status if isinstance(response, Response) else response) == status


def test_errors_about_a_file_are_its_own(tmp_path: Path) -> None:
    """C9: a file is there, so what is wrong with the request is not the application's business."""
    write(tmp_path / "a.txt")
    for fields, status in (({"if_match": '"x"'}, 412), ({"range": "bytes=99-"}, 416)):
        with pytest.raises(ClientError) as caught:
            static(tmp_path).try_(exchange("/a.txt", **fields))
        assert caught.value.status == status


@pytest.mark.parametrize(
    ("target", "name"),
    [
        ("/page", "page"),
        ("/a/b", "a/b"),
        ("/", "index.html"),
        ("/docs/", "docs/index.html"),
        ("/new/", "new/index.html"),
    ],
)
def test_a_file_that_appears_goes_first_at_once(tmp_path: Path, target: str, name: str) -> None:
    """C9 C14: what is remembered as absent is looked for again each time; and left again when it goes."""
    (tmp_path / "docs").mkdir()
    handler = static(tmp_path)
    assert handler.try_(exchange(target)) is handler.try_(exchange(target)) is None
    file = write(tmp_path / name)
    assert isinstance(handler.try_(exchange(target)), Response)
    file.unlink()
    assert handler.try_(exchange(target)) is None
    assert handler.try_(exchange(target)) is None


def test_a_folder_that_becomes_a_file_goes_first_at_once(tmp_path: Path) -> None:
    """C9 C14"""
    (tmp_path / "docs").mkdir()
    handler = static(tmp_path)
    assert handler.try_(exchange("/docs")) is handler.try_(exchange("/docs")) is None
    (tmp_path / "docs").rmdir()
    write(tmp_path / "docs")
    assert isinstance(handler.try_(exchange("/docs")), Response)


def test_absences_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """C9: an application's addresses are without number."""
    monkeypatch.setattr(static_module, "ABSENCES", 100)
    handler = static(tmp_path)
    for number in range(1000):
        assert handler.try_(exchange(f"/item/{number}")) is None
    assert len(handler._absent) + len(handler._absent.old) <= 100
