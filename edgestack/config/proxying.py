"""`proxy`: another server answers. Its keys have nginx's words and, but for what is said here, nginx's defaults.

Other than in nginx: connections to upstreams are kept alive (B7), X-Forwarded-* are sent (B5), and the certificate of
an https upstream is verified (B18).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgestack.config.http_kinds import FIELD_NAME, Template
from edgestack.config.keys import key, section
from edgestack.config.kinds import DURATION, DURATION_OR_0, SWITCH, TEXT, Choice, Kind, Literal, Whole
from edgestack.config.nested_kinds import Either, OneOrMany, Pairs
from edgestack.config.place_kinds import FILE
from edgestack.config.proxy_targets import Target, parse_target
from edgestack.errors import ConfigError
from edgestack.http.fields import is_token

if TYPE_CHECKING:
    from edgestack.config.reading import Spot

__all__ = ["NEXT_UPSTREAM", "PROXY_TARGET", "Proxy"]

NEXT_UPSTREAM = (
    "error", "timeout", "invalid_header", "http_500", "http_502", "http_503", "http_504", "http_403", "http_404",
    "http_429", "non_idempotent", "off",
)  # fmt: skip
"""nginx's `proxy_next_upstream`; `updating` belongs to its cache."""

FRAMING_FIELDS = frozenset(("connection", "content-length", "expect", "keep-alive", "te", "trailer",
                            "transfer-encoding", "upgrade"))  # fmt: skip
"""Request fields that the proxy writes itself."""


class TargetKind(Template):
    """Where a proxy leads; with variables it is taken apart at each request."""

    words = "a URL"

    def __init__(self) -> None:
        super().__init__("request", "url")

    def read(self, value: Any, spot: Spot) -> str:
        """The text, when it is a target."""
        if "$" in value:
            super().read(value, spot)
            if not value.startswith(("http://", "https://", "$")):
                parse_target(value)
            return str(value)
        parse_target(value)
        return str(value)

    def any_text(self) -> bool:
        """Only URLs are right."""
        return False


class SentFieldName(Kind):
    """The name of a field that is sent upstream."""

    words = "a field name"

    def read(self, value: Any, spot: Spot) -> str:
        """A token that the proxy does not write itself."""
        if not is_token(value):
            raise ConfigError(f"{value!r} is not the name of a field")
        if value.lower() in FRAMING_FIELDS:
            hint = "upgrades and kept connections need no rule" if value.lower() in ("connection", "upgrade") else ""
            raise ConfigError(f"{value} is written by the proxy itself, so a rule for it would do nothing", hint=hint)
        return str(value)


PROXY_TARGET = TargetKind()
SENT_FIELD = SentFieldName()


