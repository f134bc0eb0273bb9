"""The environ of a WSGI call: criteria F1 to F4 and F13 (PEP 3333, RFC 3875)."""

from __future__ import annotations

import io
import os
import tempfile
from typing import Any

import pytest
from wsgi_kit import FakeBody, call, get

from edgestack.content.app_streams import LONGEST_LINE, ErrorStream
from edgestack.content.environ import BLOCKS_KEPT, NAMES_KEPT, PLACES_KEPT, Environs
from edgestack.errors import ClientError
from edgestack.http.facts import Facts
from edgestack.http.forwarding import TrustedProxies
from edgestack.http.messages import Exchange


def environ_of(exchange: Exchange, prefix: str = "", **options: Any) -> dict[str, Any]:
    seen: dict[str, Any] = {}

    def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        seen.update(environ)
        start_response("204 No Content", [])
        return []

    call(application, exchange, prefix=prefix, **options)
    return seen


@pytest.mark.parametrize(
    ("prefix", "target", "script_name", "path_info"),
    [
        pytest.param("", "/", "", "/", id="F1 root"),
        pytest.param("/", "/a", "", "/a", id="F1 root as a slash"),
        pytest.param("", "/a%20b", "", "/a b", id="F1 decoded"),
        pytest.param("", "/a%2520b", "", "/a%20b", id="F1 decoded once"),
        pytest.param("", "/caf%C3%A9", "", "/caf\xc3\xa9", id="F1 latin-1-decoded bytes"),
        pytest.param("", "/a//b/", "", "/a//b/", id="F1 slashes kept"),
        pytest.param("", "/a/../b/./c", "", "/b/c", id="F1 dots resolved"),
        pytest.param("/api", "/api", "/api", "", id="F1 the mount itself"),
        pytest.param("/api", "/api/", "/api", "/", id="F1 the mount with a slash"),
        pytest.param("/api/", "/api/x", "/api", "/x", id="F1 a prefix with a slash"),
        pytest.param("/api", "/api/x/y", "/api", "/x/y", id="F1 below the mount"),
        pytest.param("/é", "/%C3%A9/x", "/\xc3\xa9", "/x", id="F1 a prefix that is not ASCII"),
        pytest.param("", "*", "", "/", id="F1 OPTIONS *, validator wants a path"),
        pytest.param("/api", "*", "/api", "", id="F1 OPTIONS * below a prefix"),
    ],
)
def test_script_name_and_path_info(prefix: str, target: str, script_name: str, path_info: str) -> None:
    environ = environ_of(get(target, "OPTIONS"), prefix)
    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == (script_name, path_info)
    assert environ["REQUEST_URI"] == environ["RAW_URI"] == target


@pytest.mark.parametrize("target", ["/apix", "/ap", "/x/api", "//api/x"])
def test_the_prefix_is_matched_on_segments(target: str) -> None:
    """F1: what the router would not have sent here is refused, and never cut in the middle of a segment."""
    with pytest.raises(ClientError) as caught:
        call(lambda environ, start_response: [], get(target), prefix="/api")
    assert caught.value.status == 400


@pytest.mark.parametrize(
    ("target", "query"),
    [
        ("/", ""),
        ("/?", ""),
        ("/?a=b&c=%20", "a=b&c=%20"),
        ("/?a?b", "a?b"),
        ("http://example.org/x?y", "y"),
    ],
)
def test_query_string_is_always_there(target: str, query: str) -> None:
    """F1: QUERY_STRING as sent, "" without one; RAW_URI byte for byte."""
    environ = environ_of(get(target))
    assert environ["QUERY_STRING"] == query
    assert environ["RAW_URI"] == target


def test_what_cgi_and_pep_3333_ask_for() -> None:
    """F1, F13."""
    environ = environ_of(get("/x", "POST", version="HTTP/1.0"))
    assert type(environ) is dict
    assert environ["REQUEST_METHOD"] == "POST"
    assert environ["SERVER_PROTOCOL"] == "HTTP/1.0"
    assert environ["SERVER_NAME"] == "127.0.0.1"
    assert environ["SERVER_PORT"] == "8443"
    assert environ["REMOTE_ADDR"] == "127.0.0.1"
    assert environ["REMOTE_PORT"] == "50000"
    assert environ["SERVER_SOFTWARE"].startswith("edgestack")
    assert environ["GATEWAY_INTERFACE"] == "CGI/1.1"
    assert environ["wsgi.version"] == (1, 0)
    assert environ["wsgi.url_scheme"] == "https"
    assert environ["wsgi.run_once"] is False
    assert environ["wsgi.input_terminated"] is True
    assert environ["edgestack.request_id"] == get().request_id
    assert "HTTP_X_REQUEST_ID" not in environ
    assert "CONTENT_TYPE" not in environ
    assert "CONTENT_LENGTH" not in environ
    assert all(type(value) is str for name, value in environ.items() if name.isupper())


