"""Stored heads and stores for tests. Bodies say by themselves what they belong to, so that a wrong one is seen."""

from __future__ import annotations

from pathlib import Path
from zlib import crc32

from edgestack.http.caching import StoredHead
from edgestack.store import Store, StoredResponse

KIB = 1024
MIB = 1024 * KIB


def head(variant: str = "", status: int = 200, came: float = 1000.0) -> StoredHead:
    fields = (("Content-Type", "text/plain"), ("ETag", '"a"'), ("Cache-Control", "max-age=60"))
    vary = ("accept-language",) if variant else ()
    return StoredHead(status, fields, came, came, came + 60, "max-age", vary, variant, '"a"')


def body(key: str, size: int) -> bytes:
    """Bytes that only this key and size have."""
    seed = f"{key} {size} {crc32(key.encode()):08x};".encode()
    return (seed * (size // len(seed) + 1))[:size]


def put(store: Store, key: str, size: int = 100, variant: str = "", tags: tuple[str, ...] = ()) -> None:
    store.put(key, head(variant), body(key + variant, size), f"https://example.com/{key}", tags)


def open_disk(folder: Path, size: int = 64 * MIB, memory: int = 16 * MIB) -> Store:
    """A store with a disk, once it knows what is there."""
    store = Store(memory, folder, size)
    assert store.flush(30)
    return store


def forget_memory(store: Store) -> None:
    """What is found now comes from the disk."""
    assert store.flush(30)
    store.memory.clear()


def content(stored: StoredResponse) -> bytes:
    """The bytes that would be sent."""
    if isinstance(stored.body, bytes):
        return stored.body
    return bytes(stored.body.read(0, stored.body.length))


def found(store: Store, key: str) -> list[bytes]:
    return [content(one) for one in store.find(key)]


def files(folder: Path) -> list[Path]:
    """The files of responses."""
    return sorted(path for path in folder.glob("??/*") if path.is_file())
