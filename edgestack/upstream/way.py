"""What a `proxy` section means, compiled once for its route: everything that no request changes.

    section + scope + the route's prefix  ->  Way: target, request head, response head, retry rules, timeouts

Pure; a Way knows no peer and no link. Templates are compiled here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Collection
from urllib.parse import quote

from edgestack.config.proxying import Proxy as Section
from edgestack.errors import ClientError, EdgeError, UpstreamError
from edgestack.http.variables import Constant, Scope, Template, compile_template
from edgestack.upstream.cookies import CookieRules
from edgestack.upstream.request_head import RequestHead
from edgestack.upstream.response_head import ResponseHead
from edgestack.upstream.retrying import Rules
from edgestack.upstream.target import SAFE, Mapping, as_sent, mapping
from edgestack.wire.h1_client import UpstreamHead

__all__ = ["Way", "redirect_rules"]

PROXY_VERSIONS = {"off": 0, "v1": 1, "v2": 2}


class Way:
    """One proxied route."""

    __slots__ = (
        "answer", "buffering", "early_hints", "gap", "head", "intercepted", "limit", "map", "proxy_protocol", "rules",
        "section", "unhurried",
    )  # fmt: skip

    def __init__(
        self,
        section: Section,
        prefix: str = "",
        scope: Scope | None = None,
        *,
        limit: int = 1 << 62,
        intercepted: Collection[int] = (),
    ) -> None:
        """
        :param prefix: of the route: what the target's URI stands for; "" for a regex, and with `strip = false`.
        :param limit: the largest request body, in bytes.
        :param intercepted: statuses that a page of the user's own is named for; 4 and 5 for their whole classes.
        """
        target = section.target
        self.section = section
        self.map: Mapping = mapping(target.uri, prefix) if target is not None else as_sent
        self.head = RequestHead(
            _compiled(section.set_headers, scope), forwarded=section.forwarded,
            underscores=section.underscores_in_headers,
        )  # fmt: skip
        cookies = CookieRules(_compiled(section.cookie_domain, scope), _compiled(section.cookie_path, scope))
        self.answer = ResponseHead(
            hide=section.hide_headers, show=section.pass_headers, redirects=redirect_rules(section, prefix, scope),
            cookies=cookies,
        )  # fmt: skip
        self.rules = Rules(section.next_upstream, section.next_upstream_tries, section.next_upstream_timeout)
        self.buffering = section.buffering
        self.early_hints = section.early_hints
        self.gap = section.read_timeout
        """Seconds that the server may pause within an answer, and a tunnel may be idle."""
        self.limit = limit
        self.proxy_protocol = PROXY_VERSIONS[section.proxy_protocol]
        self.unhurried = bool(self.proxy_protocol) or self.early_hints
        """Whether every exchange takes the task road."""
        self.intercepted = frozenset(intercepted) if section.intercept_errors else frozenset()

    def intercepts(self, head: UpstreamHead) -> bool:
        """Whether this answer gets the user's own page."""
        status = head.status
        return bool(self.intercepted) and (status in self.intercepted or status // 100 in self.intercepted)

    def instead(self, head: UpstreamHead, address: object) -> EdgeError:
        """What an answer that is intercepted stands for.

        :param address: who gave it.
        """
        demanded = tuple(("WWW-Authenticate", value) for name, value in head.pairs if name == "www-authenticate")
        if head.status < 500:
            return ClientError("", head.status, fields=demanded)
        return UpstreamError("", head.status, detail=f"{address} answered {head.status}")


def redirect_rules(section: Section, prefix: str, scope: Scope | None = None) -> list[tuple[str, Template]]:
    """What Location may begin with, and what takes its place (B12; nginx: `proxy_redirect default`).

    A target with a URI becomes the route's prefix; one without loses scheme and host.
    """
    if isinstance(section.redirect, tuple):
        return _compiled(section.redirect, scope)
    target = section.target
    if section.redirect == "off" or target is None:
        return []
    begins = f"{target.scheme}://{target.host}"
    if target.uri is None:
        return [(begins + "/", Constant("/"))]
    return [(begins + target.uri, Constant(quote(prefix, SAFE) or target.uri))]


def _compiled(pairs: tuple[tuple[str, str], ...], scope: Scope | None) -> list[tuple[str, Template]]:
    return [(name, compile_template(text, "request", scope, use="url")) for name, text in pairs]
