"""Frames of a WebSocket, as they come from a client that means no good (RFC 6455 §5.4)."""

from __future__ import annotations

import sys

from edgestack.asgi.frames import Frames, Message, frames

EMPTY = b"\x00\x80\x00\x00\x00\x00"
"""A fragment with nothing in it, and more to come."""


def fed(given: Frames, *data: bytes) -> list[Message]:
    return [message for one in data for message in given.feed(one)]


def test_empty_fragments_cost_nothing() -> None:
    """Any number of them belongs to a message; they are not kept."""
    talk = frames()
    assert fed(talk, b"\x01\x82\x00\x00\x00\x00He", EMPTY * 1000) == []
    assert sys.getsizeof(talk._text) < 200
    assert fed(talk, b"\x80\x83\x00\x00\x00\x00llo") == [Message("Hello")]


def test_a_message_of_nothing() -> None:
    assert fed(frames(), b"\x82\x80\x00\x00\x00\x00") == [Message(b"")]
    assert fed(frames(), b"\x81\x80\x00\x00\x00\x00") == [Message("")]
