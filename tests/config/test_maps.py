"""Variables of the user's own: from when on a map is known, and what it gives then (nginx's ngx_http_map_module)."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgestack.config.load import load
from edgestack.config.map_checks import own_variables
from edgestack.config.problems import ConfigErrors
from edgestack.http.facts import Facts
from edgestack.http.messages import Exchange, Request
from edgestack.http.target import read_path
from edgestack.http.variables import Scope, Variable, custom_format

TEXT = """
[map.plan]
from = "{source}"
to = {{ gold = "paid", OK = "whole", 502 = "bad", ann = "known" }}
default = "other"
[map.second]
from = "$plan"
to = {{ other = "1" }}
default = "2"
[[route]]
auth_request = {{ path = "/auth", set = {{ user = "X-User" }} }}
respond = "hello"
{keys}
[[route]]
match = "= /auth"
respond = 204
"""


def variables(folder: Path, source: str, keys: str = "") -> dict[str, Variable]:
    """What a configuration makes."""
    file = folder / "edgestack.toml"
    file.write_text(TEXT.format(source=source, keys=keys))
    config = load(file).config
    return own_variables(config.maps, config.all_sites())


def exchange() -> Exchange:
    fields = {"host": "a", "x-plan": "gold"}
    made = Exchange(Facts(), Request("GET", "/", "HTTP/1.1", [], fields, read_path("/"), "", "a", True), 1, 0.0)
    made.status, made.noted = 502, {"user": "ann"}
    return made


MOMENTS = [
    ("$http_x_plan", "request", "paid"),
    ("literal", "request", "other"),
    ("$user", "content", "known"),
    ("$upstream_status", "upstream", "other"),
    ("$status", "response", "bad"),
    ("$request_completion", "response", "whole"),
    ("$host $status", "response", "other"),
]


@pytest.mark.parametrize(("source", "moment", "value"), MOMENTS)
def test_a_map_is_known_as_soon_as_what_it_looks_at(tmp_path: Path, source: str, moment: str, value: str) -> None:
    """And so is a map that looks at it; both can stand in a log line, when all is known."""
    made = variables(tmp_path, source)
    assert (made["plan"].moment, made["second"].moment) == (moment, moment)
    line = custom_format("$plan $second", Scope(maps=made))
    assert line(exchange()) == f"{value} {'1' if value == 'other' else '2'}\n"


USES = [
    ("$http_x_plan", 'headers = { set = { X-Plan = "$second" } }', True),
    ("$upstream_status", 'headers = { set = { X-Plan = "$second" } }', True),
    ("$status", 'headers = { set = { X-Plan = "$second" } }', False),
    ("$http_x_plan", 'limit = { rate = "1/s", by = "$second" }', True),
    ("$user", 'limit = { rate = "1/s", by = "$second" }', False),
    ("$upstream_status", 'limit = { rate = "1/s", by = "$second" }', False),
]


@pytest.mark.parametrize(("source", "keys", "fits"), USES)
def test_a_map_cannot_be_used_before(tmp_path: Path, source: str, keys: str, fits: bool) -> None:
    if fits:
        assert variables(tmp_path, source, keys)
        return
    with pytest.raises(ConfigErrors, match=r"`\$second` is known only when"):
        variables(tmp_path, source, keys)


def test_a_whole_answer_and_half_of_one(tmp_path: Path) -> None:
    """What nginx's users write as `map $request_completion $done`."""
    line = custom_format("$plan", Scope(maps=variables(tmp_path, "$request_completion")))
    made = exchange()
    assert line(made) == "whole\n"
    made.break_off()
    assert (line(made), made.status) == ("other\n", 502)
