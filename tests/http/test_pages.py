"""The pages the server makes itself: right phrases, whole documents, nothing unescaped, nothing from elsewhere."""

from __future__ import annotations

from html.parser import HTMLParser
from http import HTTPStatus

import pytest

from edgestack.http.pages import ADVICE, REASONS, STYLE, advice, error_page, page, reason, traceback_page

REQUEST_ID = "0123456789abcdef0123456789abcdef"


@pytest.mark.parametrize(
    ("status", "phrase"),
    [
        pytest.param(413, "Content Too Large", id="RFC 9110 §15.5.14"),
        pytest.param(414, "URI Too Long", id="RFC 9110 §15.5.15"),
        pytest.param(416, "Range Not Satisfiable", id="RFC 9110 §15.5.17"),
        pytest.param(421, "Misdirected Request", id="RFC 9110 §15.5.20"),
        pytest.param(422, "Unprocessable Content", id="RFC 9110 §15.5.21"),
        pytest.param(425, "Too Early", id="RFC 8470 §5.2"),
        pytest.param(426, "Upgrade Required", id="RFC 9110 §15.5.22"),
        pytest.param(428, "Precondition Required", id="RFC 6585 §3"),
        pytest.param(429, "Too Many Requests", id="RFC 6585 §4"),
        pytest.param(431, "Request Header Fields Too Large", id="RFC 6585 §5"),
        pytest.param(451, "Unavailable For Legal Reasons", id="RFC 7725 §3"),
        pytest.param(505, "HTTP Version Not Supported", id="RFC 9110 §15.6.6"),
    ],
)
def test_reason_phrases_are_rfc_9110s(status: int, phrase: str) -> None:
    assert REASONS[status] == phrase == reason(status)


def test_every_status_the_standard_library_knows_has_a_phrase() -> None:
    assert {status.value for status in HTTPStatus} <= REASONS.keys()


@pytest.mark.parametrize(("status", "phrase"), [(299, "OK"), (477, "Bad Request"), (599, "Internal Server Error")])
def test_an_unregistered_status_is_treated_as_its_class(status: int, phrase: str) -> None:
    """RFC 9110 §15."""
    assert reason(status) == phrase


def test_a_status_without_advice_gets_its_classes() -> None:
    assert advice(418) == ADVICE[400]
    assert advice(599) == ADVICE[500]


def test_all_advice_is_two_whole_sentences() -> None:
    for happened, remedy in ADVICE.values():
        assert happened.endswith(".")
        assert remedy.endswith(".")


def test_the_style_is_small_and_needs_nothing_from_elsewhere() -> None:
    assert len(STYLE.encode()) < 2048
    assert "url(" not in STYLE
    assert "@import" not in STYLE
    assert "prefers-color-scheme:dark" in STYLE
    assert STYLE.count("{") == STYLE.count("}")


class Outline(HTMLParser):
    """The text of a page, and the tags it is made of; fails on a tag that closes nothing."""

    def __init__(self, document: bytes) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.text = ""
        self.feed(document.decode("utf-8"))
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_an_error_page_says_what_happened_what_to_do_and_where_to_find_it() -> None:
    seen = Outline(error_page(404, "There is no such recipe.", REQUEST_ID))
    for part in ("404", "Not Found", "There is no such recipe.", ADVICE[404][1], REQUEST_ID):
        assert part in seen.text
    assert seen.tags.isdisjoint({"script", "img", "link", "iframe"})


def test_what_is_not_there_leads_to_the_front_page() -> None:
    assert b'<a href="/">the front page</a>' in error_page(404, "", REQUEST_ID)
    assert b"<a " not in error_page(403, "not the front page", REQUEST_ID)


def test_an_error_page_without_a_sentence_has_the_usual_one() -> None:
    assert ADVICE[503][0] in Outline(error_page(503, "", "")).text


def test_what_comes_from_elsewhere_is_escaped() -> None:
    evil = "<script>alert(1)</script>&"
    for document in (
        error_page(400, evil, evil),
        traceback_page(500, evil, f"Traceback\nError: {evil}", evil),
        page(evil, "<p>mine</p>"),
    ):
        seen = Outline(document)
        assert "script" not in seen.tags
        assert evil in seen.text


def test_text_that_no_encoding_takes_is_shown_escaped() -> None:
    assert rb"caf\udce9" in page("caf\udce9", "")


def test_a_traceback_page_leads_with_the_exception() -> None:
    """F11: development mode shows the traceback."""
    text = "Traceback (most recent call last):\n  File \"app.py\", line 3, in app\nKeyError: 'name'\n"
    seen = Outline(traceback_page(500, "GET /x?y=1", text, REQUEST_ID))
    assert seen.text.count("KeyError: 'name'") == 3  # title, heading, and in its place
    assert text.strip() in seen.text
    assert "GET /x?y=1" in seen.text
    assert "no longer" in Outline(traceback_page(500, "GET /", text, REQUEST_ID, "It is no longer <b>so</b>.")).text


def test_a_traceback_page_of_nothing_is_still_a_page() -> None:
    assert "Internal Server Error" in Outline(traceback_page(500, "", "", "")).text
