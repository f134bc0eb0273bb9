"""From a configuration to a plan: pure, and in the right order."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from edgestack.compose import Plan, Resources, compose
from edgestack.config.model import App, Config, Listener, Route, Server, Static
from edgestack.http.facts import Facts
from edgestack.http.messages import AppCall, Exchange, Request, Response
from edgestack.http.target import read_path


def exchange(target: str, method: str = "GET", facts: Facts | None = None, **fields: str) -> Exchange:
    raw, _, query = target.partition("?")
    named = {"host": "example.org:80", **{name.replace("_", "-"): value for name, value in fields.items()}}
    request = Request(
        method, target, "HTTP/1.1", list(named.items()), named, read_path(raw), query, named["host"], True
    )
    return Exchange(facts or Facts(), request, 1, 0.0)


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    start_response("200 OK", [])
    return [b"x"]


ONE, TWO = App("one:app"), App("two:app")


def door(plan: Plan, listener: Listener | None = None, **more: Any) -> Any:
    return plan.assemble(Resources({ONE: application, TWO: application}, **more))(listener or Listener())


@pytest.fixture
def site(tmp_path: Path) -> Path:
    (tmp_path / "page.txt").write_text("a page")
    (tmp_path / "404.html").write_text("our own page")
    (tmp_path / "folder").mkdir()
    return tmp_path


def test_composing_opens_and_imports_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Design §3: pure."""
    plan = compose(Config(routes=(Route(app=App("no_such_module:app")), Route("/x", Static(Path("/no/such/folder"))))))
    assert "no_such_module" not in sys.modules
    assert plan.applications == (App("no_such_module:app"),)


def test_routes_stand_longest_first_and_applications_once() -> None:
    routes = (Route("/", app=ONE), Route("/a/b", app=TWO), Route("/a", app=ONE))
    plan = compose(Config(routes=routes))
    assert sorted(app.target for app in plan.applications) == ["one:app", "two:app"]


def test_equal_configurations_make_equal_plans() -> None:
    """What outlives a reload is kept under equal sections."""
    assert compose(Config(routes=(Route(app=ONE),))) == compose(Config(routes=(Route(app=App("one:app")),)))


@pytest.mark.parametrize(
    ("method", "target", "kind"),
    [
        ("GET", "/page.txt", Response),
        ("HEAD", "/page.txt", Response),
        ("POST", "/page.txt", AppCall),
        ("GET", "/missing", AppCall),
        ("GET", "/folder", AppCall),
        ("GET", "/folder/", AppCall),
    ],
)
def test_file_first(site: Path, method: str, target: str, kind: type) -> None:
    """C9: with a site and an application together."""
    plan = compose(Config(routes=(Route(static=Static(site), app=ONE),)))
    assert isinstance(door(plan).handle(exchange(target, method)), kind)


def test_what_nobody_answers_gets_the_page_of_the_site(site: Path) -> None:
    plan = compose(Config(routes=(Route("/", Static(site)), Route("/api", app=ONE))))
    answer = door(plan).handle(exchange("/missing", accept="text/html"))
    assert (answer.status, answer.body) == (404, b"our own page")
    answer = door(plan).errors(exchange("/"), pytest.importorskip("edgestack.errors").ClientError("No.", 400))
    assert answer.status == 400


def test_nothing_configured() -> None:
    assert door(compose(Config())).handle(exchange("/")).status == 404


def test_the_ends_belong_to_every_road(site: Path) -> None:
    """A line for each request: of a route, of none, of a head that could not be read, of a redirect."""
    ends = (lambda exchange: None,)
    plan = compose(Config(routes=(Route("/api", app=ONE),)))
    for listener in (Listener(), Listener(redirect=True)):
        led = door(plan, listener, ends=ends)
        for target in ("/api/x", "/other"):
            asked = exchange(target)
            led.handle(asked)
            assert asked.ends == ends
        assert led.ends == ends


def test_a_listener_that_redirects() -> None:
    plan = compose(Config(routes=(Route(app=ONE),)))
    answer = door(plan, Listener(redirect=True, redirect_port=8443)).handle(exchange("/x?y"))
    assert (answer.status, answer.field("Location")) == (301, "https://example.org:8443/x?y")


def test_a_tls_listener_that_redirects_serves_those_who_speak_tls() -> None:
    """E9."""
    plan = compose(Config(routes=(Route(app=ONE),)))
    listener = Listener(tls=True, redirect_plain=True, redirect_port=8443)
    assert isinstance(door(plan, listener).handle(exchange("/")), AppCall)
    plain = plan.assemble_plain(Resources({}))
    assert plain(listener).handle(exchange("/")).status == 301
    answer = plain(Listener(tls=True)).handle(exchange("/"))
    assert answer.status == 400
    assert b"https://example.org" in answer.body


@pytest.mark.parametrize(
    ("trusted", "seen"), [((), "10.0.0.1"), (("10.0.0.0/8",), "192.0.2.7"), (("11.0.0.0/8",), "10.0.0.1")]
)
def test_forwarded_fields_of_trusted_proxies(trusted: tuple[str, ...], seen: str) -> None:
    """F3: the check stands before the content."""
    plan = compose(Config(Server(trusted_proxies=trusted), routes=(Route(app=ONE),)))
    asked = exchange("/", facts=Facts("10.0.0.1"), x_forwarded_for="192.0.2.7")
    door(plan).handle(asked)
    assert asked.facts.remote_addr == seen
