"""A file of the disk tier: one response, and how it is known to be whole.

    prefix   magic, the lengths of label, head and body, the sums of label and head and of the body, its own sum
    label    JSON: key, URL, tags
    head     as the rules write it (http/caching.py: StoredHead.to_bytes)
    body

A file is whole if it is as long as its prefix says, and every sum is right; of a file that is not, nothing is used. The
sums (CRC-32) are against torn writes and failing disks, not against whoever may write into the folder: that is the
server's own (0700). A file is read before it is trusted, and known again by what stat says of it.
"""

from __future__ import annotations

import json
import os
import struct
import zlib
from hashlib import blake2b
from typing import NamedTuple, TypeAlias

from edgestack.http.bodies import FileSegment, OpenFile
from edgestack.http.caching import StoredHead
from edgestack.store.stored import StoredResponse

__all__ = ["Broken", "Label", "Opening", "Seal", "name_of", "open_record", "read_label", "seal", "sound", "write_at"]

MAGIC = b"edgsto\x00\x01"
"""The last byte is the version: of another one nothing is read."""
PREFIX = struct.Struct(">8sIIQII")
SUM = struct.Struct(">I")
FIRST = 4096
"""Bytes read at once: prefix, label, head, and all of a small body."""
LONGEST = 1 << 20
"""Bytes that label and head may have; far beyond what a head can be (criterion E2)."""
IN_MEMORY = 128 * 1024
"""Bytes of a body that are read into memory; larger ones are sent from the file (as http.messages.AT_ONCE)."""
FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK

Seal: TypeAlias = "tuple[int, int, int, int]"


class Broken(Exception):
    """A file that is not what was written."""


class Label(NamedTuple):
    """What is known of a file without its head and body."""

    key: str
    url: str
    tags: tuple[str, ...]
    size: int
    """Bytes of the file."""


class Prefix(NamedTuple):
    """The file's first bytes."""

    magic: bytes
    label: int
    head: int
    body: int
    head_sum: int
    body_sum: int

    @property
    def start(self) -> int:
        """Where the body begins."""
        return PREFIX.size + SUM.size + self.label + self.head


def name_of(key: str, variant: str) -> str:
    """The name of the file that a response is kept in, below the folder; responses of one key differ behind the "-"."""
    first = blake2b(key.encode("utf-8", "surrogateescape"), digest_size=16).hexdigest()
    second = blake2b(variant.encode("utf-8", "surrogateescape"), digest_size=8).hexdigest()
    return f"{first[:2]}/{first[2:]}-{second}"


class Opening:
    """What stands before a body: it is as long as it will be before the body's length and sum are known."""

    __slots__ = ("_head", "_label", "size")

    def __init__(self, key: str, url: str, tags: tuple[str, ...], head: StoredHead) -> None:
        self._label = json.dumps([key, url, tags], separators=(",", ":")).encode("ascii")
        self._head = head.to_bytes()
        self.size = PREFIX.size + SUM.size + len(self._label) + len(self._head)
        """Bytes; the body begins there."""

    def before(self, length: int, body_sum: int) -> bytes:
        """It, for a body of so many bytes with this CRC-32."""
        sums = (zlib.crc32(self._head, zlib.crc32(self._label)), body_sum)
        prefix = PREFIX.pack(MAGIC, len(self._label), len(self._head), length, *sums)
        return prefix + SUM.pack(zlib.crc32(prefix)) + self._label + self._head


def write_at(fd: int, data: bytes, place: int) -> None:
    """Write all of it.

    :raises OSError: the disk is full, or fails.
    """
    view = memoryview(data)
    while view:
        done = os.pwrite(fd, view, place)
        view, place = view[done:], place + done


