"""Which names a machine's certificate bears."""

from __future__ import annotations

import ipaddress

import pytest

from edgestack.certs.naming import host_name, is_localhost_name, lan_addresses, machine_names


@pytest.mark.parametrize(
    ("name", "borne"),
    [
        ("box", ("box", "box.local")),
        ("Box.", ("box", "box.local")),
        ("box.example.org", ("box.example.org",)),
        ("mac.local", ("mac.local",)),
        ("localhost", ()),
        ("localhost.localdomain", ()),
        ("under_score", ()),
        ("-box", ()),
        ("box-", ()),
        ("caf\u00e9", ()),
        ("", ()),
        ("10.0.0.1", ()),
        ("a" * 63, ("a" * 63, "a" * 63 + ".local")),
        ("a" * 64, ()),
    ],
)
def test_host_names(name: str, borne: tuple[str, ...]) -> None:
    """RFC 952 and RFC 1123 §2.1: labels of letters, digits, hyphens, at most 63 long; RFC 6762: .local."""
    assert host_name(name) == borne


@pytest.mark.parametrize(
    ("name", "is_one"),
    [
        ("foo.localhost", True),
        ("a.b.localhost", True),
        ("localhost", False),
        ("foo.localhost.", False),
        ("foolocalhost", False),
        ("foo.example", False),
        ("*.localhost", False),
        ("..localhost", False),
        (".".join(["a" * 61] * 3 + ["b" * 57, "localhost"]), True),
        (".".join(["a" * 61] * 3 + ["b" * 58, "localhost"]), False),
    ],
)
def test_names_under_localhost(name: str, is_one: bool) -> None:
    """RFC 6761 §6.3; at most 253 characters (RFC 1035 §3.1)."""
    assert is_localhost_name(name) is is_one


def test_this_machine() -> None:
    """Issue 2 §5: localhost, its subdomains, both loopbacks, the host's name, the LAN address; each once."""
    names = machine_names()
    assert names[:4] == ("localhost", "*.localhost", "127.0.0.1", "::1")
    assert len(set(names)) == len(names)
    for address in map(ipaddress.ip_address, lan_addresses()):
        assert not address.is_loopback
        assert str(address) in names