def test_the_environment_of_the_process_is_not_copied_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """F1."""
    monkeypatch.setenv("EDGESTACK_SECRET", "x")
    assert not set(os.environ) & set(environ_of(get())) - {"SERVER_SOFTWARE"}


def test_environs_are_not_shared_between_requests() -> None:
    """F1: an application may write into its environ."""
    environs = Environs()
    first = environs.make(get(), None, io.StringIO())  # type: ignore[arg-type]
    first["wsgi.url_scheme"] = "gopher"
    first["x"] = 1
    second = environs.make(get(), None, io.StringIO())  # type: ignore[arg-type]
    assert second["wsgi.url_scheme"] == "https"
    assert "x" not in second


@pytest.mark.parametrize(
    ("local", "port", "scheme", "name", "port_text"),
    [
        ("192.0.2.1", 80, "http", "192.0.2.1", "80"),
        ("::1", 8443, "https", "[::1]", "8443"),
        ("/run/edge.sock", 0, "http", "localhost", "80"),
        ("/run/edge.sock", 0, "https", "localhost", "443"),
        ("", 0, "http", "localhost", "80"),
    ],
)
def test_server_name_and_port(local: str, port: int, scheme: str, name: str, port_text: str) -> None:
    """F1: SERVER_PORT is str; RFC 3875 §4.1.14 puts IPv6 in brackets; a unix socket has neither."""
    environ = environ_of(get(facts=Facts("unix:", 0, local, port, scheme)))
    assert (environ["SERVER_NAME"], environ["SERVER_PORT"]) == (name, port_text)


@pytest.mark.parametrize(
    ("field", "variable"),
    [
        pytest.param("user-agent", "HTTP_USER_AGENT", id="F2 ordinary"),
        pytest.param("x-request-id", "HTTP_X_REQUEST_ID", id="F2 the client's own id"),
        pytest.param("cookie", "HTTP_COOKIE", id="F2 folded by the wire"),
        pytest.param("content-type", "CONTENT_TYPE", id="F2 without HTTP_"),
        pytest.param("content-length", "CONTENT_LENGTH", id="F2 length without HTTP_"),
        pytest.param("proxy", None, id="F2 httpoxy"),
        pytest.param("x_forwarded-proto", None, id="F2 underscore"),
        pytest.param("content_length", None, id="F2 underscore beside the real one"),
        pytest.param("transfer-encoding", None, id="F4 the body is here whole"),
        pytest.param("forwarded", None, id="F3 Forwarded of nobody trusted"),
        pytest.param("x-forwarded-for", None, id="F3 X-Forwarded-For of nobody trusted"),
        pytest.param("x-forwarded-anything", None, id="F3 all of the family"),
        pytest.param("x-real-ip", None, id="F3 X-Real-IP"),
    ],
)
def test_fields_become_variables(field: str, variable: str | None) -> None:
    environ = environ_of(get(fields={field: "12"}))
    found = {name for name, value in environ.items() if value == "12"}
    assert found == ({variable} if variable else set())
    assert "" not in environ


def test_forwarded_fields_can_be_kept() -> None:
    """F3: `keep_forwarded` passes them on as sent."""
    environ = environ_of(get(fields={"x-forwarded-for": "forged"}), keep_forwarded=True)
    assert environ["HTTP_X_FORWARDED_FOR"] == "forged"


def test_the_table_of_variables_is_bounded() -> None:
    """F2: a flood of names costs no memory; each still gets its variable."""
    environs = Environs()
    for start in range(0, NAMES_KEPT + 1, 64):
        fields = {f"x-{number}": "v" for number in range(start, start + 64)}
        environ = environs.make(get(fields=fields), None, io.StringIO())  # type: ignore[arg-type]
        assert environ[f"HTTP_X_{start + 63}"] == "v"
    assert len(environs._variables) == NAMES_KEPT


def test_the_table_of_places_is_bounded() -> None:
    """F1: odd proxies may name many ports; each request still gets its own."""
    environs = Environs()
    for port in range(1, PLACES_KEPT + 2):
        exchange = get(facts=Facts(local_port=port))
        assert environs.make(exchange, None, io.StringIO())["SERVER_PORT"] == str(port)  # type: ignore[arg-type]
    assert len(environs._templates) == 1


def test_an_absolute_target_names_the_host() -> None:
    """F1, E3: RFC 9112 §3.2.2."""
    environ = environ_of(get("http://real.example/x", host="real.example", fields={"host": "other"}))
    assert environ["HTTP_HOST"] == "real.example"


def test_http_1_0_without_a_host() -> None:
    """F1: no HTTP_HOST; SERVER_NAME stands in."""
    exchange = get(version="HTTP/1.0", host="")
    del exchange.request.fields["host"]
    assert "HTTP_HOST" not in environ_of(exchange)


