"""Routes that proxy, in memory: `explain` says where they lead, and the tests of a configuration ask nobody."""

from __future__ import annotations

from pathlib import Path

import pytest
from compose_kit import plan

from edgestack.explaining import run_tests

CONFIG = """
[server]
tls = false
[upstream.backend]
servers = ["127.0.0.1:1"]
[[route]]
match = "/api/"
proxy = "http://backend/v1/"
[[route]]
match = "/any"
proxy = "http://$arg_to"
[[route]]
match = "/"
static = "site/"
try = ["$uri", "@backend"]
[[route]]
match = "@backend"
proxy = "http://backend"
"""

EXPLAINED = [
    ("/api/a%20b?x=1", "GET /v1/a%20b?x=1 of http://backend"),
    ("/any?to=127.0.0.1:2", "GET /any?to=127.0.0.1:2 of http://127.0.0.1:2"),
    ("/not/here", "GET /not/here of http://backend"),
    ("/api", "301 to /api/"),
]


@pytest.mark.parametrize(("path", "told"), EXPLAINED)
def test_explain(tmp_path: Path, path: str, told: str) -> None:
    steps = plan(tmp_path, CONFIG).explain("GET", path)
    assert told in [step.says for step in steps]


def test_tests_ask_nobody(tmp_path: Path) -> None:
    """An upstream is as if it were not there."""
    test = '[[test]]\nrequest = "GET http://localhost/api/x"\nexpect = { status = 502, route = "/api/" }\n'
    (outcome,) = run_tests(plan(tmp_path, CONFIG + test))
    assert outcome.failures == ()
