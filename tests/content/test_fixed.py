"""Answers known before anybody asks: the redirect to https, and the constant one."""

from __future__ import annotations

from typing import Any

import pytest

from edgestack.content.fixed import Redirect, Respond
from edgestack.errors import ClientError
from edgestack.http.facts import Facts
from edgestack.http.messages import Exchange, Request


def exchange(target: str = "/", host: str = "example.org", method: str = "GET") -> Exchange:
    path: Any = None  # these handlers look at the target as sent, never at its decoded path
    return Exchange(Facts(), Request(method, target, "HTTP/1.1", [], {}, path, "", host, True), 1, 0.0)


@pytest.mark.parametrize(
    ("host", "port", "expected"),
    [
        pytest.param("example.org", 443, "https://example.org/", id="default port left out"),
        pytest.param("example.org:80", 443, "https://example.org/", id="the port that was asked is dropped"),
        pytest.param("example.org:8080", 8443, "https://example.org:8443/", id="port replaced"),
        pytest.param("localhost", 8443, "https://localhost:8443/", id="port added"),
        pytest.param("[::1]", 8443, "https://[::1]:8443/", id="IPv6, RFC 3986 §3.2.2"),
        pytest.param("[2001:db8::1]:8080", 443, "https://[2001:db8::1]/", id="IPv6 with port"),
    ],
)
def test_the_host_is_kept_and_the_port_replaced(host: str, port: int, expected: str) -> None:
    assert Redirect("https", port)(exchange(host=host)).field("location") == expected


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        pytest.param("/a%2Fb//c?x=%20&y", "/a%2Fb//c?x=%20&y", id="byte for byte"),
        pytest.param("//evil.example/", "//evil.example/", id="two slashes stay a path"),
        pytest.param("http://example.org/a?b", "/a?b", id="absolute form, RFC 9112 §3.2.2"),
        pytest.param("http://example.org", "/", id="absolute form without a path"),
        pytest.param("http://example.org?a/b", "/?a/b", id="absolute form, query only"),
        pytest.param("*", "/", id="asterisk form, RFC 9112 §3.2.4"),
    ],
)
def test_the_target_is_kept(target: str, expected: str) -> None:
    assert Redirect()(exchange(target)).field("location") == "https://example.org" + expected


@pytest.mark.parametrize(("method", "status"), [("GET", 301), ("HEAD", 301), ("POST", 308), ("PUT", 308), ("get", 308)])
def test_methods_that_carry_a_body_are_told_to_keep_it(method: str, status: int) -> None:
    """RFC 9110 §15.4.9; methods are case-sensitive (§9.1)."""
    assert Redirect()(exchange(method=method)).status == status


def test_a_redirect_is_not_remembered_for_ever() -> None:
    assert Redirect()(exchange()).field("cache-control") == "max-age=3600"


def test_a_request_without_a_host_cannot_be_redirected() -> None:
    with pytest.raises(ClientError) as caught:
        Redirect()(exchange(host=""))
    assert caught.value.status == 400


def test_it_redirects_the_other_way_too() -> None:
    assert Redirect("http", 80)(exchange(host="a:8443")).field("location") == "http://a/"


def test_a_fixed_answer_is_the_same_for_all() -> None:
    handler = Respond(410, (("Content-Type", "text/plain"),), b"gone\n")
    response = handler(exchange("/a"))
    assert (response.status, response.body, response.length) == (410, b"gone\n", 5)
    assert response.field("content-type") == "text/plain"
    assert handler(exchange("/b", method="POST")) is response