def test_what_trusted_proxies_say_beside_kept_fields() -> None:
    """F3: with `keep_forwarded` the fields are as sent, and the facts are still the proxies'."""
    exchange = get(facts=Facts("10.0.0.1"), fields={"x-forwarded-for": "forged, 203.0.113.9"})
    exchange.facts = TrustedProxies(("10.0.0.0/8",)).facts(exchange.facts, exchange.request.fields)
    environ = environ_of(exchange, keep_forwarded=True)
    assert environ["REMOTE_ADDR"] == "203.0.113.9"
    assert environ["HTTP_X_FORWARDED_FOR"] == "forged, 203.0.113.9"
    assert environ["HTTP_HOST"] == "example.org"


def test_what_trusted_proxies_say() -> None:
    """F3: address, scheme, host and port are the client's; of the fields only what proxies wrote is left."""
    exchange = get(
        facts=Facts("10.0.0.1", 5, "10.0.0.9", 8080, "http"),
        fields={
            "host": "inner:8080",
            "x-forwarded-for": "forged, 203.0.113.9",
            "x-forwarded-proto": "http, https",
            "x-forwarded-host": "www.example.org",
            "x-forwarded-under_score": "x",
            "x-real-ip": "forged",
            "forwarded": "for=forged",
        },
    )
    exchange.facts = TrustedProxies(("10.0.0.0/8",)).facts(exchange.facts, exchange.request.fields)
    environ = environ_of(exchange)
    assert environ["REMOTE_ADDR"] == "203.0.113.9"
    assert environ["wsgi.url_scheme"] == "https"
    assert environ["HTTP_HOST"] == "www.example.org"
    assert environ["SERVER_PORT"] == "443"
    assert environ["HTTP_X_FORWARDED_FOR"] == "203.0.113.9"
    assert environ["HTTP_X_FORWARDED_PROTO"] == "https"
    assert environ["HTTP_X_REAL_IP"] == "203.0.113.9"
    assert "HTTP_FORWARDED" not in environ
    assert "HTTP_X_FORWARDED_UNDER_SCORE" not in environ


# --- wsgi.input -------------------------------------------------------------------------------------------------------

TEXT = b"first\nsecond\r\n\nlast without end"

READINGS: list[tuple[str, Any, Any]] = [
    ("read all", lambda stream: stream.read(), TEXT),
    ("read(-1)", lambda stream: stream.read(-1), TEXT),
    ("read(None)", lambda stream: stream.read(None), TEXT),
    ("read(0)", lambda stream: stream.read(0), b""),
    ("read some", lambda stream: [stream.read(4), stream.read(4)], [TEXT[:4], TEXT[4:8]]),
    ("read n-1", lambda stream: [stream.read(len(TEXT) - 1), stream.read(5)], [TEXT[:-1], TEXT[-1:]]),
    ("read n", lambda stream: [stream.read(len(TEXT)), stream.read(5)], [TEXT, b""]),
    ("read n+1", lambda stream: [stream.read(len(TEXT) + 1), stream.read(5)], [TEXT, b""]),
    (
        "extra reads",
        lambda stream: [stream.read(), stream.read(), stream.read(1), stream.readline()],
        [TEXT, b"", b"", b""],
    ),
    ("readline", lambda stream: [stream.readline(), stream.readline()], [b"first\n", b"second\r\n"]),
    ("readline(size)", lambda stream: [stream.readline(3), stream.readline(9)], [b"fir", b"st\n"]),
    ("readline at the end", lambda stream: [stream.readline() for _ in range(5)][3:], [b"last without end", b""]),
    ("readlines", lambda stream: stream.readlines(), TEXT.splitlines(keepends=True)),
    ("readlines(hint)", lambda stream: stream.readlines(3), [b"first\n"]),
    ("iteration", lambda stream: list(stream), TEXT.splitlines(keepends=True)),
    ("iteration goes on", lambda stream: [next(iter(stream)), stream.read(6)], [b"first\n", b"second"]),
]


@pytest.mark.parametrize("announced", [True, False], ids=["length", "chunked"])
@pytest.mark.parametrize("spool", ["memory", "file"])
@pytest.mark.parametrize(("reading", "expected"), [pytest.param(r, e, id=f"F4 {name}") for name, r, e in READINGS])
def test_reading_the_body(reading: Any, expected: Any, spool: str, announced: bool) -> None:
    """F4, from memory and from a file, and for chunked bodies too."""
    seen = []
    body = FakeBody(TEXT, announced=announced)
    if spool == "file":
        body.file = tempfile.SpooledTemporaryFile(max_size=4)  # noqa: SIM115 - closed by the call
        body.file.write(TEXT)
        body.file.seek(0)

    def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        assert environ["CONTENT_LENGTH"] == str(len(TEXT))
        assert "HTTP_TRANSFER_ENCODING" not in environ
        seen.append(reading(environ["wsgi.input"]))
        start_response("200 OK", [])
        return [b""]

    fields = {} if announced else {"transfer-encoding": "chunked"}
    assert call(application, get(method="POST", body=body, fields=fields)).status == 200
    assert seen == [expected]
    assert body.file.closed


