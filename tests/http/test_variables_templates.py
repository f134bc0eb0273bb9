"""Templates with nginx's variables, compiled once into functions over the Exchange (issue 3, "The file")."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgestack.http.facts import Facts
from edgestack.http.fields import fold
from edgestack.http.forwarding import TrustedProxies
from edgestack.http.messages import Exchange, Request
from edgestack.http.target import read_path
from edgestack.http.variables import (
    FAMILIES,
    MOMENTS,
    TIMED,
    VARIABLES,
    Constant,
    Scope,
    TemplateError,
    Variable,
    access_format,
    compile_pattern,
    compile_template,
    find_variable,
    map_read,
    variable_names,
)  # fmt: skip

NOON = 1795419296  # 2026-11-23 07:34:56 UTC
CERTIFICATE = {
    "subject": ((("countryName", "SE"),), (("organizationName", "Example, Inc"),), (("commonName", "alice"),)),
    "issuer": ((("commonName", "An Authority"),),),
    "serialNumber": "0A1B",
    "notBefore": "Jan  1 00:00:00 2026 GMT",
    "notAfter": "Jan  1 00:00:00 2027 GMT",
}


def exchange(target: str = "/a%20b/c?x=1&Y=2%20&x=3&empty=", **more: Any) -> Exchange:
    pairs = [("host", "Example.COM:8443"), ("x-plan", "gold"), ("cookie", "a=1; session=s 1 ;b=2"), ("accept", "é")]
    path, _, query = target.partition("?")
    path = "/" + path.partition("://")[2].partition("/")[2] if "://" in path else path
    request = Request("GET", target, "HTTP/1.1", pairs, fold(pairs), read_path(path), query, "Example.COM:8443", True)
    facts = Facts("192.0.2.7", 50000, "198.51.100.1", 8443, "https", "example.com", more.get("certificate"))
    made = Exchange(facts, request, 7, 100.0)
    made.status, made.bytes_out = 200, 612
    return made


def text(template: str, made: Exchange | None = None, moment: str = "request", **more: Any) -> str:
    scope = Scope(clock=lambda: 100.5, wall=lambda: NOON + 0.25, **more)
    return compile_template(template, moment, scope)(made or exchange())


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("", ""),
        ("plain 100% text", "plain 100% text"),
        ("$scheme://$host$request_uri", "https://example.com/a%20b/c?x=1&Y=2%20&x=3&empty="),
        ("${scheme}s", "httpss"),
        ("$$5 $${host} 100%", "$5 ${host} 100%"),
        ("$uri|$document_uri", "/a b/c|/a b/c"),
        ("$uri$is_args$args", "/a b/c?x=1&Y=2%20&x=3&empty="),
        ("$query_string", "x=1&Y=2%20&x=3&empty="),
        ("$arg_x $arg_y $arg_empty $arg_none $arg_xx", "1 2%20   "),
        ("$http_host $http_x_plan [$http_none]", "Example.COM:8443 gold []"),
        ("$cookie_a|$cookie_session|$cookie_b|$cookie_none|$cookie_ession", "1|s 1|2||"),
        ("$remote_addr:$remote_port $server_addr:$server_port", "192.0.2.7:50000 198.51.100.1:8443"),
        ("$request_method $server_protocol $https", "GET HTTP/1.1 on"),
        ("$request", "GET /a%20b/c?x=1&Y=2%20&x=3&empty= HTTP/1.1"),
        ("$proxy_add_x_forwarded_for $realip_remote_addr", "192.0.2.7 192.0.2.7"),
        ("$ssl_server_name $ssl_client_verify [$ssl_client_s_dn]", "example.com NONE []"),
        ("$msec $request_time", f"{NOON}.250 0.500"),
        ("[$content_type$content_length$remote_user]", "[]"),
        ("$server_name", "www.example.com"),
        ("$http_accept", "é"),
    ],
)
def test_values(template: str, expected: str) -> None:
    assert text(template, server_name="www.example.com") == expected


def test_the_request_id_is_the_exchange_s() -> None:
    made = exchange()
    assert text("$request_id", made) == made.request_id


def test_the_client_certificate() -> None:
    made = exchange(certificate=CERTIFICATE)
    assert text("$ssl_client_verify $ssl_client_serial", made) == "SUCCESS 0A1B"
    assert text("$ssl_client_s_dn; $ssl_client_i_dn", made) == r"CN=alice,O=Example\, Inc,C=SE; CN=An Authority"
    assert (
        text("$ssl_client_v_start / $ssl_client_v_end", made) == "Jan  1 00:00:00 2026 GMT / Jan  1 00:00:00 2027 GMT"
    )


@pytest.mark.parametrize(
    ("trusted", "expected"),
    [
        ((), "192.0.2.7"),  # what an untrusted client claims is discarded
        (("192.0.2.0/24",), "203.0.113.9, 192.0.2.7"),
        (("192.0.2.0/24", "203.0.113.9"), "198.18.0.1, 203.0.113.9, 192.0.2.7"),
    ],
)
def test_x_forwarded_for_has_only_what_is_believed(trusted: tuple[str, ...], expected: str) -> None:
    """B5: what an untrusted client sent is never passed on beside ours."""
    made = exchange()
    made.request.fields["x-forwarded-for"] = "198.18.0.1, 203.0.113.9"
    made.request.fields["x-forwarded-host"] = "Public.example:444"
    if trusted:
        made.facts = TrustedProxies(trusted).facts(made.facts, made.request.fields)
    assert text("$proxy_add_x_forwarded_for", made) == expected
    assert text("$host", made) == ("public.example" if trusted else "example.com")
    assert text("$realip_remote_addr", made) == "192.0.2.7"


@pytest.mark.parametrize(
    ("target", "expected"),
    [("http://other/x?y", "/x?y"), ("http://other/x", "/x"), ("/x?", "/x?"), ("*", "*"), ("//a?b?c", "//a?b?c")],
)
def test_the_request_uri_has_no_scheme_and_host(target: str, expected: str) -> None:
    """RFC 9112 §3.2.2; nginx's unparsed_uri."""
    made = exchange("/x" if target == "*" else target)
    made.request.target = target
    assert text("$request_uri", made) == expected


