"""An application's answer on its way: stored before its end can be seen (D9)."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from edgestack.caching.tee import Fetching, Tee
from edgestack.http.bodies import Outlet
from edgestack.http.messages import Response

BODY = b"the whole of it"


class Watched:
    """An outlet and a fetch that write down what is asked of them, in order."""

    def __init__(self) -> None:
        self.order: list[str] = []
        self.zone = SimpleNamespace(store=SimpleNamespace(largest=1000))

    def judged(self, response: Response) -> Any:
        return SimpleNamespace(head=object(), validated=False)

    def seen(self, verdict: Any, response: Response) -> tuple[Response, bool]:
        return response, False

    def filtered(self, response: Response) -> Response:
        return response

    def keep(self, verdict: Any, body: bytes) -> None:
        self.order.append(f"stored {body.decode()}")

    def head(self, response: Response) -> None:
        self.order.append("head")

    def piece(self, data: bytes) -> None:
        self.order.append(f"sent {data.decode()}")

    def finish(self) -> None:
        self.order.append("finished")


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
