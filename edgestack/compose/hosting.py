"""The content of a route whose application is hosted by processes of its own: a proxy that tells them who asks.

Host                the authority that the client asked for, as the application would see it in this process
X-Edgestack-Hop     the facts of the client's connection (`http/hop.py`)
X-Real-IP, X-Scheme for tornado's own applications, which know nothing of that
"""

from __future__ import annotations

from edgestack.compose.resources import Resources
from edgestack.config.proxying import Proxy as Section
from edgestack.config.server import Server
from edgestack.errors import AppError, ClientError, EdgeError
from edgestack.http.forwarding import ForwardedFacts
from edgestack.http.hop import FACTS, FAILED, TARGET, asked, place, told
from edgestack.http.messages import Exchange
from edgestack.http.variables import Template
from edgestack.upstream.hosted import Hosted, HostedContent
from edgestack.upstream.proxy import Proxy
from edgestack.upstream.request_head import RequestHead
from edgestack.upstream.retrying import Rules
from edgestack.upstream.way import Way
from edgestack.wire.h1_client import UpstreamHead

__all__ = ["hosted_content", "wait_for"]

MARGIN = 2.0
"""Seconds that a process of ours has beyond the timeout that it keeps itself: its own answer comes first."""
FOR_EVER = 86400.0 * 365
"""Seconds of a gap within an answer: an application in this process may pause for as long as it likes too."""


class HostedWay(Way):
    """What fails in there has the pages that it would have here; the process has told the log of it."""

    def intercepts(self, head: UpstreamHead) -> bool:
        """See `Way`."""
        return FAILED in head.fields and head.status >= 400

    def instead(self, head: UpstreamHead, address: object) -> EdgeError:
        """See `Way`."""
        after = tuple(("Retry-After", value) for name, value in head.pairs if name == "retry-after")
        error = AppError("", head.status, fields=after) if head.status >= 500 else ClientError("", head.status)
        error.told = True
        return error


class SentOnce(Rules):
    """What brought one process down is not given to the next: a request is repeated only where none of it was sent."""

    __slots__ = ()

    def repeatable(self, method: str, sent: bool) -> bool:
        """See `Rules`."""
        return not sent


def hosted_content(found: Hosted, mount: str, limit: int, server: Server, resources: Resources) -> HostedContent:
    """The handler.

    :param mount: where the application is mounted, decoded, without a slash at its end.
    :param limit: bytes of a request body.
    """
    wait = min(FOR_EVER, wait_for(found.kind, server.processes.patience))
    section = Section(to="http://application", redirect="off", read_timeout=wait, connect_timeout=max(wait, MARGIN))
    way = HostedWay(section, limit=limit)
    way.intercepted = frozenset((4, 5))
    way.head = RequestHead(_fields(found, mount, way), forwarded="off")
    way.gap = FOR_EVER
    way.rules = SentOnce()
    service = resources.upstreams.service(found.upstream)
    found.group = service.group
    target = section.target
    assert target is not None
    proxy = Proxy(way, target, lambda _: service.backend(section, secure=False), lambda _: service.group)
    return HostedContent(found, proxy, dev=server.dev)


def wait_for(kind: str, patience: float) -> float:
    """Seconds that the edge waits for the beginning of an answer, beyond them 504.

    :param kind: the worker class.
    :param patience: seconds that the application has.
    """
    return patience + (MARGIN if kind == "process" else 0)


def _fields(found: Hosted, mount: str, way: Way) -> list[tuple[str, Template]]:
    fields: list[tuple[str, Template]] = [
        ("Host", _authority),
        (FACTS, lambda exchange: told(exchange, mount)),
        (TARGET, lambda exchange: asked(exchange, way.map(exchange))),
    ]
    if found.kind == "tornado":
        fields += [("X-Real-IP", lambda exchange: exchange.facts.remote_addr)]
        fields += [("X-Scheme", lambda exchange: exchange.facts.scheme)]
    return fields


def _authority(exchange: Exchange) -> str:
    """What the client asked for; a client of HTTP/1.0 that names none gets our address: the hop is HTTP/1.1."""
    facts = exchange.facts
    named = (facts.host if type(facts) is ForwardedFacts else "") or exchange.request.host
    return named or ":".join(place(facts))
