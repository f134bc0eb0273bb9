"""CORS preflight requests are answered with 204 (the Fetch standard, §3.2.2)."""

from __future__ import annotations

import pytest
from phases_kit import coming

from edgestack.phases.preflight import preflight


@pytest.mark.parametrize(
    ("method", "fields", "answered"),
    [
        ("OPTIONS", {"origin": "https://a.example", "access_control_request_method": "PUT"}, True),
        ("OPTIONS", {"origin": "https://a.example"}, False),
        ("OPTIONS", {"access_control_request_method": "PUT"}, False),
        ("GET", {"origin": "https://a.example", "access_control_request_method": "PUT"}, False),
    ],
)
def test_only_preflights(method: str, fields: dict[str, str], answered: bool) -> None:
    check = preflight(("security-headers", "cors"))
    assert check is not None
    exchange = coming(method=method, **fields)
    answer = check(exchange)
    assert (answer is not None) is answered
    assert ("answered" in check.describe(exchange)) is answered
    if answer is not None:
        assert answer.status == 204
        assert answer.field("Access-Control-Allow-Origin") == "*"
        assert answer.field("Access-Control-Allow-Headers") == "*, Authorization"


def test_without_the_preset_there_is_no_link() -> None:
    assert preflight(("spa",)) is None
