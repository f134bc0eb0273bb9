"""What is agreed on about compressed messages: RFC 7692 §5 and §7.1, offer by offer."""

from __future__ import annotations

import pytest

from edgestack.asgi.extensions import Terms, agreed
from edgestack.errors import ClientError

PLAIN = "permessage-deflate"
TABLE = [
    ("", None, "nothing is offered"),
    ("x-webkit-deflate-frame", None, "nothing that is known"),
    (PLAIN, Terms(12, 15), "§7.1.2.1: the server may narrow its own window unasked"),
    ("Permessage-Deflate", Terms(12, 15), "§5 with RFC 6455 §9.1: names in any case"),
    (f"{PLAIN}; client_max_window_bits", Terms(12, 12), "§7.1.2.2: what browsers say; the client can be asked"),
    (f"{PLAIN};client_max_window_bits=10", Terms(12, 10), "§7.1.2.2: a hint, which is taken"),
    (f"{PLAIN}; client_max_window_bits=15", Terms(12, 12), "asked for less than it has"),
    (f"{PLAIN}; client_max_window_bits=8", Terms(12, 8), "zlib reads what it does not write"),
    (f"{PLAIN}; server_max_window_bits=15", Terms(12, 15), "less than is allowed"),
    (f"{PLAIN}; server_max_window_bits=10", Terms(10, 15), "§7.1.2.1: never more"),
    (f"{PLAIN}; server_max_window_bits=9", Terms(9, 15), "zlib's least"),
    (f'{PLAIN}; server_max_window_bits="10"', Terms(10, 15), "§5: a quoted value is the same"),
    (f"{PLAIN}; server_max_window_bits=8", None, "zlib cannot"),
    (f"{PLAIN}; server_no_context_takeover", Terms(12, 15, True, False), "§7.1.1.1"),
    (f"{PLAIN}; client_no_context_takeover", Terms(12, 15, False, True), "§7.1.1.2"),
    (
        f"{PLAIN}; client_no_context_takeover; client_max_window_bits; "
        "server_no_context_takeover; server_max_window_bits=11",
        Terms(11, 12, True, True),
        "all four",
    ),
    (f"{PLAIN}; server_max_window_bits", None, "§7.1.2.1: a value is needed"),
    (f"{PLAIN}; server_max_window_bits=16", None, "§7.1.2.1: out of range"),
    (f"{PLAIN}; server_max_window_bits=7", None, "§7.1.2.1: out of range"),
    (f"{PLAIN}; server_max_window_bits=010", None, "§7.1.2: no leading zero"),
    (f"{PLAIN}; client_max_window_bits=16", None, "§7.1.2.2: out of range"),
    (f"{PLAIN}; client_max_window_bits=ten", None, "§7.1.2.2: no number"),
    (f"{PLAIN}; server_no_context_takeover=1", None, "§7.1.1.1: has no value"),
    (f"{PLAIN}; client_no_context_takeover=1", None, "§7.1.1.2: has no value"),
    (f"{PLAIN}; server_max_window_bits=10; server_max_window_bits=10", None, "§7.1: said twice"),
    (f"{PLAIN}; unheard_of", None, "§7.1: not known"),
    (f"{PLAIN}; unheard_of, {PLAIN}", Terms(12, 15), "§5.1: the next offer holds"),
    (f"{PLAIN}; server_max_window_bits=10, {PLAIN}", Terms(10, 15), "§5.1: the first that can be kept"),
    (f"other; a=b, {PLAIN}; client_max_window_bits", Terms(12, 12), "beside others"),
]


@pytest.mark.parametrize(("offers", "expected", "why"), TABLE, ids=[row[2] + ": " + row[0][18:40] for row in TABLE])
def test_what_is_agreed_on(offers: str, expected: Terms | None, why: str) -> None:
    assert agreed(offers) == expected, why


@pytest.mark.parametrize(
    "offers", [";", f"{PLAIN};", f"{PLAIN}; =1", f"{PLAIN}; a=", "two words", f'{PLAIN}; a="b c"', f"{PLAIN}, a b; c"]
)
def test_what_is_no_list_of_extensions(offers: str) -> None:
    """RFC 6455 §9.1: the handshake is refused."""
    with pytest.raises(ClientError) as refused:
        agreed(offers)
    assert refused.value.status == 400


@pytest.mark.parametrize(
    ("terms", "said"),
    [
        (Terms(12, 15), f"{PLAIN}; server_max_window_bits=12"),
        (Terms(10, 12), f"{PLAIN}; server_max_window_bits=10; client_max_window_bits=12"),
        (
            Terms(9, 8, True, True),
            f"{PLAIN}; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=9; "
            "client_max_window_bits=8",
        ),
    ],
)
def test_what_the_client_is_told(terms: Terms, said: str) -> None:
    """§7.1; and a client's window is never named where it did not offer to narrow it."""
    assert terms.said() == said