@pytest.mark.parametrize(
    ("reading", "expected"),
    [
        (lambda stream: stream.read(), b""),
        (lambda stream: stream.read(10), b""),
        (lambda stream: stream.readline(10), b""),
        (lambda stream: stream.readlines(10), []),
        (list, []),
    ],
)
def test_no_body_reads_as_nothing(reading: Any, expected: Any) -> None:
    """F4."""
    assert reading(environ_of(get())["wsgi.input"]) == expected


def test_the_spool_is_not_the_applications_to_close() -> None:
    """F4: PEP 3333 gives wsgi.input no close()."""
    assert not hasattr(environ_of(get(body=b"x"))["wsgi.input"], "close")


# --- wsgi.errors and the flags ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("flag", ["multithread", "multiprocess"])
@pytest.mark.parametrize("value", [True, False])
def test_the_flags_tell_the_truth(flag: str, value: bool) -> None:
    """F13."""
    assert environ_of(get(), **{flag: value})[f"wsgi.{flag}"] is value


def test_errors_is_a_text_stream_to_the_error_log() -> None:
    """F13: line by line, under the request's id; pieces are joined until the line ends, or the request."""

    def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        errors = environ["wsgi.errors"]
        print("one", 2, file=errors)
        errors.writelines(["th", "ree\nfo"])
        errors.flush()
        errors.write("ur\n")
        with pytest.raises(TypeError):
            errors.write(b"bytes")
        assert errors.write("the end") == 7
        start_response("200 OK", [])
        return [b"x"]

    told = call(application)
    prefix = told.exchange.request_id + ": "
    assert told.log.splitlines() == [prefix + line for line in ("one 2", "three", "four", "the end")]


@pytest.mark.parametrize("by", [1, 1000, 10**6])
def test_a_line_without_an_end_is_bounded(by: int) -> None:
    """F13: what waits for its end is no more than a line may be, however it comes."""
    longest, held = LONGEST_LINE, []

    def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        errors, text = environ["wsgi.errors"], "x" * (2 * longest + 1)
        for at in range(0, len(text), by):
            errors.write(text[at : at + by])
            held.append(len(errors.begun))
        errors.write("\n" + "y" * longest + "\n\n")
        start_response("200 OK", [])
        return [b"x"]

    told = call(application)
    assert max(held) <= longest
    prefix = told.exchange.request_id + ": "
    expected = ["x" * longest, "x" * longest, "x", "y" * longest, ""]
    assert told.log.split("\n") == [prefix + line for line in expected]


def test_what_was_written_before_a_failure_stands_before_its_traceback() -> None:
    """F13."""

    def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        environ.pop("wsgi.errors").write("last words")
        raise ValueError("then it died")

    log = call(application).log
    assert log.index("last words") < log.index("then it died")


def test_fields_that_came_together_before() -> None:
    """F2: requests whose fields are the same but for the cookie share the variables made of them, and nothing else."""
    environs, block = Environs(), object()

    def made_of(cookie: str | None, method: str) -> dict[str, Any]:
        fields = {"host": "a.example", "x-one": "1", "under_score": "dropped"}
        if cookie is not None:
            fields["cookie"] = cookie
        asked = get(method=method, fields=fields)
        asked.request.block = block
        made = environs.make(asked, None, ErrorStream(asked))
        made["HTTP_X_ONE"] += " changed by the application"
        made["app.own"] = True
        return made

    first, none, second = made_of("mine", "GET"), made_of(None, "HEAD"), made_of("theirs", "POST")
    assert [made.get("HTTP_COOKIE") for made in (first, none, second)] == ["mine", None, "theirs"]
    assert [made["REQUEST_METHOD"] for made in (first, none, second)] == ["GET", "HEAD", "POST"]
    assert {made["HTTP_X_ONE"] for made in (first, none, second)} == {"1 changed by the application"}
    assert "HTTP_UNDER_SCORE" not in second
    assert "" not in second


def test_the_shared_variables_are_bounded() -> None:
    """F2: a flood of new fields costs no memory beyond the bound."""
    environs = Environs()
    for number in range(3 * BLOCKS_KEPT):
        asked = get(fields={"host": f"h{number}.example"})
        asked.request.block = object()
        assert environs.make(asked, None, ErrorStream(asked))["HTTP_HOST"] == f"h{number}.example"
    assert len(environs._known) <= BLOCKS_KEPT
