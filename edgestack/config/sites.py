"""Sites, and what stands beside them: maps and tests. Pure data, each key said once."""

from __future__ import annotations

from dataclasses import field
from typing import Any

from edgestack.config.field_kinds import HSTS
from edgestack.config.host_kinds import HOST, TRUSTED
from edgestack.config.http_kinds import FIELD_CONDITION, REQUEST, REQUEST_FIELD, STATUS, Template
from edgestack.config.keys import key, section
from edgestack.config.kinds import SWITCH, TEXT, Choice
from edgestack.config.matching import Condition
from edgestack.config.nested_kinds import OneOrMany, Pairs, Table, Tables
from edgestack.config.positions import Origin
from edgestack.config.routes import Route
from edgestack.config.rules import Rules

__all__ = ["Answered", "Expect", "MapTable", "Site", "Test"]


@section("a site", first=("hosts", "default", "route", "canonical", "hsts"))
class Site(Rules):
    """The routes of some hosts. An unknown Host gets the default site, or 421 where there is none."""

    hosts: tuple[str, ...] = key(
        OneOrMany(HOST, "a host, or an array of hosts"), "Its names; `*.example.com` for all below one.", default=(),
        shown="every host", example='["example.com", "*.example.com"]', nginx="server_name",
    )  # fmt: skip
    default: bool = key(
        SWITCH, "Whether it gets the requests for unknown hosts.", default=False, example="true",
        nginx="listen … default_server", shown="true without `hosts`",
    )  # fmt: skip
    routes: Any = key(
        Tables(Route),
        "Its routes, each written `[[site.route]]`.",
        name="route",
        default=(),
        shown="none",
        nginx="location",
    )
    """A tuple of Route."""
    canonical: str = key(
        Choice("apex", "www"), "`apex` redirects www.example.com to example.com, `www` the other way.", default="",
        shown="neither", example='"apex"', nginx="return 301",
    )  # fmt: skip
    hsts: str = key(
        HSTS, "Browsers are told to use HTTPS only: `true` for a year, a duration, `subdomains`, `preload`.",
        default="", shown="false", example="true", nginx="add_header Strict-Transport-Security",
    )  # fmt: skip
    moved: tuple[tuple[str, str], ...] = field(default=(), kw_only=True)
    """Hosts whose every request is redirected to another one, as `canonical` has it."""
    origin: Origin | None = field(default=None, compare=False, repr=False, kw_only=True)
    """Where it is written."""


@section("a map", scoped=True)
class MapTable:
    """A variable whose value is looked up by another's."""

    from_: str = key(
        Template("response"), "What is looked up: a template. The map is known as soon as all that it names.",
        example='"$http_x_plan"', nginx="map",
    )  # fmt: skip
    to: tuple[tuple[str, str], ...] = key(
        Pairs("a table of texts", TEXT, TEXT),
        "Values and what they give; `*.example.com`, `www.example.*`, `~ regex` and `~* regex` may stand for many.",
        example='{ gold = "100", "~ ^silver" = "10" }', nginx="map",
    )  # fmt: skip
    default: str = key(
        TEXT, "What everything else gives.", default="", shown="nothing", example='"1"', nginx="map … default"
    )


@section("expect")
class Expect:
    """What must come; everything that is said must hold."""

    status: int | None = key(STATUS, "The status.", default=None, shown="any", example="200")
    site: str = key(HOST, "The site: one of its hosts.", default="", shown="any", example='"example.com"')
    route: str = key(TEXT, "The route: its match, as it is written.", default="", shown="any", example='"/static/"')
    header: tuple[tuple[str, Condition], ...] = key(
        Pairs("a table of fields", REQUEST_FIELD, FIELD_CONDITION),
        "Fields of the answer: a text, `true`, `false`, or `~ regex`.", default=(), shown="any",
        example='{ Content-Type = "~ ^text/html" }',
    )  # fmt: skip
    body: str = key(TEXT, "Text that the body has in it.", default="", shown="any", example='"Welcome"')


@section("an upstream's answer")
class Answered:
    """What a test takes for the answer of the server that a route leads to."""

    status: int = key(STATUS, "Its status.", default=200, example="503")
    header: tuple[tuple[str, str], ...] = key(
        Pairs("a table of fields", REQUEST_FIELD, TEXT), "Its fields.", default=(), shown="none",
        example='{ Location = "http://backend/login" }',
    )  # fmt: skip
    body: str = key(TEXT, "Its body.", default="", shown="nothing", example='"hello"')


@section("a test")
class Test:
    """A request that `edgestack check` makes in memory, and what must come."""

    request: tuple[str, str] = key(
        REQUEST, "Method and URL; a path alone goes to the default site.", example='"GET https://example.com/x"'
    )
    expect: Expect = key(Table(Expect), "What must come.", example="{ status = 200 }")
    header: tuple[tuple[str, str], ...] = key(
        Pairs("a table of fields", REQUEST_FIELD, TEXT), "Fields of the request.", default=(), shown="none",
        example='{ Accept = "text/html" }',
    )  # fmt: skip
    from_: str = key(TRUSTED, "The client's address.", default="127.0.0.1", example='"192.0.2.7"')
    upstream: Answered | None = key(
        Table(Answered), "What the upstream of a proxied route is taken to answer; no test asks one.", default=None,
        shown="502: nobody is asked", example='{ status = 200, body = "hello" }',
    )  # fmt: skip
    origin: Origin | None = field(default=None, compare=False, repr=False)
    """Where it is written."""
