"""The road through a chain, and jumps inside the server (nginx: internal redirects, error_page)."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

import pytest
import trio
from routing_kit import Site, ask, chain, exchange, says

from edgestack.errors import ClientError, Disconnected, EdgeError, Refused
from edgestack.http.jumps import Jump
from edgestack.http.messages import Answer, AppCall, Exchange, Handler, Response, settled
from edgestack.http.target import read_path
from edgestack.routing.road import ROUNDS


def to(path: str, query: str | None = None, **more: Any) -> Any:
    """Content that jumps."""
    return lambda exchange: Jump(read_path(path), query, **more)


def raises(error: EdgeError) -> Any:
    def content(exchange: Exchange) -> Response:
        raise error

    return content


def marks(text: str) -> Any:
    return lambda exchange, response: response.with_(fields=(*response.fields, ("Mark", text)))


def test_the_order_of_links() -> None:
    told: list[str] = []

    def check(name: str) -> Any:
        return lambda exchange: told.append(name)

    def wrap(name: str) -> Any:
        def wrapped(handler: Handler) -> Handler:
            def handle(exchange: Exchange) -> Answer:
                told.append(name)
                return handler(exchange)

            return handle

        return wrapped

    def content(exchange: Exchange) -> Response:
        told.append("content")
        return Response(200)

    def filters(name: str) -> Any:
        def apply(exchange: Exchange, response: Response) -> Response:
            told.append(name)
            return response

        return apply

    one = chain(
        "/", content, rewrite=check("rewrite"), checks=[check("1"), check("2")], wraps=[wrap("outer"), wrap("inner")],
        filters=[filters("3"), filters("4")],
    )  # fmt: skip
    ask([one])
    assert told == ["rewrite", "1", "2", "outer", "inner", "content", "3", "4"]


def test_a_check_that_answers_is_filtered() -> None:
    one = chain("/", checks=[lambda exchange: Response(204)], filters=[marks("x")])
    answer = Site([one]).handle(exchange())
    assert isinstance(answer, Response)
    assert (answer.status, answer.fields) == (204, (("Mark", "x"),))


def test_a_jump_is_answered_by_the_other_chain_and_its_filters() -> None:
    chains = [chain("/a", to("/b"), filters=[marks("a")]), chain("/b", filters=[marks("b")])]
    asked = exchange("/a?q")
    answer = Site(chains).handle(asked)
    assert isinstance(answer, Response)
    assert (answer.body, answer.fields) == (b"/b", (("Mark", "b"),))
    assert (asked.request.path.normal, asked.request.query, asked.request.target) == ("/b", "q", "/a?q")
    assert asked.chain is chains[1]


def test_a_jump_brings_a_query() -> None:
    asked = exchange("/a?q")
    Site([chain("/a", to("/b", "other")), chain("/b")]).handle(asked)
    assert asked.request.query == "other"


def test_a_jump_reaches_what_is_internal_and_named() -> None:
    assert ask([chain("/a", to("/b")), chain("/b", internal=True)], "/a") == (200, "/b")
    assert ask([chain("/a", lambda exchange: Jump("b")), chain("@b")], "/a") == (200, "@b")


def test_a_jump_chooses_among_conditions() -> None:
    chains = [chain("/a", to("/b")), chain("/b", says("post"), holds=lambda r: r.method == "POST"), chain("/b")]
    assert ask(chains, "/a") == (200, "/b")
    assert ask(chains, "/a", method="POST") == (200, "post")


def test_no_check_is_met_twice() -> None:
    """What two routes inherit is one function; what counts, counts once."""
    told: list[str] = []

    def shared(exchange: Exchange) -> None:
        told.append("shared")

    def own(exchange: Exchange) -> None:
        told.append("own")

    ask([chain("/a", to("/b"), checks=[shared]), chain("/b", checks=[shared, own])], "/a")
    assert told == ["shared", "own"]


def test_after_a_rewrite_everything_is_checked() -> None:
    told: list[str] = []

    def check(exchange: Exchange) -> None:
        told.append(exchange.request.path.normal)

    chains = [chain("/a", rewrite=to("/b", fresh=True), checks=[check]), chain("/b", checks=[check])]
    assert ask(chains, "/a") == (200, "/b")
    assert told == ["/b"]


@pytest.mark.parametrize(("jumps", "status"), [(ROUNDS - 1, 200), (ROUNDS, 200), (ROUNDS + 1, 500)])
def test_jumps_are_bounded(jumps: int, status: int, caplog: pytest.LogCaptureFixture) -> None:
    """nginx: NGX_HTTP_MAX_URI_CHANGES."""
    chains = [chain(f"= /{n}", to(f"/{n + 1}")) for n in range(jumps)]
    assert ask([*chains, chain(f"= /{jumps}", says("end"))], "/0")[0] == status
    assert ("more than 10 jumps" in caplog.text) is (status == 500)


def test_a_ring_ends(caplog: pytest.LogCaptureFixture) -> None:
    assert ask([chain("/", to("/"))]) == (500, "page 500")
    assert "the last to /" in caplog.text


# --- pages of errors --------------------------------------------------------------------------------------------------


def page_at(path: str, status: int = 0) -> Any:
    return lambda exchange, error: Jump(read_path(path), error=error, status=status)


def failing(error: EdgeError, **more: Any) -> list[Any]:
    """A route that fails, and its page."""
    return [chain("/a", raises(error), pages=page_at("/page", **more)), chain("/page", says("sorry"), internal=True)]


def test_an_error_page_has_the_errors_status_and_fields() -> None:
    """nginx: error_page keeps the status; RFC 9110 §15.5.2: a 401 has its challenge."""
    error = Refused("", 401, fields=(("WWW-Authenticate", "Basic"),))
    answer = Site(failing(error)).handle(exchange("/a"))
    assert isinstance(answer, Response)
    assert (answer.status, answer.body, answer.fields) == (401, b"sorry", (("WWW-Authenticate", "Basic"),))


def test_an_error_page_may_have_another_status() -> None:
    """nginx: error_page 404 =200 /x."""
    answer = Site(failing(ClientError("", 404, fields=(("Allow", "GET"),)), status=200)).handle(exchange("/a"))
    assert isinstance(answer, Response)
    assert (answer.status, answer.fields) == (200, ())


def test_the_status_is_there_before_the_filters() -> None:
    """B10: rules that are not `always` look at the status."""
    seen: list[int] = []

    def look(exchange: Exchange, response: Response) -> Response:
        seen.append(response.status)
        return response

    chains = failing(ClientError("", 404))
    chains[1] = chain("/page", filters=[look])
    Site(chains).handle(exchange("/a"))
    assert seen == [404]


def test_a_page_that_fails_gives_the_plain_page_of_the_first_error() -> None:
    """nginx: recursive_error_pages off."""
    chains = failing(ClientError("", 403))
    chains[1] = chain("/page", raises(ClientError("", 404)), pages=page_at("/page"))
    assert ask(chains, "/a") == (403, "page 403")


def test_the_check_that_refused_does_not_refuse_its_page() -> None:
    """Else nobody would ever see it."""

    def refuse(exchange: Exchange) -> None:
        raise Refused("", 403)

    chains = [chain("/", checks=[refuse], pages=page_at("/page")), chain("/page", says("sorry"), checks=[refuse])]
    assert ask(chains, "/x") == (403, "sorry")


def test_a_page_is_got_and_the_log_tells_what_was_sent() -> None:
    """nginx: error_page changes the method to GET; conditions were about something else."""
    asked = exchange("/a", method="POST", fields={"if-none-match": '"x"', "range": "bytes=0-1"})
    methods: list[str] = []

    def content(exchange: Exchange) -> Response:
        methods.append(exchange.request.method)
        assert exchange.request.fields == {"host": "a.test"}
        return Response(200)

    def log(exchange: Exchange) -> None:
        methods.append(exchange.request.method)

    chains = [
        chain("/a", raises(ClientError("", 404)), pages=page_at("/page"), ends=[log]),
        chain("/page", content, ends=[log]),
    ]
    Site(chains).handle(asked)
    asked.finish()
    assert methods == ["GET", "POST"]


def test_ends_that_a_check_added_stay_over_a_jump() -> None:
    told: list[str] = []

    def hold(exchange: Exchange) -> None:
        exchange.ends = (*exchange.ends, lambda exchange: told.append("released"))

    def log(name: str) -> Any:
        return lambda exchange: told.append(name)

    chains = [chain("/a", to("/b"), checks=[hold], ends=[log("a")]), chain("/b", ends=[log("b")])]
    asked = exchange("/a")
    Site(chains).handle(asked)
    asked.finish()
    assert told == ["b", "released"]


def test_an_application_call_as_a_page_gets_the_status_by_its_filters() -> None:
    """Its thread applies `exchange.chain.filters`."""
    chains = failing(ClientError("", 404))
    chains[1] = chain("/page", AppCall)
    asked = exchange("/a")
    assert isinstance(Site(chains).handle(asked), AppCall)
    (keep,) = asked.chain.filters
    assert keep(asked, Response(200)).status == 404


# --- what must wait ---------------------------------------------------------------------------------------------------


def later(answer: Answer | EdgeError) -> Any:
    async def wait() -> Any:
        await trio.lowlevel.checkpoint()
        if isinstance(answer, EdgeError):
            raise answer
        return answer

    return lambda exchange: wait()


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (later(Response(200, (), b"late")), (200, b"late", "a")),
        (later(ClientError("", 404)), (404, b"sorry", "page")),
        (later(Jump(read_path("/page"))), (200, b"sorry", "page")),
    ],
    ids=["a response", "an error", "a jump"],
)
async def test_a_late_answer_goes_the_same_road(content: Any, expected: tuple[int, bytes, str]) -> None:
    chains = [
        chain("/a", content, pages=page_at("/page"), filters=[marks("a")]),
        chain("/page", later(Response(200, (), b"sorry")), filters=[marks("page")]),
    ]
    answer = Site(chains).handle(exchange("/a"))
    assert isinstance(answer, Awaitable)
    response = await settled(answer)
    assert isinstance(response, Response)
    assert (response.status, response.body, dict(response.fields)["Mark"]) == expected


async def test_a_client_that_left_gets_no_page() -> None:
    answer = Site([chain("/", later(Disconnected()), pages=page_at("/"))]).handle(exchange("/"))
    with pytest.raises(Disconnected):
        await settled(answer)
