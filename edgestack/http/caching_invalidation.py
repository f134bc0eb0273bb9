"""What an unsafe request makes untrue of what is stored (RFC 9111 §4.4).

    invalidated    method, URL, response -> the URLs whose stored responses are to be dropped

The URL itself, and those that Location and Content-Location name at the same origin: at another one, anybody could
empty anybody's cache. Only where the request succeeded. Pure functions over text, which may be hostile.
"""

from __future__ import annotations

from urllib.parse import urljoin, urlsplit

from edgestack.http.messages import Response

__all__ = ["SAFE", "invalidated"]

SAFE = frozenset(["GET", "HEAD", "OPTIONS", "TRACE", "QUERY"])
"""Methods that change nothing (RFC 9110 §9.2.1)."""
PORTS = {"http": 80, "https": 443}


def invalidated(method: str, url: str, response: Response) -> tuple[str, ...]:
    """The URLs whose stored responses do not hold any more, each once; none for a safe method or a failure.

    :param url: what was asked for: scheme, host in lower case without the usual port, path, query.
    :return: URLs in the same form.
    """
    if method in SAFE or not 200 <= response.status < 400:
        return ()
    named = [response.field("location"), response.field("content-location")]
    found = [url, *(other for value in named if value and (other := _at_same_origin(url, value)))]
    return tuple(dict.fromkeys(found))


def _at_same_origin(url: str, value: str) -> str | None:
    """The URL that `value` names seen from `url`, without a fragment; None where it is somebody else's, or none."""
    try:
        there = urlsplit(urljoin(url, value.strip(" \t")))
        here = urlsplit(url)
        if _origin(there.scheme, there.hostname, there.port) != _origin(here.scheme, here.hostname, here.port):
            return None
    except ValueError:
        return None
    return f"{here.scheme}://{here.netloc}{there.path or '/'}{'?' + there.query if there.query else ''}"


def _origin(scheme: str, host: str | None, port: int | None) -> tuple[str, str | None, int | None]:
    """RFC 9110 §4.3.1; the host is compared in lower case."""
    return scheme, host, port or PORTS.get(scheme)
