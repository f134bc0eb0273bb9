"""The rules that a site and a route share, and the small sections that they are made of. Pure data, each key said once.

What a site says holds for its routes, unless they say something of their own (`inheriting.py` has how each is merged).
"""

from __future__ import annotations

from pathlib import Path

from edgestack.config.coding import Compress
from edgestack.config.field_kinds import CACHE_CONTROL, FIELD_TEXT
from edgestack.config.host_kinds import NETWORK
from edgestack.config.http_kinds import (
    COPIED_FIELD,
    FIELD_NAME,
    MAP_NAME,
    PAGE,
    PATH,
    REQUEST_FIELD,
    STATUSES,
    Template,
)  # fmt: skip
from edgestack.config.keys import key, section
from edgestack.config.kinds import DURATION, FLOW, RATE, SIZE, SWITCH, TEXT, WHOLE, Choice, Literal, Whole
from edgestack.config.nested_kinds import As, Either, OneOrMany, Pairs, Table
from edgestack.config.place_kinds import PASSWORDS
from edgestack.config.values import Rate

__all__ = ["AuthRequest", "BasicAuth", "CacheRule", "HeaderRules", "Limit", "RouteTimeouts", "Rules"]

PRESETS = ("security-headers", "spa", "immutable-assets", "cors")
"""What they stand for is in `presets.py`."""


@section("a header rule")
class HeaderRules:
    """What is done to the fields of an answer, in this order: remove, set, add."""

    set: tuple[tuple[str, str], ...] = key(
        Pairs("a table of fields", FIELD_NAME, Template("upstream", "url")),
        "Fields that the answer has, with these values, whatever it had.", default=(), shown="none",
        example='{ X-Served-By = "$server_name" }', nginx="add_header",
    )  # fmt: skip
    add: tuple[tuple[str, str], ...] = key(
        Pairs("a table of fields", FIELD_NAME, Template("upstream", "url")),
        "Fields that are added to those that the answer has.", default=(), shown="none",
        example='{ Link = "</style.css>; rel=preload" }', nginx="add_header",
    )  # fmt: skip
    remove: tuple[str, ...] = key(
        OneOrMany(FIELD_NAME, "a field name, or an array of them"), "Fields that the answer loses.", default=(),
        shown="none", example='["X-Powered-By"]', nginx="proxy_hide_header",
    )  # fmt: skip
    always: bool = key(
        SWITCH, "Errors too; else only 200 201 204 206 301 302 303 304 307 308.", default=False, example="true",
        nginx="add_header … always",
    )  # fmt: skip
    replace: bool = key(
        SWITCH, "In place of the site's rules, not after them.", default=False, example="true", nginx="add_header"
    )


@section("a cache rule")
class CacheRule:
    """A Cache-Control, and the answers that get it; of several rules the first that fits."""

    value: str = key(
        CACHE_CONTROL, "The field's value.", example='"no-cache"', nginx="expires, add_header Cache-Control"
    )
    path: str = key(
        TEXT,
        "For paths that this glob fits; `*` stands for anything.",
        default="",
        shown="any path",
        example='"*.html"',
    )
    type: str = key(
        TEXT, "For answers of this media type; `text/*` for a whole family.", default="", shown="any type",
        example='"text/html"',
    )  # fmt: skip
    hashed: bool = key(
        SWITCH, "For names that bear a hash of their content, such as app.3f9a1c2b.js.", default=False, example="true"
    )


@section("basic_auth")
class BasicAuth:
    """A password is asked for (RFC 7617)."""

    file: Path = key(
        PASSWORDS, "Names and hashes: made by `edgestack hash-password`, or by htpasswd.", example='"users.htpasswd"',
        nginx="auth_basic_user_file",
    )  # fmt: skip
    realm: str = key(
        FIELD_TEXT, "What the browser shows.", default="Restricted", example='"Staff only"', nginx="auth_basic"
    )


@section("auth_request")
class AuthRequest:
    """A path of this site that is asked whether a request may pass."""

    path: str = key(PATH, "The path, with a query or without.", example='"/auth"', nginx="auth_request")
    set: tuple[tuple[str, str], ...] = key(
        Pairs("a table of fields", MAP_NAME, REQUEST_FIELD),
        "Variables that take a field of its answer, `$user` for instance: for contents, fields and log lines.",
        default=(), shown="none", example='{ user = "X-User" }', nginx="auth_request_set",
    )  # fmt: skip
    copy: tuple[str, ...] = key(
        OneOrMany(COPIED_FIELD, "a field name, or an array of them"),
        "Fields of its answer that the request bears from then on; what the client sent under these names is dropped.",
        default=(), shown="none", example='["X-User"]', nginx="auth_request_set, proxy_set_header",
    )  # fmt: skip


@section("a limit")
class Limit:
    """How much one client may ask for; beyond it 429 with Retry-After."""

    rate: Rate | None = key(
        RATE,
        "Requests in a time: `10/s`, `600/m`.",
        default=None,
        shown="none",
        example='"10/s"',
        nginx="limit_req_zone",
    )
    burst: int = key(WHOLE, "How many more may come at once.", default=0, example="20", nginx="limit_req … burst=")
    delay: int = key(
        WHOLE, "How many of the burst pass at once; the others wait until the rate allows them.", default=0,
        shown="0: all of the burst waits", example="5", nginx="limit_req … delay=, nodelay",
    )  # fmt: skip
    by: str = key(
        Template("request"), "What counts as one client: a template.", default="$remote_addr",
        example='"$http_x_api_key"', nginx="limit_req_zone, limit_conn_zone",
    )  # fmt: skip
    connections: int | None = key(
        Whole(1), "Requests of one client that are answered at the same time.", default=None, shown="no limit",
        example="10", nginx="limit_conn",
    )  # fmt: skip
    body: int | None = key(
        SIZE, "The largest request body; beyond it 413.", default=None, shown="as `server.max_body`", example='"10MB"',
        nginx="client_max_body_size",
    )  # fmt: skip
    bandwidth: int | None = key(
        FLOW, "Bytes a second of one answer.", default=None, shown="no limit", example='"1MB/s"', nginx="limit_rate"
    )
    zone: str = ""
    """Where it was written: routes that inherit it count together, and a reload keeps its counters under this name."""


