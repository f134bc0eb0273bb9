"""Errands on the road: settled by the spine on either road, and left alone where a wrap asks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from routing_kit import exchange

from edgestack.errors import Disconnected, EdgeError, UpstreamError
from edgestack.http.jumps import Jump
from edgestack.http.messages import Answer, Errand, Exchange, Handler, Response, settled
from edgestack.http.target import read_path
from edgestack.routing import Chain, spine


class Asked(Errand):
    """An errand that brings what it was told to."""

    __slots__ = ("brings",)

    def __init__(self, exchange: Exchange, brings: Any) -> None:
        super().__init__(exchange)
        self.brings = brings

    async def fetch(self) -> Response:
        if isinstance(self.brings, EdgeError):
            raise self.brings
        response: Response = self.brings
        return response


def page(exchange: Exchange, error: EdgeError) -> Response:
    return Response(error.status, (), b"page")


def marked(exchange: Exchange, response: Response) -> Response:
    return response.with_(fields=(*response.fields, ("X-Filtered", exchange.chain.match.pattern)))


def road(brings: Any, **more: Any) -> Handler:
    chains = [
        Chain("/", lambda exchange: Asked(exchange, brings), page, filters=(marked,), **more),
        Chain("/page", lambda exchange: Response(200, (), b"a page of the user's own"), page, filters=(marked,)),
        Chain("/other", lambda exchange: Asked(exchange, Response(200, (), b"other")), page),
    ]
    return spine(chains, Chain("/", lambda exchange: Response(404), page))


async def by_callback(errand: Errand) -> Answer:
    """As a driver does that has begun it."""
    assert errand.settle is not None
    assert isinstance(errand, Asked)
    answer = errand.settle(errand.exchange, errand.brings)
    return await settled(answer)


async def by_task(errand: Errand) -> Answer:
    return await errand


ROADS = pytest.mark.parametrize("by", [by_callback, by_task])


@ROADS
async def test_filters_are_applied(by: Callable[[Errand], Any]) -> None:
    errand = road(Response(200, (), b"x"))(exchange("/a"))
    assert isinstance(errand, Asked)
    answer = await by(errand)
    assert (answer.status, answer.body, answer.field("X-Filtered")) == (200, b"x", "/")


@ROADS
@pytest.mark.parametrize("status", [502, 504])
async def test_an_error_has_its_page(by: Callable[[Errand], Any], status: int) -> None:
    """A22."""
    errand = road(UpstreamError(status=status))(exchange("/a"))
    assert isinstance(errand, Asked)
    answer = await by(errand)
    assert (answer.status, answer.body, answer.field("X-Filtered")) == (status, b"page", "/")


@ROADS
@pytest.mark.parametrize(("where", "body"), [("/page", b"a page of the user's own"), ("/other", b"other")])
async def test_an_error_has_a_page_of_the_users_own(by: Callable[[Errand], Any], where: str, body: bytes) -> None:
    """`error_page`: the jump is followed, were it to another errand; the status is the error's."""

    def pages(exchange: Exchange, error: EdgeError) -> Answer:
        return Jump(read_path(where), error=error)

    errand = road(UpstreamError(), pages=pages)(exchange("/a"))
    assert isinstance(errand, Asked)
    answer = await by(errand)
    assert (answer.status, answer.body) == (502, body)


@ROADS
async def test_a_jump_is_followed(by: Callable[[Errand], Any]) -> None:
    """X-Accel-Redirect: an errand may bring a way to go."""

    class Leading(Asked):
        __slots__ = ()

        async def _settled(self) -> Any:
            assert self.settle is not None
            return await settled(self.settle(self.exchange, self.brings))

    handle = spine(
        [
            Chain("/", lambda exchange: Leading(exchange, Jump(read_path("/page"))), page),
            Chain("/page", lambda exchange: Response(200, (), b"elsewhere"), page, filters=(marked,)),
        ],
        Chain("/", lambda exchange: Response(404), page),
    )
    errand = handle(exchange("/a"))
    assert isinstance(errand, Asked)
    answer = await by(errand)
    assert (answer.body, answer.field("X-Filtered")) == (b"elsewhere", "/page")


async def test_a_client_that_left_gets_no_page() -> None:
    errand = road(Disconnected())(exchange("/a"))
    assert isinstance(errand, Asked)
    with pytest.raises(Disconnected):
        await errand


async def test_a_wrap_gets_it_as_it_is() -> None:
    """Inside a wrap nothing is settled: errors are raised, responses bare; the road settles what the wrap gives."""
    seen: list[Any] = []

    def wrap(handler: Handler) -> Handler:
        async def later(exchange: Exchange) -> Any:
            answer = handler(exchange)
            assert isinstance(answer, Errand)
            assert answer.settle is None
            try:
                seen.append(await settled(answer))
            except UpstreamError as error:
                seen.append(error)
                raise
            return seen[-1]

        return later

    answer = await settled(road(Response(200, (), b"x"), wraps=(wrap,))(exchange("/a")))
    assert isinstance(answer, Response)
    assert answer.field("X-Filtered") == "/"
    assert seen[0].field("X-Filtered") is None
    answer = await settled(road(UpstreamError(), wraps=(wrap,))(exchange("/a")))
    assert isinstance(answer, Response)
    assert answer.status == 502
    assert isinstance(seen[1], UpstreamError)
