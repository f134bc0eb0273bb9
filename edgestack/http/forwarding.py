"""Who the client is, when the connection comes from a proxy: Forwarded and X-Forwarded-*, believed only where told to.

    TrustedProxies(("10.0.0.0/8",)).facts(facts, fields)  ->  the same Facts, or ForwardedFacts

A list of hops is read from right to left, since each proxy appends: an element counts only while the hop that wrote it
is trusted. What stands further left was sent by somebody nobody vouches for, and is discarded (criterion F3). Of
X-Forwarded-Proto, -Host and -Port the element at the client's place counts, or the leftmost where the list is shorter.

Two families tell the same things. A proxy that writes one passes the other on as the client sent it, so only one may be
believed: X-Forwarded-For where it is there, else Forwarded; or one of them only, on request.

Pure: no socket, no name is resolved. RFC 7239 (Forwarded); nginx's `set_real_ip_from` and `real_ip_recursive on`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Literal, NamedTuple, TypeAlias

from edgestack.errors import ConfigError
from edgestack.http.facts import Facts
from edgestack.http.fields import unquote
from edgestack.http.target import is_authority

__all__ = ["DEFAULT_PORTS", "Family", "ForwardedFacts", "TrustedProxies", "is_loopback", "tells_of_forwarding"]

Family: TypeAlias = Literal["either", "x-forwarded", "forwarded"]

MEMBERS_KEPT = 1024
"""Addresses whose trust is remembered; then the table starts afresh. Our number: some 100 KiB."""

SCHEMES = {"http": "http", "https": "https", "ws": "http", "wss": "https"}
DEFAULT_PORTS = {"http": 80, "https": 443}


def tells_of_forwarding(name: str) -> bool:
    """Whether a field of this name (lower case) says what a proxy saw, so that a client's own is a lie."""
    return name.startswith("x-forwarded-") or name in ("forwarded", "x-real-ip")


class ForwardedFacts(Facts):
    """Facts as trusted proxies tell them: `remote_addr` is the client's, `scheme` and `local_port` what it used."""

    __slots__ = ("host", "peer_addr", "peer_port", "told")

    peer_addr: str
    """The address at the other end of the connection: the nearest proxy."""
    peer_port: int
    """The port there."""
    host: str
    """The authority that the client asked for; "" when no proxy says, and the request's own Host holds."""
    told: dict[str, str]
    """The forwarding fields, names in lower case, reduced to what trusted proxies wrote."""

    def __init__(self, facts: Facts, client: str, port: int, scheme: str, host: str, local_port: int) -> None:
        super().__init__(
            client, port, facts.local_addr, local_port, scheme, facts.sni, facts.client_certificate, facts.tls
        )  # fmt: skip
        self.peer_addr = facts.remote_addr
        self.peer_port = facts.remote_port
        self.connection = facts.connection
        self.requests = facts.requests
        self.host = host
        self.told = {}


class _Hop(NamedTuple):
    """What one proxy says of the side it does not share with us."""

    address: str
    """The address as text, "" when it is hidden, unknown or no address."""
    port: int = 0
    proto: str = ""
    host: str = ""
    text: str = ""
    """As it stood in the field."""


_nobody = _Hop("")


class TrustedProxies:
    """Which peers are believed, and what follows from what they say."""

    __slots__ = ("_family", "_hops", "_members", "_networks", "_unix")

    def __init__(self, trusted: Iterable[str] | int = (), family: Family = "either") -> None:
        """
        :param trusted: networks as CIDR or single addresses, and "unix:" for peers on unix sockets; or how many hops in
            front of us are proxies of ours (an int, or that number as the only string): then the addresses do not
            matter.
        :param family: which fields to read; see the top of this file.
        :raises ConfigError: for what is no network.
        """
        names = [str(trusted)] if isinstance(trusted, int) else list(trusted)
        self._family = family
        self._hops = int(names[0]) if len(names) == 1 and names[0].isdecimal() else 0
        self._unix = "unix:" in names
        self._networks = () if self._hops or names == ["0"] else tuple(_network(n) for n in names if n != "unix:")
        self._members: dict[str, bool] = {}

    def __bool__(self) -> bool:
        """Whether anybody is trusted at all; if not, nobody need call `facts`."""
        return bool(self._hops or self._networks or self._unix)

    def trusts(self, address: str) -> bool:
        """Whether a peer at `address` is one of our proxies."""
        if self._hops:
            return True
        known = self._members.get(address)
        if known is None:
            known = self._is_member(address)
            if len(self._members) >= MEMBERS_KEPT:
                self._members.clear()
            self._members[address] = known
        return known

    def _is_member(self, address: str) -> bool:
        if address.startswith("unix:"):
            return self._unix
        parsed = _address(address)
        return parsed is not None and any(parsed in network for network in self._networks)

    def facts(self, facts: Facts, fields: Mapping[str, str]) -> Facts:
        """What holds for a request that came over the connection of `facts`.

        :param fields: the request's, folded, names in lower case.
        :returns: `facts` itself when the peer is not trusted or says nothing of forwarding.
        """
        if not self.trusts(facts.remote_addr):
            return facts
        names = [name for name in fields if tells_of_forwarding(name)]
        if not names:
            return facts
        family = self._family
        if family == "either":
            family = "forwarded" if "forwarded" in fields and "x-forwarded-for" not in fields else "x-forwarded"
        if family == "forwarded":
            return self._forwarded(facts, fields["forwarded"]) if "forwarded" in fields else facts
        return self._x_forwarded(facts, fields, names) if names != ["forwarded"] else facts

    def _client(self, hops: list[_Hop]) -> tuple[_Hop, int]:
        """The nearest hop that is no proxy of ours, and how many elements (from the right) were believed.

        :param hops: nearest first.
        """
        if self._hops:
            believed = min(self._hops, len(hops))
            while believed and not hops[believed - 1].address:  # hidden: the last address that is known stands for it
                believed -= 1
            return (hops[believed - 1] if believed else _nobody), believed
        client, believed = _nobody, 0
        for hop in hops:
            if not hop.address:
                break
            client, believed = hop, believed + 1
            if not self.trusts(hop.address):
                break
        return client, believed

    def _x_forwarded(self, facts: Facts, fields: Mapping[str, str], names: list[str]) -> Facts:
        hops = [_node(text) for text in reversed(_elements(fields.get("x-forwarded-for", "")))]
        client, believed = self._client(hops)
        place = max(believed, 1)
        proto = _at(fields.get("x-forwarded-proto", ""), place).lower()
        host = _at(fields.get("x-forwarded-host", ""), place)
        port = _at(fields.get("x-forwarded-port", ""), place)
        made = _make(facts, client, proto, host, port)
        told = {"x-forwarded-proto": proto, "x-forwarded-host": host, "x-forwarded-port": port}
        told["x-forwarded-for"] = ", ".join(hop.text for hop in reversed(hops[:believed]))
        told["x-real-ip"] = made.remote_addr
        told["forwarded"] = ""
        made.told = {name: value for name in names if (value := told.get(name, fields[name]))}
        return made

    def _forwarded(self, facts: Facts, value: str) -> Facts:
        elements = _elements(value)
        hops = [_forwarded_hop(text) for text in reversed(elements)]
        client, believed = self._client(hops)
        last = hops[max(believed, 1) - 1] if hops else _nobody
        made = _make(facts, client, last.proto, last.host, "")
        if believed:
            made.told = {"forwarded": ", ".join(elements[-believed:])}
        return made