def seal(fd: int) -> Seal:
    """What tells one state of a file from the next."""
    found = os.fstat(fd)
    return (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def read_label(path: str) -> Label:
    """Key, URL and tags of a file; its head and its body are not looked at.

    :raises Broken: it is not one of ours, or has another length.
    :raises OSError: it cannot be read.
    """
    file = OpenFile(os.open(path, FLAGS))
    prefix, first = _begin(file.fd)
    return _label(_upto(file.fd, first, prefix.start), prefix)


def open_record(path: str, name: str, known: Seal | None, inline: int) -> tuple[StoredResponse, Seal] | None:
    """The response in a file, its body in memory where it is small; and the file's seal.

    :param name: what it should be called by its key and variant.
    :param known: the seal under which its body is known to be right; it is not read again then.
    :param inline: bytes of a body that may be read now, to see whether it is right.
    :return: None where its body would have to be read first, and is larger.
    :raises Broken: it is not what was written.
    :raises OSError: it cannot be read.
    """
    file = OpenFile(os.open(path, FLAGS))
    now = seal(file.fd)
    prefix, first = _begin(file.fd)
    first = _upto(file.fd, first, prefix.start)
    label = _label(first, prefix)
    try:
        head = StoredHead.from_bytes(first[prefix.start - prefix.head : prefix.start])
    except ValueError as error:
        raise Broken(str(error)) from None
    if name_of(label.key, head.variant) != name:
        raise Broken("it has the name of another one")
    body: bytes | FileSegment
    if prefix.body <= IN_MEMORY:
        body = _upto(file.fd, first, prefix.start + prefix.body)[prefix.start :]
        _check(zlib.crc32(body) == prefix.body_sum, "its body is not what was written")
    elif now == known:
        body = FileSegment(file, prefix.start, prefix.body)
    elif prefix.body > inline:
        return None
    else:
        _check_body(file.fd, prefix)
        body = FileSegment(file, prefix.start, prefix.body)
    return StoredResponse(label.key, head, body, label.url, label.tags, (path, now)), now


def sound(path: str) -> Seal:
    """Read all of a file; its seal, if everything in it is right.

    :raises Broken: it is not what was written.
    :raises OSError: it cannot be read.
    """
    file = OpenFile(os.open(path, FLAGS))
    now = seal(file.fd)
    prefix, _ = _begin(file.fd)
    _check_body(file.fd, prefix)
    return now


def _begin(fd: int) -> tuple[Prefix, bytes]:
    """The prefix, and the bytes that were read with it."""
    first = os.pread(fd, FIRST, 0)
    end = PREFIX.size + SUM.size
    _check(len(first) >= end, "it is too short")
    _check(SUM.pack(zlib.crc32(first[: PREFIX.size])) == first[PREFIX.size : end], "its beginning is damaged")
    prefix = Prefix(*PREFIX.unpack_from(first))
    _check(prefix.magic == MAGIC, "it is of another version")
    _check(prefix.start <= LONGEST, "its head is too long")
    _check(os.fstat(fd).st_size == prefix.start + prefix.body, "it has another length")
    return prefix, first


def _upto(fd: int, first: bytes, end: int) -> bytes:
    """The file's first bytes, up to `end`."""
    while len(first) < end:
        more = os.pread(fd, end - len(first), len(first))
        _check(bool(more), "it became shorter")
        first += more
    return first[:end]


def _label(first: bytes, prefix: Prefix) -> Label:
    start = PREFIX.size + SUM.size
    _check(zlib.crc32(first[start : prefix.start]) == prefix.head_sum, "its head is damaged")
    try:
        key, url, tags = json.loads(first[start : start + prefix.label])
        return Label(str(key), str(url), tuple(map(str, tags)), prefix.start + prefix.body)
    except (TypeError, ValueError, RecursionError) as error:
        raise Broken(f"its label is damaged: {error}") from None


def _check_body(fd: int, prefix: Prefix) -> None:
    place, left, found = prefix.start, prefix.body, 0
    while left:
        piece = os.pread(fd, min(left, IN_MEMORY), place)
        _check(bool(piece), "it became shorter")
        found = zlib.crc32(piece, found)
        place, left = place + len(piece), left - len(piece)
    _check(found == prefix.body_sum, "its body is not what was written")


def _check(right: bool, why: str) -> None:
    if not right:
        raise Broken(why)
