"""Where a proxy leads: what `proxy = "http://backend/uri/"` says, taken apart. Pure text, nothing is resolved.

    http://backend/uri/              a group of that name, else a host
    https://10.0.0.5:8443            an address
    http://unix:/run/app.sock:/uri/  a unix socket, as nginx writes it
    http://$name/…                   variables: taken apart at each request (`parse_target` again)
    /api/=http://…                   on the command line: with the prefix that it is for (`parse_place`)

`uri` is None where none is said: then the request-target is passed on byte for byte (criterion B1). Source: nginx
`proxy_pass`.
"""

from __future__ import annotations

from dataclasses import dataclass

from edgestack.config.matching import parse_match
from edgestack.config.peer_addresses import check_socket_path
from edgestack.errors import ConfigError
from edgestack.http.target import is_authority

__all__ = ["DEFAULT_PORTS", "Target", "parse_place", "parse_target"]

DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Target:
    """One target without variables."""

    scheme: str
    """ "http" or "https"."""
    server: str
    """A group's name, `host`, `host:port`, or `unix:/path`."""
    uri: str | None = None
    """What takes the place of the route's prefix, from its slash on; None where the request-target passes as it is."""

    @property
    def unix(self) -> bool:
        """Whether it is a unix socket."""
        return self.server.startswith("unix:")

    @property
    def host(self) -> str:
        """nginx's `$proxy_host`: what Host says upstream unless something else is set; the usual port is left out."""
        if self.unix:
            return "localhost"
        return self.server.removesuffix(f":{DEFAULT_PORTS[self.scheme]}")

    @property
    def port(self) -> int:
        """nginx's `$proxy_port`; 0 for a unix socket."""
        if self.unix:
            return 0
        _, colon, port = self.server.rpartition(":")
        return int(port) if colon and port.isdigit() else DEFAULT_PORTS[self.scheme]

    @property
    def address(self) -> str:
        """With a port always: where to connect to, if it is no group."""
        if self.unix:
            return self.server
        _, colon, port = self.server.rpartition(":")
        return self.server if colon and port.isdigit() else f"{self.server}:{self.port}"

    def __str__(self) -> str:
        joint = ":" if self.unix and self.uri else ""
        return f"{self.scheme}://{self.server}{joint}{self.uri or ''}"


def parse_target(text: str, *, query: bool = False) -> Target:
    """Take a target apart.

    :param query: whether its URI may have one, as that of variables may.
    :raises ConfigError: with a hint at what was probably meant.
    """
    scheme, found, rest = text.partition("://")
    if not found:
        raise ConfigError(f"{text!r} is no URL", hint=_meant(text))
    scheme = scheme.lower()
    if scheme not in DEFAULT_PORTS:
        instead = {"ws": "http", "wss": "https"}.get(scheme)
        hint = f'did you mean "{instead}://{rest}"? upgrades pass by themselves' if instead else "http or https"
        raise ConfigError(f"there is no proxying to {scheme}://", hint=hint)
    server, uri = _unix(rest) if rest.startswith("unix:") else _divided(rest)
    if not query and uri is not None and ("?" in uri or "#" in uri):
        raise ConfigError(
            f"the URI of {text!r} has a query", hint="the request's own is passed on; a fixed one needs a `rewrite`"
        )
    return Target(scheme, server, uri)


def parse_place(text: str) -> tuple[str, str]:
    """`[PREFIX=]URL` taken apart: the prefix, "/" where none is said, and the URL.

    :raises ConfigError: one of them is none.
    """
    prefix, sign, url = text.partition("=")
    if not sign or "://" in prefix:
        prefix, url = "/", text
    elif not prefix.startswith("/"):
        raise ConfigError(f"{prefix!r} is no prefix of paths", hint=f'did you mean "/{text}"?')
    parse_match(prefix)
    if "$" not in url:
        parse_target(url)
    return prefix, url


def _meant(text: str) -> str:
    """The URL that was probably meant."""
    if not text:
        return ""
    bare = text.removeprefix(":")
    if bare.partition("/")[0].isdigit():
        return f'did you mean "http://127.0.0.1:{bare}"?'
    return f'did you mean "http://{text}:/"?' if text.startswith("unix:") else f'did you mean "http://{text}"?'


def _divided(rest: str) -> tuple[str, str | None]:
    """Authority and URI."""
    at = next((at for at, letter in enumerate(rest) if letter in "/?#"), len(rest))
    server, uri = rest[:at].lower(), rest[at:] or None
    if "@" in server:
        raise ConfigError("a name and a password have no place in a target", hint="set the field Authorization instead")
    if not is_authority(server) or server.endswith(":"):
        raise ConfigError(f"{rest[:at]!r} is neither a host nor the name of a group", hint='such as "127.0.0.1:8001"')
    return server, uri


def _unix(rest: str) -> tuple[str, str | None]:
    """Path of the socket and URI: a colon stands between them."""
    path, colon, uri = rest.removeprefix("unix:").partition(":")
    if not path.startswith("/"):
        raise ConfigError(f"{path!r} is no absolute path of a socket", hint='such as "http://unix:/run/app.sock:/"')
    check_socket_path(path)
    if colon and not uri.startswith("/"):
        raise ConfigError(f"what follows the socket, {uri!r}, is no URI", hint='such as "http://unix:/run/app.sock:/"')
    return f"unix:{path}", uri or None
