"""How an error becomes an answer: the form the client likes, the site's own pages, and never a secret."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from edgestack.errors import AppError, ClientError, EdgeError, Refused, UpstreamError
from edgestack.http.facts import Facts
from edgestack.http.messages import Exchange, Request, Response
from edgestack.phases.error_pages import PAGE_LIMIT, ErrorPages

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"
ORDINARY = ClientError("There is nothing at this address.", 404)


def exchange(accept: str | None = BROWSER, remote: str = "127.0.0.1") -> Exchange:
    fields = {} if accept is None else {"accept": accept}
    path: Any = None  # an error's answer does not depend on the path
    request = Request("GET", "/x?y", "HTTP/1.1", list(fields.items()), fields, path, "y", "localhost", True)
    return Exchange(Facts(remote_addr=remote), request, 7, 0.0)


def body(response: Response) -> bytes:
    assert type(response.body) is bytes
    assert response.length == len(response.body)
    return response.body


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        pytest.param(BROWSER, "text/html; charset=utf-8", id="browser"),
        pytest.param("text/html;q=0.5, application/json;q=0.4", "text/html; charset=utf-8", id="html preferred"),
        pytest.param("TEXT/HTML", "text/html; charset=utf-8", id="types are case-insensitive, RFC 9110 §8.3.1"),
        pytest.param("application/json", "application/json", id="json"),
        pytest.param("application/json, text/plain, */*", "application/json", id="a script's usual Accept"),
        pytest.param("text/html;q=0.3, application/json", "application/json", id="json preferred"),
        pytest.param("*/*", "text/plain; charset=utf-8", id="curl"),
        pytest.param(None, "text/plain; charset=utf-8", id="no Accept"),
        pytest.param("text/plain", "text/plain; charset=utf-8", id="plain"),
        pytest.param("image/png", "text/plain; charset=utf-8", id="nothing of ours"),
        pytest.param("text/html;q=0, */*", "text/plain; charset=utf-8", id="html excluded, RFC 9110 §12.4.2"),
        pytest.param(";;;=,,", "text/plain; charset=utf-8", id="nonsense"),
    ],
)
def test_the_form_follows_accept(accept: str | None, kind: str) -> None:
    """RFC 9110 §12.5.1."""
    response = ErrorPages()(exchange(accept), ORDINARY)
    assert response.status == 404
    assert response.field("content-type") == kind
    assert response.field("vary") == "Accept"
    assert response.field("x-content-type-options") == "nosniff"
    assert exchange().request_id.encode() in body(response)


@pytest.mark.parametrize("accept", [BROWSER, "application/json", "*/*"])
def test_b11_an_upstream_s_address_is_for_developers_on_this_machine(accept: str) -> None:
    """Development mode and loopback, both; without them neither address nor reason leave (B11)."""
    error = UpstreamError("The server behind this one cannot be reached.", detail="10.0.0.5:81: connecting: refused")
    assert b"10.0.0.5:81" in body(ErrorPages(dev=True)(exchange(accept), error))
    for pages, remote in ((ErrorPages(dev=True), "192.0.2.7"), (ErrorPages(), "127.0.0.1")):
        told = body(pages(exchange(accept, remote), error))
        assert b"cannot be reached" in told
        assert b"10.0.0.5" not in told
        assert b"refused" not in told


def test_json_has_three_keys() -> None:
    answer = ErrorPages()(exchange("application/json"), Refused("Too many.", 429))
    assert json.loads(body(answer)) == {"status": 429, "error": "Too many.", "request_id": exchange().request_id}


def test_an_error_without_a_sentence_gets_a_kind_one() -> None:
    assert b"There is nothing at this address." in body(ErrorPages()(exchange(), ClientError(status=404)))


def test_fields_that_the_status_demands_are_kept() -> None:
    """C6: 405 with Allow; RFC 9110 §10.2.3: Retry-After."""
    assert (
        ErrorPages()(exchange(), ClientError("", 405, fields=(("Allow", "GET, HEAD"),))).field("allow") == "GET, HEAD"
    )
    assert ErrorPages()(exchange(), Refused("", 503, retry_after=3)).field("retry-after") == "3"


@pytest.mark.parametrize(
    ("status", "cache"), [(400, None), (404, None), (499, None), (500, "no-store"), (504, "no-store")]
)
def test_failures_of_the_server_are_never_stored(status: int, cache: str | None) -> None:
    assert ErrorPages()(exchange(), EdgeError("", status)).field("cache-control") == cache


def test_a_field_of_the_error_is_not_doubled() -> None:
    answer = ErrorPages()(exchange(), EdgeError("", 500, fields=(("cache-control", "private"),)))
    assert [value for name, value in answer.fields if name.lower() == "cache-control"] == ["private"]


@pytest.mark.parametrize("accept", [BROWSER, "application/json", "*/*"])
@pytest.mark.parametrize("dev", [False, True])
def test_details_are_for_the_log_only(accept: str, dev: bool) -> None:
    """F11."""
    error = AppError("The application failed.", detail="password=hunter2")
    assert b"hunter2" not in body(ErrorPages(dev=dev)(exchange(accept), error))


def test_a_request_too_broken_to_be_read_is_answered(tmp_path: Path) -> None:
    broken = exchange()
    broken.request = None  # type: ignore[assignment]
    answer = ErrorPages(tmp_path, dev=True)(broken, ClientError("Bare line feed in the head.", 400))
    assert answer.status == 400
    assert body(answer).startswith(b"400 Bad Request\nBare line feed in the head.")


class TestDevelopment:
    """F11: a traceback is shown in development mode, and to clients on this machine alone."""

    @staticmethod
    def failed() -> AppError:
        error = AppError("The application failed.")
        error.traceback_text = "Traceback (most recent call last):\n<frame>\nKeyError: 'x'\n"  # type: ignore[attr-defined]
        return error

    @pytest.mark.parametrize("remote", ["127.0.0.1", "127.8.9.1", "::1", "::ffff:127.0.0.1"])
    @pytest.mark.parametrize("accept", [BROWSER, "application/json", "*/*"])
    def test_shown_on_loopback(self, remote: str, accept: str) -> None:
        answer = ErrorPages(dev=True)(exchange(accept, remote), self.failed())
        assert answer.status == 500
        assert b"KeyError" in body(answer)
        assert answer.field("cache-control") == "no-store"

    @pytest.mark.parametrize("remote", ["192.0.2.1", "2001:db8::1", "::ffff:192.0.2.1", "fe80::1%eth0", "unix:", ""])
    def test_not_shown_elsewhere(self, remote: str) -> None:
        assert b"KeyError" not in body(ErrorPages(dev=True)(exchange(BROWSER, remote), self.failed()))

    def test_not_shown_without_dev(self) -> None:
        assert b"KeyError" not in body(ErrorPages()(exchange(), self.failed()))

    def test_escaped_in_html(self) -> None:
        shown = body(ErrorPages(dev=True)(exchange(), self.failed()))
        assert b"&lt;frame&gt;" in shown
        assert b"GET /x?y" in shown

    def test_preferred_to_the_sites_own_page(self, tmp_path: Path) -> None:
        (tmp_path / "50x.html").write_text("ours")
        assert b"KeyError" in body(ErrorPages(tmp_path, dev=True)(exchange(), self.failed()))


class TestOwnPages:
    """404.html and 50x.html of the site."""

    @pytest.fixture
    def site(self, tmp_path: Path) -> Path:
        (tmp_path / "404.html").write_text("<p>our 404")
        (tmp_path / "50x.html").write_text("<p>our 50x")
        return tmp_path

    @pytest.mark.parametrize(
        ("error", "own"),
        [
            (ClientError("", 404), b"<p>our 404"),
            (ClientError("", 403), None),
            (AppError(), b"<p>our 50x"),
            (UpstreamError(), b"<p>our 50x"),
            (Refused("", 503), b"<p>our 50x"),
            (UpstreamError("", 504), b"<p>our 50x"),
        ],
    )
    def test_used_for_their_status(self, site: Path, error: EdgeError, own: bytes | None) -> None:
        answer = ErrorPages(site)(exchange(), error)
        assert answer.status == error.status
        assert (body(answer) == own) is (own is not None)
        assert answer.field("content-type") == "text/html; charset=utf-8"

    @pytest.mark.parametrize(
        ("accept", "used"),
        [("*/*", True), (None, True), ("text/*", True), ("application/json", False), ("text/plain", False)],
    )
    def test_used_wherever_html_is_acceptable(self, site: Path, accept: str | None, used: bool) -> None:
        assert (body(ErrorPages(site)(exchange(accept), ORDINARY)) == b"<p>our 404") is used

    def test_a_change_is_seen(self, site: Path) -> None:
        """C14: looked at by stat at each use."""
        pages = ErrorPages(site)
        assert body(pages(exchange(), ORDINARY)) == b"<p>our 404"
        (site / "404.html").write_text("<p>our newer 404")
        assert body(pages(exchange(), ORDINARY)) == b"<p>our newer 404"
        (site / "404.html").unlink()
        assert b"Not Found" in body(pages(exchange(), ORDINARY))
        (site / "404.html").write_text("<p>back again")
        assert body(pages(exchange(), ORDINARY)) == b"<p>back again"

    def test_an_unchanged_page_is_read_once(self, site: Path) -> None:
        pages = ErrorPages(site)
        assert pages(exchange(), ORDINARY).body is pages(exchange(), ORDINARY).body

    @pytest.mark.parametrize(("size", "used"), [(PAGE_LIMIT - 1, True), (PAGE_LIMIT, True), (PAGE_LIMIT + 1, False)])
    def test_a_page_has_a_limit(self, site: Path, size: int, used: bool) -> None:
        (site / "404.html").write_bytes(b"x" * size)
        assert (len(body(ErrorPages(site)(exchange(), ORDINARY))) == size) is used

    def test_a_folder_or_a_fifo_is_no_page(self, site: Path) -> None:
        (site / "404.html").unlink()
        (site / "404.html").mkdir()
        (site / "50x.html").unlink()
        os.mkfifo(site / "50x.html")
        pages = ErrorPages(site)
        assert b"Not Found" in body(pages(exchange(), ORDINARY))
        assert b"Internal Server Error" in body(pages(exchange(), AppError()))

    def test_a_site_that_is_not_there_is_no_trouble(self, tmp_path: Path) -> None:
        assert b"Not Found" in body(ErrorPages(tmp_path / "gone")(exchange(), ORDINARY))
