"""The size of a request's body: n-1, n, n+1, announced and chunked; 1,000 breakers (E8)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from io import BytesIO
from typing import IO, Any

import pytest
from phases_kit import coming, refusal

from edgestack.config.model import Limit
from edgestack.errors import ClientError
from edgestack.phases.body_limit import body_limit, most_body


class Sent:
    """A body that comes in pieces of one byte; whoever reads an announced one too early is noticed."""

    gap = 60.0

    def __init__(self, size: int, announced: bool) -> None:
        self.size = size
        self.length = size if announced else None
        self.read = 0

    def spooled_nowait(self, limit: int) -> IO[bytes] | None:
        return self._spooled(limit)

    async def spooled(self, limit: int) -> IO[bytes]:
        return self._spooled(limit)

    def _spooled(self, limit: int) -> IO[bytes]:
        if self.size > limit:
            raise ClientError(f"more than {limit}", 413)
        return BytesIO(b"x" * self.size)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for _ in range(self.size):
            self.read += 1
            yield b"x"


@pytest.mark.parametrize("most", [1, 10, 1000])
@pytest.mark.parametrize("off", [-1, 0, 1])
def test_announced(most: int, off: int) -> None:
    check = body_limit(most)
    assert check is not None
    body = Sent(most + off, announced=True)
    error = refusal(check, coming(body=body))
    assert (error.status if error else 200) == (413 if off > 0 else 200)
    assert body.read == 0, "E8: before a byte is read or asked for"


@pytest.mark.parametrize("off", [-1, 0, 1])
@pytest.mark.parametrize("way", ["pieces", "spooled", "here"])
async def test_chunked_is_counted_while_it_is_read(off: int, way: str) -> None:
    check = body_limit(10)
    assert check is not None
    exchange = coming(body=Sent(10 + off, announced=False))
    check(exchange)
    body: Any = exchange.request.body

    async def size() -> int:
        if way == "pieces":
            return len(b"".join([piece async for piece in body]))
        file = await body.spooled(1000) if way == "spooled" else body.spooled_nowait(1000)
        return len(file.read())

    if off <= 0:
        assert await size() == 10 + off
    else:
        with pytest.raises(ClientError) as caught:
            await size()
        assert caught.value.status == 413


async def test_it_narrows_and_never_widens() -> None:
    check = body_limit(1000)
    assert check is not None
    exchange = coming(body=Sent(10, announced=False))
    check(exchange)
    body: Any = exchange.request.body
    with pytest.raises(ClientError, match="more than 5"):
        await body.spooled(5)
    body.gap = 5.0
    assert body.gap == 5.0


def test_without_a_body_there_is_nothing_to_say() -> None:
    check = body_limit(0)
    assert check is not None
    assert refusal(check, coming()) is None
    assert body_limit(None) is None


def test_the_smallest_of_several_counts() -> None:
    assert most_body([Limit(body=5), Limit(body=3), Limit(connections=1)]) == 3
    assert most_body([Limit(connections=1)]) is None


def test_1000_breakers() -> None:
    check = body_limit(10)
    assert check is not None
    bodies = [Sent(11, announced=True) for _ in range(1000)]
    errors = [refusal(check, coming(body=body)) for body in bodies]
    assert [error.status for error in errors if error] == [413] * 1000
    assert sum(body.read for body in bodies) == 0
