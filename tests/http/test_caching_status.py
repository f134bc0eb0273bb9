"""Criterion D9: Cache-Status (RFC 9211), read back by a library that shares no code with ours."""

from __future__ import annotations

from typing import Any

import http_sf
import pytest

from edgestack.http.caching_status import cache_status


@pytest.mark.parametrize(
    ("said", "expected", "parameters"),
    [
        # §4 has these examples
        ({"hit": True}, "edgestack; hit", {"hit": True}),
        ({"hit": True, "ttl": 376}, "edgestack; hit; ttl=376", {"hit": True, "ttl": 376}),
        ({"hit": True, "ttl": -412}, "edgestack; hit; ttl=-412", {"hit": True, "ttl": -412}),
        (
            {"fwd": "uri-miss", "fwd_status": 200, "stored": True},
            "edgestack; fwd=uri-miss; fwd-status=200; stored",
            {"fwd": "uri-miss", "fwd-status": 200, "stored": True},
        ),
        (
            {"fwd": "stale", "fwd_status": 304, "ttl": 60},
            "edgestack; fwd=stale; fwd-status=304; ttl=60",
            {"fwd": "stale", "fwd-status": 304, "ttl": 60},
        ),
        (
            {"fwd": "uri-miss", "collapsed": True},
            "edgestack; fwd=uri-miss; collapsed",
            {"fwd": "uri-miss", "collapsed": True},
        ),
        (
            {"fwd": "bypass", "detail": 'a "b"\r\n'},
            'edgestack; fwd=bypass; detail="a \\"b\\"??"',
            {"fwd": "bypass", "detail": 'a "b"??'},
        ),
        # §2.1, §2.2: hit and fwd exclude each other; the rest is about what was forwarded
        ({"hit": True, "fwd": "stale"}, "edgestack; fwd=stale", {"fwd": "stale"}),
        ({"hit": True, "fwd_status": 200, "stored": True, "collapsed": True}, "edgestack; hit", {"hit": True}),
        ({}, "edgestack", {}),
    ],
)
def test_a_member(said: dict[str, Any], expected: str, parameters: dict[str, Any]) -> None:
    """D9"""
    found = cache_status(**said)
    assert found == expected
    [(name, read)] = http_sf.parse(found.encode(), tltype="list")
    assert name == "edgestack"
    assert read == parameters
