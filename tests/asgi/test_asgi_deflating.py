"""Compressed messages: RFC 7692's own examples, what is refused, and every message in and out again, however it is cut.

The other side is the standard library's zlib behind frames that are made here by hand, and once the client of the
websockets library (its extension, without a network).
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgestack.asgi.deflating import ENDS, LEAST
from edgestack.asgi.extensions import Terms, agreed
from edgestack.asgi.frames import Frames, Message, frames

pytest.importorskip("wsproto")

TEXT, BINARY, CONTINUATION, CLOSE, PING = 1, 2, 0, 8, 9
FIN, RSV1, RSV2 = 0x80, 0x40, 0x20
TAIL = b"\x00\x00\xff\xff"
PLAIN = Terms(12, 15)
MASK = b"\x37\xfa\x21\x3d"


def frame(first: int, payload: bytes) -> bytes:
    """As a client sends it."""
    size = len(payload)
    if size < 126:
        length = bytes([0x80 | size])
    else:
        length = b"\xfe" + size.to_bytes(2, "big") if size < 1 << 16 else b"\xff" + size.to_bytes(8, "big")
    mask = MASK * (size // 4 + 1)
    return bytes([first]) + length + MASK + bytes(a ^ b for a, b in zip(payload, mask, strict=False))


def deflated(data: bytes, bits: int = 15) -> bytes:
    """A message by itself."""
    deflater = zlib.compressobj(9, zlib.DEFLATED, -bits)
    return (deflater.compress(data) + deflater.flush(zlib.Z_SYNC_FLUSH)).removesuffix(TAIL)


def fed(there: Frames, data: bytes, size: int = 1 << 30) -> Iterator[Message]:
    for at in range(0, len(data), size):
        yield from there.feed(data[at : at + size])


def sent(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The server's frames, one after another: the first byte, and the payload."""
    while data:
        size, at = data[1], 2
        if size >= 126:
            at += 2 if size == 126 else 8
            size = int.from_bytes(data[2:at], "big")
        yield data[0], data[at : at + size]
        data = data[at + size :]


# --- the examples of RFC 7692 §7.2.3 ----------------------------------------------------------------------------------

