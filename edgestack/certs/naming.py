"""Which names and addresses a browser may use for this machine, so that the certificate bears them.

No name server is asked and no packet sent: starting must not wait for a network. "Connecting" a datagram socket only
makes the kernel choose the address it would send from.
"""

from __future__ import annotations

import ipaddress
import re
import socket

__all__ = ["host_name", "is_localhost_name", "lan_addresses", "machine_names"]

ALWAYS = ("localhost", "*.localhost", "127.0.0.1", "::1")

_LABEL = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)", re.ASCII)

_FAR_AWAY = ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1"))
"""Addresses kept for documentation (RFC 5737, RFC 3849): routed like the internet, and nobody is there."""


def machine_names() -> tuple[str, ...]:
    """The names of the development certificate: localhost in its forms, the host's name, its address on the LAN."""
    return tuple(dict.fromkeys((*ALWAYS, *host_name(socket.gethostname()), *lan_addresses())))


def host_name(name: str) -> tuple[str, ...]:
    """The host's name as a certificate can bear it; a single label gets its `.local` form too (RFC 6762).

    Empty when it is no host name (RFC 952: letters, digits, hyphens), or is localhost.
    """
    name = name.rstrip(".").lower()
    labels = name.split(".")
    if len(name) > 247 or not all(map(_LABEL.fullmatch, labels)) or labels[-1].isdigit() or labels[0] == "localhost":
        return ()
    return (name, f"{name}.local") if len(labels) == 1 else (name,)


def lan_addresses() -> tuple[str, ...]:
    """The addresses that this machine would send from: IPv4, and IPv6 where it is a unique local one (RFC 4193).

    Global IPv6 addresses are left out: privacy extensions change them daily (RFC 8981), the certificate with them.
    """
    found = []
    for family, address in _FAR_AWAY:
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as probe:
                probe.connect((address, 9))
                own = ipaddress.ip_address(probe.getsockname()[0].partition("%")[0])
        except OSError:
            continue  # no such network here
        if not (own.is_loopback or own.is_unspecified) and (own.version == 4 or own.is_private):
            found.append(str(own))
    return tuple(found)


def is_localhost_name(name: str) -> bool:
    """Whether `name` lies under `.localhost` (RFC 6761 §6.3) and is a host name that a certificate can bear."""
    labels = name.split(".")
    return len(labels) > 1 and labels[-1] == "localhost" and len(name) <= 253 and all(map(_LABEL.fullmatch, labels))