@section("a proxy")
class Proxy:
    """Another server answers: an address, or a group of them that `[upstream.NAME]` describes."""

    to: str = key(
        PROXY_TARGET,
        "Where to: `http://NAME`, `https://host:port`, `http://unix:/path.sock:/uri/`. With a URI, even `/`, it takes "
        "the place of the route's prefix; without one the target is passed on byte for byte.",
        example='"http://backend/"', nginx="proxy_pass",
    )  # fmt: skip
    set_headers: tuple[tuple[str, str], ...] = key(
        Pairs("a table of fields", SENT_FIELD, Template("request", "url")),
        'Fields of the request that is sent, in place of the client\'s; `""` removes one. Host is the upstream\'s own '
        "unless it is set here.",
        default=(), shown="Host, X-Forwarded-For, X-Forwarded-Proto and X-Forwarded-Host",
        example='{ Host = "$host" }', nginx="proxy_set_header",
    )  # fmt: skip
    pass_headers: tuple[str, ...] = key(
        OneOrMany(FIELD_NAME, "a field name, or an array of them"),
        "Fields of the answer that are passed on although they are hidden by default: X-Pad, X-Accel-….",
        default=(), shown="none", example='["X-Accel-Expires"]', nginx="proxy_pass_header",
    )  # fmt: skip
    hide_headers: tuple[str, ...] = key(
        OneOrMany(FIELD_NAME, "a field name, or an array of them"),
        "Fields of the answer that are not passed on; Server, Date, X-Pad and X-Accel-… never are.",
        default=(), shown="none", example='["X-Powered-By"]', nginx="proxy_hide_header",
    )  # fmt: skip
    forwarded: str = key(
        Choice("x-forwarded", "forwarded", "both", "off"),
        "How the upstream learns who asks: X-Forwarded-For, -Proto and -Host, or Forwarded (RFC 7239). What untrusted "
        "clients send under these names is never passed on.",
        default="x-forwarded", example='"both"', nginx="proxy_set_header X-Forwarded-For",
    )  # fmt: skip
    underscores_in_headers: bool = key(
        SWITCH, "Pass on fields with `_` in their names; they could pass for others with `-`.", default=False,
        example="true", nginx="underscores_in_headers",
    )  # fmt: skip
    connect_timeout: float = key(
        DURATION, "Until a connection stands, its TLS handshake included.", default=60.0, example='"5s"',
        nginx="proxy_connect_timeout",
    )  # fmt: skip
    send_timeout: float = key(
        DURATION, "Between two pieces of the request that the upstream takes.", default=60.0, example='"60s"',
        nginx="proxy_send_timeout",
    )  # fmt: skip
    read_timeout: float = key(
        DURATION, "Between two pieces of the answer; of a tunnel, of either side.", default=60.0, example='"5m"',
        nginx="proxy_read_timeout",
    )  # fmt: skip
    next_upstream: tuple[str, ...] = key(
        OneOrMany(Choice(*NEXT_UPSTREAM), "a case, or an array of cases"),
        "When another server of the group is tried: " + ", ".join(f"`{case}`" for case in NEXT_UPSTREAM) + ".",
        default=("error", "timeout"), example='["error", "timeout", "http_503"]', nginx="proxy_next_upstream",
    )  # fmt: skip
    next_upstream_tries: int = key(
        Whole(), "How many servers are tried at most; 0 for all.", default=0, example="3",
        nginx="proxy_next_upstream_tries",
    )  # fmt: skip
    next_upstream_timeout: float = key(
        DURATION_OR_0, "For how long others are tried; 0 for no limit.", default=0.0, example='"10s"',
        nginx="proxy_next_upstream_timeout",
    )  # fmt: skip
    request_buffering: bool = key(
        SWITCH, "The whole body is read before an upstream is asked, in memory and then a temporary file.",
        default=True, example="false", nginx="proxy_request_buffering",
    )  # fmt: skip
    buffering: bool = key(
        SWITCH, "Take the answer as fast as the upstream gives it, however slow the client is: in memory, then in a "
        "temporary file. X-Accel-Buffering of the answer says otherwise.", default=True, example="false",
        nginx="proxy_buffering",
    )  # fmt: skip
    redirect: tuple[tuple[str, str], ...] | str = key(
        Either(Choice("default", "off"), Pairs("a table of prefixes", TEXT, Template("request", "url"))),
        "How Location and Refresh are mapped back: `default` turns the target into the route's prefix; or a table of "
        "what they begin with and what takes its place.",
        default="default", example='{ "http://app.internal/" = "/" }', nginx="proxy_redirect",
    )  # fmt: skip
    cookie_domain: tuple[tuple[str, str], ...] = key(
        Either(Pairs("a table of domains", TEXT, Template("request", "url")), Literal(False, ())),
        "Domains of Set-Cookie, and what takes their place.", default=(), shown="as they are",
        example='{ "app.internal" = "example.com" }', nginx="proxy_cookie_domain",
    )  # fmt: skip
    cookie_path: tuple[tuple[str, str], ...] = key(
        Either(Pairs("a table of paths", TEXT, Template("request", "url")), Literal(False, ())),
        "What paths of Set-Cookie begin with, and what takes its place.", default=(), shown="as they are",
        example='{ "/app/" = "/" }', nginx="proxy_cookie_path",
    )  # fmt: skip
    intercept_errors: bool = key(
        SWITCH, "Answers of 300 and more for which `errors` names a page get that page.", default=False, example="true",
        nginx="proxy_intercept_errors",
    )  # fmt: skip
    early_hints: bool = key(
        SWITCH, "Pass 103 (Early Hints) on to HTTP/1.1 clients.", default=False, example="true", nginx="early_hints"
    )
    keepalive: int = key(
        Whole(), "Idle connections that are kept, where the target is no group; 0 closes each.", default=32,
        example="0", nginx="keepalive",
    )  # fmt: skip
    proxy_protocol: str = key(
        Choice("off", "v1", "v2"), "Begin each connection with a PROXY protocol header; then none is kept.",
        default="off", example='"v1"', nginx="proxy_protocol",
    )  # fmt: skip
    ssl_verify: bool = key(
        SWITCH, "Verify the certificate of an https upstream, and its name.", default=True, example="false",
        nginx="proxy_ssl_verify",
    )  # fmt: skip
    ssl_name: str = key(
        TEXT, "The name that is asked for (SNI) and that the certificate must bear.", default="",
        shown="the target's host", example='"app.internal"', nginx="proxy_ssl_name, proxy_ssl_server_name",
    )  # fmt: skip
    ssl_ca: Path | None = key(
        FILE, "Authorities that are trusted, in place of the system's.", default=None, shown="the system's",
        example='"internal-ca.pem"', nginx="proxy_ssl_trusted_certificate",
    )  # fmt: skip
    ssl_cert: Path | None = key(
        FILE, "The certificate that we show.", default=None, shown="none", example='"client.pem"',
        nginx="proxy_ssl_certificate",
    )  # fmt: skip
    ssl_key: Path | None = key(
        FILE, "Its key.", default=None, shown="in the certificate's file", example='"client.key"',
        nginx="proxy_ssl_certificate_key",
    )  # fmt: skip

    @property
    def target(self) -> Target | None:
        """Taken apart; None where it has variables."""
        return None if "$" in self.to else parse_target(self.to)