def _network(text: str) -> IPv4Network | IPv6Network:
    try:
        return ip_network(text)
    except ValueError as error:
        raise ConfigError(
            f"{text!r} is no network of trusted proxies: {error}",
            hint="write an address, a CIDR network, \"unix:\", or a number of hops",
            key="trusted_proxies",
        ) from None  # fmt: skip


def _address(text: str) -> IPv4Address | IPv6Address | None:
    """The address that `text` is; an IPv4 address mapped into IPv6 counts as IPv4."""
    try:
        parsed = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(parsed, "ipv4_mapped", None) or parsed


def _elements(value: str) -> list[str]:
    """The elements of a list. A comma always divides: no address, scheme or host has one, and reading quotes from the
    left would let a client's unbalanced quote swallow what a proxy appended."""
    return [element for part in value.split(",") if (element := part.strip(" \t"))]


def _at(value: str, place: int) -> str:
    """The element at `place` from the right (from 1), or the leftmost."""
    elements = _elements(value)
    return elements[-min(place, len(elements))] if elements else ""


def _node(text: str) -> _Hop:
    """`192.0.2.43`, `192.0.2.43:47011`, `2001:db8::1`, `[2001:db8::1]:4711` (RFC 7239 §6), or nobody that is known."""
    address, port = text, ""
    if text[:1] == "[":
        address, _, port = text[1:].partition("]")
        port = port.removeprefix(":")
    elif text.count(":") == 1:
        address, _, port = text.partition(":")
    parsed = _address(address)
    return _Hop("" if parsed is None else str(parsed), int(port) if _is_port(port) else 0, text=text)


def _forwarded_hop(element: str) -> _Hop:
    """One forwarded-element (RFC 7239 §4): `for=…;proto=…;host=…;by=…`, values plain or quoted."""
    found: dict[str, str] = {}
    for pair in element.split(";"):
        name, equals, value = pair.strip(" \t").partition("=")
        if equals:
            found.setdefault(name.lower(), unquote(value))
    node = _node(found.get("for", ""))
    return node._replace(proto=found.get("proto", "").lower(), host=found.get("host", ""), text=element)


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= 5 and 0 < int(text) <= 65535


def _make(facts: Facts, client: _Hop, proto: str, host: str, port: str) -> ForwardedFacts:
    """Facts from what was believed; what makes no sense is as good as unsaid."""
    scheme = SCHEMES.get(proto, facts.scheme)
    host = host if is_authority(host) else ""
    own_port = host.rpartition(":")[2] if not host.endswith("]") and ":" in host else ""
    if _is_port(port):
        local_port = int(port)
        if host and not own_port and local_port != DEFAULT_PORTS[scheme]:
            host = f"{host}:{port}"
    elif _is_port(own_port):
        local_port = int(own_port)
    elif host or proto in SCHEMES:
        local_port = DEFAULT_PORTS[scheme]
    else:
        local_port = facts.local_port
    address = client.address or facts.remote_addr
    return ForwardedFacts(
        facts, address, client.port if client.address else facts.remote_port, scheme, host, local_port
    )


def is_loopback(address: str) -> bool:
    """Whether a client is on this machine. A unix socket says nothing: anybody may be behind the proxy that uses it."""
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(parsed, "ipv4_mapped", None)  # ::ffff:127.0.0.1, on a socket that takes both families
    return bool((mapped or parsed).is_loopback)
