"""An application's answer on its way: stored before its end can be seen (D9)."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from edgestack.caching.tee import Fetching, Tee
from edgestack.http.bodies import Outlet
from edgestack.http.messages import Response

BODY = b"the whole of it"


class Kept:
    """A copy that writes down what becomes of it (fetching.py)."""

    def __init__(self, order: list[str]) -> None:
        self.order = order
        self.body: bytes | None = b""

    @property
    def taking(self) -> bool:
        return self.body is not None

    def piece(self, data: bytes) -> None:
        if self.body is not None:
            self.body += data

    def whole(self, data: bytes) -> None:
        self.piece(data)
        self.over(True)

    def over(self, complete: bool) -> None:
        if self.body is not None:
            self.order.append(f"stored {self.body.decode()}" if complete else "dropped")
        self.body = None


class Watched:
    """An outlet and a fetch that write down what is asked of them, in order."""

    def __init__(self) -> None:
        self.order: list[str] = []

    def judged(self, response: Response) -> Any:
        return SimpleNamespace(head=object(), validated=False)

    def seen(self, verdict: Any, response: Response) -> tuple[Response, bool]:
        return response, False

    def filtered(self, response: Response) -> Response:
        return response

    def copy(self, verdict: Any) -> Kept:
        return Kept(self.order)

    def head(self, response: Response) -> None:
        self.order.append("head")

    def piece(self, data: bytes) -> None:
        self.order.append(f"sent {data.decode()}")

    def finish(self) -> None:
        self.order.append("finished")

    def broken(self, why: str = "") -> None:
        self.order.append("broken")


@pytest.fixture
def watched() -> Watched:
    return Watched()


def tee(watched: Watched) -> Tee:
    return Tee(cast(Fetching, watched), cast(Outlet, watched))


def test_with_a_length_before_the_piece_that_completes_it(watched: Watched) -> None:
    """Who has read so many bytes asks again at once, and is to find it stored."""
    made = tee(watched)
    made.head(Response(200, (), b"", len(BODY)))
    made.piece(BODY[:3])
    made.piece(BODY[3:])
    made.finish()
    assert watched.order == ["head", "sent the", "stored the whole of it", "sent  whole of it", "finished"]


def test_in_one_piece(watched: Watched) -> None:
    tee(watched).whole(Response(200, (), b"", len(BODY)), BODY)
    assert watched.order == ["head", "stored the whole of it", "sent the whole of it", "finished"]


def test_without_a_length_before_the_end(watched: Watched) -> None:
    made = tee(watched)
    made.head(Response(200, (), (), None))
    made.piece(b"")
    made.piece(BODY)
    made.finish()
    assert watched.order == ["head", "sent ", "sent the whole of it", "stored the whole of it", "finished"]


def test_what_is_broken_off_is_dropped(watched: Watched) -> None:
    made = tee(watched)
    made.head(Response(200, (), (), None))
    made.piece(BODY)
    made.broken()
    made.closed()
    assert watched.order == ["head", f"sent {BODY.decode()}", "dropped", "broken"]


def test_a_second_head_drops_what_belonged_to_the_first(watched: Watched) -> None:
    made = tee(watched)
    made.head(Response(200, (), (), None))
    made.head(Response(200, (), b"", len(BODY)))
    made.piece(BODY)
    assert watched.order == ["head", "dropped", "head", "stored the whole of it", "sent the whole of it"]
