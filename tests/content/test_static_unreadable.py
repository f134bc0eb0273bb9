"""Criterion C7 and C9 for what the server may not read; as root, these tests act as another user."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from static_kit import as_nobody, exchange, get, static, write

from edgestack.errors import ClientError


@pytest.fixture
def site() -> Iterator[Path]:
    """A folder that other users reach; pytest's own are closed to them."""
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o755)
        write(Path(name, "locked.txt")).chmod(0)
        yield Path(name)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("size", [7, 300_000])
def test_unreadable(site: Path, method: str, size: int) -> None:
    """C7: 403, for HEAD as for GET; behind it C9's application goes on."""
    write(site / "locked.txt", b"x" * size).chmod(0)
    handler = static(site)
    with as_nobody():
        with pytest.raises(ClientError) as caught:
            handler(exchange("/locked.txt", method))
        assert handler.try_(exchange("/locked.txt", method)) is None
    assert caught.value.status == 403


def test_rights_that_are_taken_away(site: Path) -> None:
    """C7 C14: a file in memory is not served past its rights."""
    file = site / "locked.txt"
    file.chmod(0o644)
    handler = static(site)
    with as_nobody():
        assert get(handler, "/locked.txt").status == 200
    file.chmod(0)
    with as_nobody(), pytest.raises(ClientError) as caught:
        handler(exchange("/locked.txt"))
    assert caught.value.status == 403


async def test_a_folder_that_may_not_be_read(site: Path) -> None:
    """C7"""
    (site / "closed").mkdir()
    (site / "closed").chmod(0o711)
    handler = static(site, listing=True)
    answer = handler(exchange("/closed/"))
    with as_nobody(), pytest.raises(ClientError) as caught:
        await answer  # type: ignore[misc]
    assert caught.value.status == 403
