"""Who may ask, by address: `allow` and `deny` (nginx: ngx_http_access_module).

    the narrowest network that has the address decides; with none: refused if anybody is allowed by name, else let in

nginx takes the first line that fits. TOML's two arrays have no order between them, so the narrowest takes its place:
`deny = "10.0.0.0/8"` with `allow = "10.1.0.0/16"` means what it looks like. `all` is wider than every network, and
`unix:` is peers on unix sockets. The address is the client's, after trusted proxies. Verdicts are remembered. What the
server asks itself is let in, as in nginx: `deny = "all"` closes a route that only `auth_request` is to reach.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from edgestack.errors import Refused
from edgestack.http.messages import Exchange
from edgestack.http.remembered import Remembered
from edgestack.phases.subrequest import Subrequest

__all__ = ["Access", "access"]

KNOWN = 2048
"""Verdicts in one generation of the table: some 200 KiB."""

UNIX = "unix:"


class Verdicts(Remembered[str, tuple[bool, str]]):
    """Address -> whether it may ask, and the rule that says so."""

    __slots__ = ("_default", "_tables", "_unix")

    def __init__(self, allow: Sequence[str], deny: Sequence[str]) -> None:
        super().__init__(KNOWN)
        said = dict.fromkeys(allow, True) | dict.fromkeys(deny, False)
        self._default = (
            (said["all"], f"{_verb(said['all'])} all") if "all" in said else (not allow, "no network has it")
        )
        self._unix = (said[UNIX], f"{_verb(said[UNIX])} {UNIX}") if UNIX in said else self._default
        self._tables: dict[int, list[tuple[int, dict[int, tuple[bool, str]]]]] = {4: [], 6: []}
        networks: dict[tuple[int, int], dict[int, tuple[bool, str]]] = {}
        for name, verdict in said.items():
            if name not in ("all", UNIX):
                network = ip_network(name)
                table = networks.setdefault((network.version, network.prefixlen), {})
                table[int(network.network_address)] = (verdict, f"{_verb(verdict)} {name}")
        for (version, length), table in sorted(networks.items(), reverse=True):
            width = 32 if version == 4 else 128
            self._tables[version].append((((1 << length) - 1) << (width - length), table))

    def make(self, key: str) -> tuple[bool, str]:
        """One lookup for each length that was written, the longest first."""
        address = _parsed(key)
        if address is None:
            return self._unix if key.startswith(UNIX) else self._default
        number = int(address)
        for mask, table in self._tables[address.version]:
            found = table.get(number & mask)
            if found is not None:
                return found
        return self._default

    def weigh(self, key: str, value: tuple[bool, str]) -> int:
        """Each counts one."""
        return 1


class Access:
    """The check."""

    __slots__ = ("_verdicts",)

    def __init__(self, allow: Sequence[str], deny: Sequence[str]) -> None:
        self._verdicts = Verdicts(allow, deny)

    def __call__(self, exchange: Exchange) -> None:
        """:raises Refused: 403."""
        if isinstance(exchange, Subrequest):
            return
        allowed, why = self._verdicts[exchange.facts.remote_addr]
        if not allowed:
            raise Refused("You may not see this.", 403, detail=f"{exchange.facts.remote_addr} is refused: {why}")

    def describe(self, exchange: Exchange) -> str:
        """The verdict, and whose it is."""
        allowed, why = self._verdicts[exchange.facts.remote_addr]
        return f"{exchange.facts.remote_addr} is {'let in' if allowed else 'refused, 403'}: {why}"


def access(allow: Sequence[str], deny: Sequence[str]) -> Access | None:
    """The check for `allow` and `deny`; None where everybody may ask."""
    return Access(allow, deny) if allow or deny else None


def _verb(allowed: bool) -> str:
    return "allow" if allowed else "deny"


def _parsed(text: str) -> IPv4Address | IPv6Address | None:
    """The address; an IPv4 address within IPv6 (::ffff:192.0.2.1) is that IPv4 address, and a zone is left out."""
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address