# --- what a regex caught ----------------------------------------------------------------------------------------------


def test_groups_of_the_route_s_regex() -> None:
    pattern = compile_pattern("^/(a b)/(?<rest>.)(x)?$")
    assert text("$1-$2-$rest-$3-${1}0-$10", pattern=pattern) == "a b-c-c--a b0-a b0"


def test_groups_are_searched_once_for_a_path() -> None:
    calls = []

    class Counting:
        groups, groupindex = 1, {"g": 1}

        def search(self, path: str) -> re.Match[str] | None:
            calls.append(path)
            return re.search("/(.)", path)

    scope = Scope(Counting())  # type: ignore[arg-type]
    one, two = compile_template("$1$g", scope=scope), compile_template("$1", scope=scope)
    made = exchange()
    assert (one(made), two(made), two(made)) == ("aa", "a", "a")
    assert calls == ["/a b/c"]
    assert one(exchange("/z")) == "zz"
    assert len(calls) == 2


def test_a_regex_that_does_not_fit_gives_nothing() -> None:
    assert text("[$1]", pattern=re.compile("^/other/(.)")) == "[]"


# --- uses -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("template", "target", "expected"),
    [
        ("/new$uri", "/a%20b", "/new/a%20b"),
        ("/new$uri", "/a%0D%0ASet-Cookie:x", "/new/a%0D%0ASet-Cookie:x"),
        ("/new$uri", "/caf%C3%A9/%FF%3F%23%25", "/new/caf%C3%A9/%FF%3F%23%25"),
        ("/new/$1?$args", "/x/y%0Az?q=%20", "/new/y%0Az?q=%20"),
        ("$request_uri", "/a%20b?c", "/a%20b?c"),
    ],
)
def test_what_was_decoded_is_encoded_again_in_a_url(template: str, target: str, expected: str) -> None:
    """RFC 3986 §2.1: a redirect made of $uri must not let a client write response fields."""
    scope = Scope(compile_pattern("(?s)^/x/(.*)$"))
    assert compile_template(template, scope=scope, use="url")(exchange(target)) == expected


@given(st.text(st.characters(max_codepoint=255), max_size=30))
def test_no_path_breaks_out_of_a_field(path: str) -> None:
    target = "/" + "".join(f"%{byte:02X}" for byte in path.encode("utf-8") if byte)
    value = compile_template("$uri $1", scope=Scope(re.compile("(?s)(.*)")), use="url")(
        exchange(target.replace("%2E", "a"))
    )
    assert value.isascii()
    assert value.isprintable()


def test_log_lines_are_escaped_and_have_a_dash_for_nothing() -> None:
    made = exchange('/"\\?x')
    formats = {"own": '$remote_addr "$request" $http_none "$http_accept" $status $body_bytes_sent $request_time'}
    line = access_format("own", lambda: 100.5, lambda: NOON, formats)(made)
    assert line == '192.0.2.7 "GET /\\x22\\x5C?x HTTP/1.1" - "\\xE9" 200 612 0.500\n'


@pytest.mark.parametrize("path", ["/%0A%1B[31m%C3%A9%E2%82%AC%FF", "/%22%5C"])
def test_nobody_forges_a_line_of_one_s_own_format(path: str) -> None:
    line = access_format("own", lambda: 0.0, lambda: 0.0, {"own": "$uri"})(exchange(path))
    assert line[:-1].isascii()
    assert line[:-1].isprintable()
    assert "\\xE2\\x82\\xAC" in line or "€" not in line


# --- the shape of the compiled function -------------------------------------------------------------------------------