HELLO = b"\xf2\x48\xcd\xc9\xc9\x07\x00"
EXAMPLES = {
    "one block": frame(FIN | RSV1 | TEXT, HELLO),
    "in fragments": frame(RSV1 | TEXT, HELLO[:3]) + frame(FIN | CONTINUATION, HELLO[3:]),
    "a ping between": frame(RSV1 | TEXT, HELLO[:3]) + frame(FIN | PING, b"") + frame(FIN | CONTINUATION, HELLO[3:]),
    "an empty last frame": frame(RSV1 | TEXT, HELLO) + frame(FIN | CONTINUATION, b""),
    "a block that is not compressed": frame(FIN | RSV1 | TEXT, b"\x00\x05\x00\xfa\xffHello\x00"),
    "a final block": frame(FIN | RSV1 | TEXT, b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00"),
    "two blocks": frame(FIN | RSV1 | TEXT, b"\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00"),
    "not compressed at all": frame(FIN | TEXT, b"Hello"),
}


@pytest.mark.parametrize("data", EXAMPLES.values(), ids=EXAMPLES)
@pytest.mark.parametrize("size", [1, 2, 3, 1 << 20])
def test_the_examples(data: bytes, size: int) -> None:
    """Cut anywhere, and the connection goes on behind each."""
    there = frames(terms=PLAIN)
    came = [message.data for message in fed(there, data * 2, size) if message.data is not None]
    assert came == ["Hello", "Hello"]


def test_the_context_goes_on() -> None:
    """§7.2.3.2: the second "Hello" leans on the first."""
    there = frames(terms=PLAIN)
    data = frame(FIN | RSV1 | TEXT, HELLO) + frame(FIN | RSV1 | TEXT, b"\xf2\x00\x11\x00\x00")
    assert [message.data for message in there.feed(data)] == ["Hello", "Hello"]


def test_the_context_is_forgotten() -> None:
    """§7.1.1.2: what leans on an earlier message, all the same, has nothing to lean on: 1007."""
    there = frames(terms=Terms(12, 15, client_forgets=True))
    data = frame(FIN | RSV1 | TEXT, HELLO) + frame(FIN | RSV1 | TEXT, b"\xf2\x00\x11\x00\x00")
    first, second = there.feed(data)
    assert (first.data, second.close) == ("Hello", 1007)


# --- what is refused --------------------------------------------------------------------------------------------------

REFUSED = {
    "RSV1 where nothing was agreed on": (None, frame(FIN | RSV1 | TEXT, HELLO), 1002),
    "RSV1 on a ping": (PLAIN, frame(FIN | RSV1 | PING, b""), 1002),
    "RSV1 on a close": (PLAIN, frame(FIN | RSV1 | CLOSE, b""), 1002),
    "RSV1 on a later frame": (PLAIN, frame(RSV1 | TEXT, HELLO) + frame(FIN | RSV1 | CONTINUATION, b""), 1002),
    "RSV1 on a later frame of a plain one": (
        PLAIN, frame(TEXT, b"a") + frame(FIN | RSV1 | CONTINUATION, HELLO), 1002,
    ),
    "RSV2": (PLAIN, frame(FIN | RSV1 | RSV2 | TEXT, HELLO), 1002),
    "no deflate stream": (PLAIN, frame(FIN | RSV1 | TEXT, b"\xff\xff\xff"), 1007),
    "no UTF-8 inside": (PLAIN, frame(FIN | RSV1 | TEXT, deflated(b"\xff\xfe")), 1007),
    "streams that end and end": (PLAIN, frame(FIN | RSV1 | TEXT, b"\x03\x00" * (ENDS + 1)), 1007),
}  # fmt: skip


@pytest.mark.parametrize(("terms", "data", "code"), REFUSED.values(), ids=REFUSED)
@pytest.mark.parametrize("size", [1, 1 << 20])
def test_what_is_refused(terms: Terms | None, data: bytes, code: int, size: int) -> None:
    last = list(fed(frames(terms=terms), data, size))[-1]
    assert last.close == code
    assert last.reply[2:4] == code.to_bytes(2, "big")


@pytest.mark.parametrize("kind", [TEXT, BINARY])
@pytest.mark.parametrize("cut", [False, True])
@pytest.mark.parametrize(("size", "fits"), [(99_999, True), (100_000, True), (100_001, False), (50_000_000, False)])
def test_a_bomb(kind: int, cut: bool, size: int, fits: bool) -> None:
    """A message may be as large inflated as any other; the first byte beyond that ends it, and no more is inflated."""
    payload = deflated(b"x" * size)
    there = frames(100_000, PLAIN)
    half = len(payload) // 2
    whole = frame(FIN | RSV1 | kind, payload)
    pieces = frame(RSV1 | kind, payload[:half]) + frame(FIN | CONTINUATION, payload[half:])
    last = list(there.feed(pieces if cut else whole))[-1]
    if fits:
        assert last.data == ("x" * size if kind == TEXT else b"x" * size)
        assert [one.data for one in there.feed(whole)] == [last.data], "the limit is each message's own"
    else:
        assert (last.close, last.reason) == (1009, "the message is too large")


# --- what is sent -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "first"), [(0, 0x81), (LEAST - 1, 0x81), (LEAST, 0xC1), (LEAST + 1, 0xC1)])
def test_short_messages_pass_as_they_are(size: int, first: int) -> None:
    ((head, payload),) = sent(frames(terms=PLAIN).message("x" * size))
    assert head == first
    assert (payload == b"x" * size) == (first == 0x81)


def test_control_frames_are_never_compressed() -> None:
    """§6.1; and a close that is as long as one can be."""
    there = frames(terms=PLAIN)
    assert there.ping() == b"\x89\x00"
    ((head, payload),) = sent(there.close(1000, "x" * 123))
    assert (head, payload) == (0x88, b"\x03\xe8" + b"x" * 123)


def test_nothing_is_said_after_a_close() -> None:
    there = frames(terms=PLAIN)
    there.close(1000)
    assert there.message("x" * 1000) == b""


@pytest.mark.parametrize(("forgets", "shorter"), [(False, True), (True, False)])
def test_what_is_said_twice(forgets: bool, shorter: bool) -> None:
    """§7.1.1.1: with the context the second time costs a few bytes, without it as much as the first."""
    there = frames(terms=Terms(12, 15, server_forgets=forgets))
    text = "".join(chr(33 + at * at % 90) for at in range(400))
    first, second = (len(there.message(text)) for _ in range(2))
    assert (second < first // 4) == shorter
    assert shorter or first == second


# --- in and out again -------------------------------------------------------------------------------------------------

MESSAGES = st.lists(
    st.one_of(st.text(max_size=300), st.binary(max_size=300), st.text("ab", min_size=200, max_size=3000)), max_size=6
)
TERMS = st.builds(Terms, st.integers(9, 12), st.integers(9, 15), st.booleans(), st.booleans())


@settings(max_examples=150, deadline=None)
@given(messages=MESSAGES, terms=TERMS, mixed=st.booleans(), size=st.integers(1, 200))
def test_every_message_comes_in(messages: list[str | bytes], terms: Terms, mixed: bool, size: int) -> None:
    """Deflated by zlib with the client's window, in two frames each, some not deflated; fed in pieces of any size."""
    there, deflater, data = frames(terms=terms), None, b""
    for at, message in enumerate(messages):
        payload = message.encode() if isinstance(message, str) else message
        kind = TEXT if isinstance(message, str) else BINARY
        if not (mixed and at % 2):
            if deflater is None or terms.client_forgets:
                deflater = zlib.compressobj(6, zlib.DEFLATED, -terms.client_bits)
            payload = (deflater.compress(payload) + deflater.flush(zlib.Z_SYNC_FLUSH)).removesuffix(TAIL)
            kind |= RSV1
        half = len(payload) // 2
        data += frame(kind, payload[:half]) + frame(FIN | CONTINUATION, payload[half:])
    assert [message.data for message in fed(there, data, size)] == messages


@settings(max_examples=150, deadline=None)
@given(messages=MESSAGES, terms=TERMS)
def test_every_message_goes_out(messages: list[str | bytes], terms: Terms) -> None:
    """Inflated by zlib with the server's window and no larger one."""
    there, inflater, came = frames(terms=terms), None, []
    for head, payload in sent(b"".join(map(there.message, messages))):
        if head & RSV1:
            if inflater is None or terms.server_forgets:
                inflater = zlib.decompressobj(-terms.server_bits)
            payload = inflater.decompress(payload + TAIL)
        came.append(payload.decode() if head & 0x0F == TEXT else payload)
    assert came == messages


def test_split_at_every_byte() -> None:
    """A compressed message, a ping and another one in two frames: cut in two at each place."""
    deflater = zlib.compressobj(6, zlib.DEFLATED, -15)
    one, other = (
        (deflater.compress(text.encode()) + deflater.flush(zlib.Z_SYNC_FLUSH)).removesuffix(TAIL)
        for text in ("é" * 90, "é" * 91)
    )
    data = frame(FIN | RSV1 | TEXT, one) + frame(RSV1 | TEXT, other[:4])
    data += frame(FIN | PING, b"now") + frame(FIN | CONTINUATION, other[4:])
    for at in range(len(data) + 1):
        there = frames(terms=PLAIN)
        came = [*there.feed(data[:at]), *there.feed(data[at:])]
        assert [message.data for message in came if message.data is not None] == ["é" * 90, "é" * 91], at
        assert [message.reply for message in came if message.reply] == [b"\x8a\x03now"], at


@pytest.mark.parametrize("takeover", [False, True])
@pytest.mark.parametrize("bits", [None, 9, 15])
def test_with_the_websockets_library(takeover: bool, bits: int | None) -> None:
    """What is agreed on is understood by another implementation, which then reads and is read."""
    from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
    from websockets.frames import Frame, Opcode

    factory = ClientPerMessageDeflateFactory(takeover, takeover, bits, True if bits is None else bits)
    offer = "; ".join(["permessage-deflate", *(f"{k}={v}" if v else k for k, v in factory.get_request_params())])
    terms = agreed(offer)
    assert terms is not None
    told = [part.partition("=")[::2] for part in terms.said().split("; ")[1:]]
    theirs = factory.process_response_params([(name, value or None) for name, value in told], [])
    there = frames(terms=terms)
    for text in ("short", "a longer one " * 40, "a longer one " * 41):
        encoded = theirs.encode(Frame(Opcode.TEXT, text.encode()))
        assert [m.data for m in there.feed(frame(FIN | RSV1 * encoded.rsv1 | TEXT, bytes(encoded.data)))] == [text]
        ((head, payload),) = sent(there.message(text))
        decoded = theirs.decode(Frame(Opcode.TEXT, payload, rsv1=bool(head & RSV1)))
        assert bytes(decoded.data).decode() == text