@section("timeouts")
class RouteTimeouts:
    """Where a route's are not the server's."""

    body_gap: float | None = key(
        DURATION, "Between two pieces of a request's body.", default=None, shown="as `server.timeouts.body_gap`",
        example='"5m"', nginx="client_body_timeout",
    )  # fmt: skip
    send_gap: float | None = key(
        DURATION, "Between two pieces of an answer that the client accepts.", default=None,
        shown="as `server.timeouts.send_gap`", example='"5m"', nginx="send_timeout",
    )  # fmt: skip


@section("a rule", kw_only=True)
class Rules:
    """What a site and a route may both say."""

    preset: tuple[str, ...] = key(
        OneOrMany(Choice(*PRESETS), f"{Choice(*PRESETS).words}, or an array of them"),
        "Well-known sets of rules in one word each; what is said beside them holds before them.",
        default=(), shown="none", example='"security-headers"',
    )  # fmt: skip
    headers: tuple[HeaderRules, ...] = key(
        OneOrMany(Table(HeaderRules)), "What is done to the fields of answers. A route's rules come after its site's.",
        default=(), shown="none", example='{ set = { X-Frame-Options = "DENY" }, remove = ["X-Powered-By"] }',
        nginx="add_header",
    )  # fmt: skip
    cache_control: tuple[CacheRule, ...] = key(
        OneOrMany(
            Either(As(CACHE_CONTROL, lambda value: CacheRule(value)), Table(CacheRule)),
            "a Cache-Control, or an array of cache rules",
        ),
        "The Cache-Control of answers; or rules by path, media type or hashed name, of which the first that fits "
        "holds.",
        default=(), shown="none", example='"public, max-age=3600"', nginx="expires",
    )  # fmt: skip
    allow: tuple[str, ...] = key(
        OneOrMany(NETWORK, "a network, or an array of networks"),
        "Who may ask; everybody else is refused with 403. The narrowest network of `allow` and `deny` decides.",
        default=(), shown="everybody", example='["10.0.0.0/8"]', nginx="allow",
    )  # fmt: skip
    deny: tuple[str, ...] = key(
        OneOrMany(NETWORK, "a network, or an array of networks"), "Who is refused with 403; `all` for everybody.",
        default=(), shown="nobody", example='["192.0.2.0/24"]', nginx="deny",
    )  # fmt: skip
    basic_auth: BasicAuth | None = key(
        Either(
            As(PASSWORDS, lambda file: BasicAuth(file)), Table(BasicAuth), Literal(False, None),
            words="a password file, a table, or false",
        ),
        "A password is asked for; checked on a thread and remembered for a minute. `false` undoes the site's.",
        default=None, shown="none", example='"users.htpasswd"', nginx="auth_basic",
    )  # fmt: skip
    auth_request: AuthRequest | None = key(
        Either(
            As(PATH, lambda path: AuthRequest(path)), Table(AuthRequest), Literal(False, None),
            words="a path, a table, or false",
        ),
        "A path of this site that is asked first: 2xx lets the request pass, 401 and 403 are given on. `false` undoes "
        "the site's.",
        default=None, shown="none", example='"/auth"', nginx="auth_request",
    )  # fmt: skip
    limit: tuple[Limit, ...] = key(
        OneOrMany(Table(Limit)), "How much one client may ask for.", default=(), shown="none",
        example='{ rate = "10/s", burst = 20 }', nginx="limit_req, limit_conn, limit_rate",
    )  # fmt: skip
    errors: tuple[tuple[tuple[int, ...], str], ...] = key(
        Pairs("a table of statuses and paths", STATUSES, PAGE),
        "Pages for errors: a path of this site, a named route, or a URL. What an application answers itself is its "
        "own, whatever its status; one that fails has the page for 500.",
        default=(), shown="404.html and 50x.html of "
        "the folder, where they are there", example='{ "502 504" = "/sorry.html" }', nginx="error_page",
    )  # fmt: skip
    """Pairs of statuses and where they lead; 4 and 5 stand for the whole class, and a status of its own goes before."""
    timeouts: RouteTimeouts = key(
        Table(RouteTimeouts), "Where they are not the server's.", default=RouteTimeouts(), shown="the server's",
        example='{ send_gap = "5m" }',
    )  # fmt: skip
    compress: Compress = key(
        Either(
            As(Choice("on", "off"), lambda word: Compress(off=word == "off")), Table(Compress),
            words='"on", "off", or a table',
        ),
        "Whether text is sent compressed to clients that take it, and how.", default=Compress(), shown='"on"',
        example='"off"', nginx="gzip",
    )  # fmt: skip
    inflate: bool = key(
        SWITCH,
        "Whether bodies of requests that come compressed (gzip, br, zstd) are passed on as they were before; beyond "
        "the largest body, or a hundred times their size, 413.", default=False, example="true", nginx="gunzip",
    )  # fmt: skip
    log: str = key(
        TEXT, "The form of its lines in the access log: `combined`, `json`, one of `[log_formats]`, or `off`.",
        default="", shown="as `server.log_format`", example='"off"', nginx="access_log",
    )  # fmt: skip
