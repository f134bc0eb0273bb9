"""Who may ask: the narrowest network decides (`allow`, `deny`)."""

from __future__ import annotations

import pytest
from phases_kit import coming, refusal

from edgestack.phases.access import Verdicts, access
from edgestack.phases.subrequest import Subrequest


@pytest.mark.parametrize(
    ("allow", "deny", "address", "allowed"),
    [
        (["10.0.0.0/8"], [], "10.1.2.3", True),
        (["10.0.0.0/8"], [], "11.0.0.0", False),
        (["10.0.0.0/8"], [], "9.255.255.255", False),
        ([], ["192.0.2.0/24"], "192.0.2.255", False),
        ([], ["192.0.2.0/24"], "192.0.3.0", True),
        (["10.1.0.0/16"], ["10.0.0.0/8"], "10.1.0.1", True),
        (["10.1.0.0/16"], ["10.0.0.0/8"], "10.2.0.1", False),
        (["10.0.0.0/8"], ["10.1.0.0/16"], "10.1.0.1", False),
        (["10.0.0.0/8"], ["10.1.0.0/16"], "10.2.0.1", True),
        (["10.0.0.1"], ["all"], "10.0.0.1", True),
        (["10.0.0.1"], ["all"], "10.0.0.2", False),
        (["all"], ["10.0.0.1"], "10.0.0.1", False),
        (["all"], ["10.0.0.1"], "10.0.0.2", True),
        ([], ["all"], "::1", False),
        (["2001:db8::/32"], [], "2001:db8::1", True),
        (["2001:db8::/32"], [], "2001:db9::1", False),
        (["10.0.0.0/8"], [], "::ffff:10.0.0.1", True),
        (["fe80::/10"], [], "fe80::1%eth0", True),
        (["0.0.0.0/0"], [], "192.0.2.1", True),
        (["0.0.0.0/0"], [], "::1", False),
        (["unix:"], [], "unix:", True),
        (["10.0.0.0/8"], [], "unix:", False),
        ([], ["unix:"], "unix:", False),
        ([], ["10.0.0.0/8"], "unix:", True),
        ([], ["10.0.0.0/8"], "no address", True),
        (["10.0.0.0/8"], [], "no address", False),
    ],
)
def test_the_narrowest_network_decides(allow: list[str], deny: list[str], address: str, allowed: bool) -> None:
    check = access(allow, deny)
    assert check is not None
    exchange = coming(addr=address)
    for _ in range(2):  # the second time it is remembered
        refused = refusal(check, exchange)
        assert (refused is None) is allowed
        assert refused is None or refused.status == 403
    assert ("is let in" in check.describe(exchange)) is allowed


def test_nothing_said_is_no_link() -> None:
    assert access((), ()) is None


def test_the_refusal_tells_the_log_whose_rule_it_was() -> None:
    check = access(["10.0.0.0/8"], ["10.1.0.0/16"])
    assert check is not None
    error = refusal(check, coming(addr="10.1.0.1"))
    assert str(error) == "10.1.0.1 is refused: deny 10.1.0.0/16"
    assert error is not None
    assert "10.1" not in error.public


def test_the_table_of_verdicts_is_bounded() -> None:
    table = Verdicts(["10.0.0.0/8"], [])
    for number in range(10_000):
        assert table[f"10.0.{number >> 8}.{number & 255}"][0]
    assert len(table) + len(table.old) <= 4096


def test_what_the_server_asks_itself_is_let_in() -> None:
    """As in nginx, whose access phase leaves subrequests out."""
    check = access([], ["all"])
    assert check is not None
    assert refusal(check, Subrequest(coming(), "/auth")) is None
