"""An environ that another library made becomes the one that the application would see at the edge."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from edgestack.hosting.order import Order
from edgestack.hosting.restored import Restored
from edgestack.http.facts import Facts
from edgestack.http.forwarding import ForwardedFacts
from edgestack.http.hop import told
from edgestack.http.messages import Exchange, Request
from edgestack.http.target import read_path

FACTS = Facts("192.0.2.1", 4711, "::1", 8443, "https")


def seen(target: str, mount: str = "", facts: Facts = FACTS, **more: str) -> tuple[str, dict[str, Any]]:
    """Status and environ of a request that came over the socket with this target."""
    statuses: list[str] = []
    found: dict[str, Any] = {}

    def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        found.update(environ)
        start_response("200 OK", [])
        return []

    request = Request("GET", target, "HTTP/1.1", [], {}, read_path("/"), "", "h", True)
    environ = {
        "REQUEST_METHOD": "GET", "RAW_URI": target, "PATH_INFO": "wrong", "REMOTE_ADDR": "unix",
        "wsgi.url_scheme": "http", "HTTP_X_SCHEME": "x",
        "HTTP_X_EDGESTACK_HOP": told(Exchange(facts, request, 7, 0.0), mount), **more,
    }  # fmt: skip
    restored = Restored(application, Order("gevent", "a:b", "", -1, -1, "", "ids", multiprocess=True))

    def start_response(status: str, headers: list[tuple[str, str]]) -> Any:
        statuses.append(status)
        return lambda data: None

    restored(environ, start_response)
    return statuses[0], found


@pytest.mark.parametrize(
    ("target", "mount", "script_name", "path_info", "query"),
    [
        ("/a/b?c=d", "", "", "/a/b", "c=d"),
        ("/api/a%20b", "/api", "/api", "/a b", ""),
        ("/api", "/api", "/api", "", ""),
        ("/api/x/../y//z", "/api", "/api", "/y//z", ""),
        ("/caf%C3%A9/x", "/café", "/caf\xc3\xa9", "/x", ""),
    ],
)
def test_paths(target: str, mount: str, script_name: str, path_info: str, query: str) -> None:
    status, environ = seen(target, mount)
    assert status == "200 OK"
    names = ("SCRIPT_NAME", "PATH_INFO", "QUERY_STRING", "REQUEST_URI")
    assert tuple(environ[name] for name in names) == (script_name, path_info, query, target)


def test_facts() -> None:
    _, environ = seen("/", HTTP_X_EDGESTACK_TARGET="/as/asked")
    assert (environ["REMOTE_ADDR"], environ["REMOTE_PORT"]) == ("192.0.2.1", "4711")
    assert (environ["SERVER_NAME"], environ["SERVER_PORT"]) == ("[::1]", "8443")
    assert (environ["wsgi.url_scheme"], environ["wsgi.multiprocess"]) == ("https", True)
    assert (environ["REQUEST_URI"], environ["edgestack.request_id"]) == ("/as/asked", "ids00000007")
    assert not [name for name in environ if "EDGESTACK_" in name or name == "HTTP_X_SCHEME"]


def test_what_trusted_proxies_told() -> None:
    facts = ForwardedFacts(FACTS, "198.51.100.1", 1, "http", "shop", 80)
    facts.told = {"x-forwarded-for": "198.51.100.1"}
    assert seen("/", facts=facts)[1]["HTTP_X_FORWARDED_FOR"] == "198.51.100.1"


@pytest.mark.parametrize(
    ("target", "mount", "more"),
    [("/apix", "/api", {}), ("/%zz", "", {}), ("/", "", {"HTTP_X_EDGESTACK_HOP": ""})],
    ids=["outside the mount", "no path", "not from the edge"],
)
def test_what_is_refused(target: str, mount: str, more: dict[str, str]) -> None:
    assert seen(target, mount, **more) == ("400 Bad Request", {})