def test_a_template_without_variables_is_constant() -> None:
    made = compile_template("a$$b")
    assert isinstance(made, Constant)
    assert made.text == made(exchange()) == "a$b"
    assert isinstance(compile_template("$server_name", scope=Scope(server_name="x")), Constant)


def test_one_variable_is_its_own_function() -> None:
    assert compile_template("$remote_addr") is VARIABLES["remote_addr"].read
    assert compile_template("${request_id}", use="url") is VARIABLES["request_id"].read


# --- errors -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("template", "span", "why", "hint"),
    [
        ("a $hots b", (2, 7), "there is no variable `$hots`", "did you mean `$host`?"),
        ("${reqest_uri}", (0, 13), "there is no variable `$reqest_uri`", "did you mean `$request_uri`?"),
        ("$htp_accept", (0, 11), "there is no variable `$htp_accept`", "did you mean `$http_accept`?"),
        (
            "$binary_remote_addr",
            (0, 19),
            "there is no variable `$binary_remote_addr`",
            "`$remote_addr` does the same here",
        ),
        ("$zzz", (0, 4), "there is no variable `$zzz`", ""),
        ("$http_", (0, 6), "there is no variable `$http_`", ""),
        ("$status", (0, 7), "`$status` is known only when the whole answer has been sent, which is too late here", ""),
        ("5 $", (2, 3), "no name follows this `$`", "write `$$` for a dollar sign"),
        ("$-", (0, 1), "no name follows this `$`", "write `$$` for a dollar sign"),
        ("${host", (0, 1), "a brace is missing", "for instance `${host}`"),
        ("${}", (0, 1), "a brace is missing", "for instance `${host}`"),
        ("$1", (0, 2), "`$1` is what a regex caught, and there is no regex with groups here", ""),
        ("$bytes_snt", (0, 10), "there is no variable `$bytes_snt`", "did you mean `$bytes_sent`?"),
    ],
)
def test_errors(template: str, span: tuple[int, int], why: str, hint: str) -> None:
    with pytest.raises(TemplateError) as caught:
        compile_template(template)
    assert (caught.value.why, caught.value.span) == (why, span)
    assert caught.value.hint == hint or hint == ""


def test_a_group_that_the_regex_does_not_have() -> None:
    with pytest.raises(TemplateError, match="there is no group 3: the regex has 2"):
        compile_template("$3", scope=Scope(re.compile("(a)(b)")))


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_variable_can_be_used_from_its_moment_on(moment: str) -> None:
    for name, variable in VARIABLES.items():
        if MOMENTS.index(variable.moment) <= MOMENTS.index(moment):
            assert isinstance(compile_template(f"${name}", moment)(exchange()), str)
        else:
            with pytest.raises(TemplateError):
                compile_template(f"${name}", moment)


def test_names() -> None:
    scope = Scope(re.compile("(?P<word>a)"), {"tier": Variable("request", lambda exchange: "x")})
    names = variable_names(scope)
    assert {"host", "time_local", "server_name", "word", "tier"} <= set(names)
    assert "1" not in names
    for name in {*VARIABLES, *TIMED, "word", "1", "tier"}:
        assert find_variable(name, scope) is not None
    for prefix, (_, _, moment) in FAMILIES.items():
        found = find_variable(prefix + "x", scope)
        assert found is not None
        assert found.moment == moment
        assert find_variable(prefix, scope) is None


# --- maps -------------------------------------------------------------------------------------------------------------

TABLE = [
    ("Gold", "exact"), ("*.example.com", "ending"), ("*.a.example.com", "longer ending"), ("www.*", "beginning"),
    ("~ ^v\\d+$", "first regex"), ("~* ^V", "second regex"), ("~ .", "anything"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("gold", "exact"), ("GOLD", "exact"), ("x.example.com", "ending"), ("x.a.Example.com", "longer ending"),
        ("example.com", "anything"), ("www.else", "beginning"), ("www.example.com", "ending"), ("v12", "first regex"),
        ("vx", "second regex"), ("other", "anything"), ("", "none"),
    ],
)  # fmt: skip
def test_maps(value: str, expected: str) -> None:
    """ngx_http_map_module: the value itself, then the longest `*.x`, then the longest `x.*`, then regexes in order."""
    assert map_read(Constant(value), TABLE, "none")(exchange()) == expected


def test_a_map_is_a_variable_and_may_look_at_another() -> None:
    plan = Variable("request", map_read(compile_template("$http_x_plan"), [("gold", "10")], "1"), certain=True)
    limit = map_read(compile_template("$plan", scope=Scope(maps={"plan": plan})), [("10", "many")], "few")
    scope = Scope(maps={"plan": plan, "limit": Variable("request", limit)})
    assert compile_template("$plan $limit", scope=scope)(exchange()) == "10 many"


def test_a_regex_that_later_pythons_read_otherwise_is_refused() -> None:
    with pytest.raises(re.error, match="possible nested set"):
        compile_pattern("[[a]")
