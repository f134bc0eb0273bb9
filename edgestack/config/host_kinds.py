"""Kinds of values that name hosts and networks: what a site is called, and who clients and proxies are.

HOST NETWORK TRUSTED
"""

from __future__ import annotations

import re
from ipaddress import IPv6Address, ip_network
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, urlsplit

from edgestack.config.kinds import Kind
from edgestack.errors import ConfigError
from edgestack.http.target import is_authority

if TYPE_CHECKING:
    from edgestack.config.reading import Spot

__all__ = ["HOST", "NETWORK", "TRUSTED", "parts_of"]

MAPPED = 96
"""Bits in front of an IPv4 address that is written as an IPv6 one, ::ffff:192.0.2.1 (RFC 4291 §2.5.5.2)."""

HOST_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?", re.ASCII)


class Host(Kind):
    """A host name, `*.example.com` for all names below one, an address; lower case, in the form it has on the wire."""

    words = "a host"

    def read(self, value: Any, spot: Spot) -> str:
        """In lower case; names beyond ASCII as the wire has them (IDNA)."""
        host = value.strip().lower().removesuffix(".")
        if "://" in host:
            name = (parts_of(host) or urlsplit("")).hostname or ""
            raise ConfigError(f"{value!r} is a URL, not a host", hint=f'did you mean "{name}"?' if name else "")
        if host.count(":") == 1 or host.startswith("["):
            return self._literal(host, value)
        wild = host.startswith("*.")
        name = host.removeprefix("*.")
        try:
            name = name if name.isascii() else name.encode("idna").decode("ascii")
        except UnicodeError:
            raise ConfigError(f"{value!r} is not a host name") from None
        if "*" in name:
            raise ConfigError(f"{value!r} is not a host name", hint='a star stands first and alone: "*.example.com"')
        if len(name) > 253 or not all(HOST_LABEL.fullmatch(label) for label in name.split(".")):
            raise ConfigError(f"{value!r} is not a host name", hint='for instance "example.com" or "*.example.com"')
        return f"*.{name}" if wild else name

    def _literal(self, host: str, value: str) -> str:
        """An IPv6 address in brackets; a port has no place here."""
        if host.endswith("]") and is_authority(host):
            return f"[{IPv6Address(host[1:-1]).compressed}]"  # as browsers write it (WHATWG URL, host serializer)
        name, _, port = host.rpartition(":")
        if port.isdigit() and is_authority(name):
            raise ConfigError("a host has no port here", hint=f'did you mean "{name}"? ports belong in `server.bind`')
        raise ConfigError(f"{value!r} is not a host name", hint='for instance "example.com" or "[::1]"')


class Network(Kind):
    """An address, a CIDR network, or a word for more."""

    words = "a network"

    def __init__(self, *others: str) -> None:
        self.others = others

    def read(self, value: Any, spot: Spot) -> str:
        """In its usual spelling; a single address without a length, IPv4 within IPv6 as what clients are known by."""
        if value in self.others:
            return str(value)
        try:
            network = ip_network(value)
        except ValueError:
            raise self._wrong(value) from None
        mapped = getattr(network.network_address, "ipv4_mapped", None)
        if mapped is not None and network.prefixlen >= MAPPED:
            network = ip_network(f"{mapped}/{network.prefixlen - MAPPED}")
        single = network.prefixlen == network.max_prefixlen
        return str(network.network_address) if single else str(network)

    def _wrong(self, value: str) -> ConfigError:
        """Host bits behind the length are a slip; anything else is no network at all."""
        try:
            meant = ip_network(value, strict=False)
        except ValueError:
            said = ", ".join(f'"{one}"' for one in ("10.0.0.0/8", "::1", *self.others))
            return ConfigError(f"{value!r} is neither an address nor a network", hint=f"for instance {said}")
        address = value.partition("/")[0]
        hint = f'did you mean "{meant}", or "{address}" alone?'
        return ConfigError(f"{value!r} has bits of an address behind its /{meant.prefixlen}", hint=hint)


def parts_of(url: str) -> SplitResult | None:
    """A URL's parts; None for one that has none, such as "http://["."""
    try:
        return urlsplit(url)
    except ValueError:
        return None


HOST = Host()
NETWORK = Network("all", "unix:")
TRUSTED = Network("unix:")
