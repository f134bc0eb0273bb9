"""pre_request and post_request around an application: what they get, when, and that the answer stays as it was."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

from edgestack.content.file_wrapper import FileWrapper
from edgestack.process.hooks import Hooks, Worker

ENVIRON: dict[str, Any] = {
    "REQUEST_METHOD": "POST", "PATH_INFO": "/a", "QUERY_STRING": "b=c", "RAW_URI": "/a?b=c", "wsgi.url_scheme": "https",
    "SERVER_PROTOCOL": "HTTP/1.1", "REMOTE_ADDR": "192.0.2.1", "REMOTE_PORT": "5", "HTTP_X_PLAN": "gold",
    "CONTENT_TYPE": "text/plain", "CONTENT_LENGTH": "", "wsgi.file_wrapper": FileWrapper,
}  # fmt: skip


class Story:
    """Everything that happens, in order."""

    def __init__(self) -> None:
        self.told: list[Any] = []
        self.worker = Worker(1)
        self.hooks = Hooks({"pre_request": self.before, "post_request": self.after})

    def before(self, worker: Worker, request: Any) -> None:
        assert worker is self.worker
        self.told.append("before")
        self.request = request

    def after(self, worker: Worker, request: Any, environ: dict[str, Any], response: Any) -> None:
        assert request is self.request
        assert environ is ENVIRON
        self.told.append(("after", response.status, response.status_code, response.headers))

    def call(self, body: Callable[[], Iterable[bytes]]) -> Any:
        def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
            self.told.append("called")
            start_response("200 OK", [("X", "1")])
            return body()

        return self.hooks.around(app, self.worker)(ENVIRON, lambda *said: None)


AFTER = ("after", "200 OK", 200, [("X", "1")])


def test_what_a_request_says() -> None:
    story = Story()
    story.call(lambda: [b"x"])
    asked = story.request
    assert (asked.method, asked.path, asked.query, asked.uri, asked.scheme) == ("POST", "/a", "b=c", "/a?b=c", "https")
    assert (asked.version, asked.remote_addr) == ((1, 1), ("192.0.2.1", "5"))
    assert asked.headers == [("X-PLAN", "gold"), ("CONTENT-TYPE", "text/plain")]


def test_a_list_stays_a_list() -> None:
    """Its length becomes Content-Length; there is nothing left to wait for."""
    story = Story()
    body = [b"all of it"]
    assert story.call(lambda: body) is body
    assert story.told == ["before", "called", AFTER]


def test_a_stream_is_told_when_it_is_closed() -> None:
    story = Story()

    def pieces() -> Iterator[bytes]:
        try:
            yield b"one"
        finally:
            story.told.append("closed")

    result = story.call(pieces)
    assert next(iter(result)) == b"one"
    assert story.told == ["before", "called"]
    result.close()
    assert story.told == ["before", "called", "closed", AFTER]


def test_a_wrapped_file_stays_one(tmp_path: Any) -> None:
    """It takes the road of sendfile."""
    (tmp_path / "file").write_bytes(b"x")
    story = Story()
    file = (tmp_path / "file").open("rb")
    result = story.call(lambda: FileWrapper(file))
    assert type(result) is FileWrapper
    result.close()
    assert file.closed
    assert story.told == ["before", "called", AFTER]


def test_a_failure_is_told_too() -> None:
    story = Story()

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        raise KeyError("x")

    with pytest.raises(KeyError):
        story.hooks.around(app, story.worker)(ENVIRON, lambda *said: None)
    assert story.told == ["before", ("after", "", None, [])]


def test_what_a_hook_raises_is_logged_and_the_request_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    hooks = Hooks({"pre_request": lambda worker, request: 1 / 0})
    served = hooks.around(lambda environ, start_response: [b"x"], Worker(1))(ENVIRON, lambda *said: None)
    assert served == [b"x"]
    assert "the hook pre_request failed" in caplog.text


def test_without_them_the_application_itself_is_called() -> None:
    def app(environ: object, start_response: object) -> list[bytes]:
        return []

    assert Hooks({"post_fork": print}).around(app, Worker(1)) is app
