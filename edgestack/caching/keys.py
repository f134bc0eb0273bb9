"""What an answer is stored under, and what it is purged by.

    url_of(exchange)     the URL that was asked for; the key, where a route names no other one
    parted(template)     a key's template with its values parted from one another, so that http and sexample.com are
                         not https and example.com

Whatever content may look at and the key does not hold can be used to give everybody an answer that was meant for one
(cache poisoning): the port of Host among them, which applications make links of. `STEERING` are fields that let some
frameworks answer something else than what was asked for: such a request is not one for what is stored.
"""

from __future__ import annotations

import re

from edgestack.http.forwarding import ForwardedFacts
from edgestack.http.messages import Exchange

__all__ = ["BETWEEN", "STEERING", "parted", "url_of"]

PORTS = {"http": ":80", "https": ":443"}
STEERING = frozenset(
    ("x-http-method", "x-http-method-override", "x-method-override", "x-original-url", "x-rewrite-url")
)  # fmt: skip
"""Werkzeug's and Rails' method overrides; IIS', Symfony's and Zend's other URL."""
BETWEEN = "\0"
"""Stands in no field, and in no path that is answered (criterion C8)."""

_reference = re.compile(r"\$(?:\$|\{\w+\}|\w+)(?=\$)", re.ASCII)


def url_of(exchange: Exchange) -> str:
    """The URL that was asked for: scheme, host and port in lower case, the usual port left out; path and query as sent.

    Behind a trusted proxy it is the one that the client asked the proxy for.
    """
    request, facts = exchange.request, exchange.facts
    told = facts.host if type(facts) is ForwardedFacts else ""
    scheme = facts.scheme
    host = (told or request.host).lower().removesuffix(PORTS.get(scheme, ""))
    target = request.target
    if not target.startswith("/"):  # absolute-form (RFC 9112 §3.2.2)
        target = request.path.raw + (f"?{request.query}" if request.query else "")
    return f"{scheme}://{host}{target}"


def parted(template: str) -> str:
    """`$a$b` with something between the two that neither can end or begin with."""
    return _reference.sub(lambda found: found[0] if found[0] == "$$" else found[0] + BETWEEN, template)
