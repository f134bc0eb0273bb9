"""Header rules: merged across levels (B9), for the statuses of B10, and encoded once for a static entry."""

from __future__ import annotations

import pytest
from phases_kit import coming, fields_of

from edgestack.config.inheriting import headers
from edgestack.config.model import HeaderRules
from edgestack.config.presets import MEANINGS
from edgestack.http.messages import Response
from edgestack.http.variables import Scope
from edgestack.phases.header_rules import STATUSES, header_rules, strict_transport

GIVEN = Response(200, (("Content-Type", "text/html"), ("X-A", "1"), ("x-a", "2"), ("X-B", "3")), b"hello")


@pytest.mark.parametrize(
    ("rules", "lines"),
    [
        ([HeaderRules(set=(("X-C", "4"),))], ["Content-Type: text/html", "X-A: 1", "x-a: 2", "X-B: 3", "X-C: 4"]),
        ([HeaderRules(set=(("X-a", "4"),))], ["Content-Type: text/html", "X-a: 4", "X-B: 3"]),
        ([HeaderRules(add=(("X-A", "4"),))], ["Content-Type: text/html", "X-A: 1", "x-a: 2", "X-B: 3", "X-A: 4"]),
        ([HeaderRules(remove=("x-A",))], ["Content-Type: text/html", "X-B: 3"]),
        ([HeaderRules(remove=("x-a",), add=(("X-A", "9"),))], ["Content-Type: text/html", "X-B: 3", "X-A: 9"]),
        (
            [HeaderRules(set=(("X-C", "site"),)), HeaderRules(set=(("X-C", "route"),), remove=("X-A", "X-B"))],
            ["Content-Type: text/html", "X-C: route"],
        ),
        ([HeaderRules(set=(("X-A", "$arg_none"),))], ["Content-Type: text/html", "X-B: 3"]),
        (
            [HeaderRules(add=(("X-D", "$arg_none"),))],
            ["Content-Type: text/html", "X-A: 1", "x-a: 2", "X-B: 3"],
        ),
    ],
)  # fmt: skip
def test_b9_set_add_remove(rules: list[HeaderRules], lines: list[str]) -> None:
    apply = header_rules(rules)
    assert apply is not None
    assert fields_of(apply(coming(), GIVEN)) == lines
    assert len(GIVEN.fields) == 4, "the answer itself is as it was"


def test_b9_levels_merge_unless_they_replace() -> None:
    site, route = (HeaderRules(set=(("X-S", "1"),)),), HeaderRules(set=(("X-R", "2"),))
    plain = Response(200)
    merged = header_rules(headers(site, (route,)))
    replaced = header_rules(headers(site, (HeaderRules(set=route.set, replace=True),)))
    assert merged is not None
    assert replaced is not None
    assert fields_of(merged(coming(), plain)) == ["X-S: 1", "X-R: 2"]
    assert fields_of(replaced(coming(), plain)) == ["X-R: 2"]


def test_b9_nothing_to_do_is_no_link() -> None:
    assert header_rules(()) is None
    assert header_rules([HeaderRules(replace=True)]) is None


@pytest.mark.parametrize("status", [200, 201, 202, 204, 206, 301, 302, 303, 304, 307, 308, 400, 404, 429, 500, 503])
def test_b10_statuses(status: int) -> None:
    usual = header_rules([HeaderRules(set=(("X-U", "1"),)), HeaderRules(set=(("X-E", "2"),), always=True)])
    assert usual is not None
    expected = ["X-U: 1", "X-E: 2"] if status in (200, 201, 204, 206, 301, 302, 303, 304, 307, 308) else ["X-E: 2"]
    assert fields_of(usual(coming(), Response(status))) == expected
    assert (status in STATUSES) == (len(expected) == 2)


def test_fixed_rules_are_worked_out_once_for_a_shared_answer() -> None:
    apply = header_rules([HeaderRules(set=(("X-C", "4"),))])
    other = header_rules([HeaderRules(set=(("X-C", "5"),))])
    assert apply is not None
    assert other is not None
    first = apply(coming(), GIVEN)
    assert apply(coming("/other"), GIVEN) is first
    assert first.body is GIVEN.body
    assert first.at_once
    assert fields_of(other(coming(), GIVEN))[-1] == "X-C: 5", "another route's rules are not mixed up with these"
    assert fields_of(apply(coming(), GIVEN))[-1] == "X-C: 4"


def test_an_answer_that_no_rule_changes_stays_the_same_and_refers_not_to_itself() -> None:
    apply = header_rules([HeaderRules(set=(("X-C", "4"),))])
    assert apply is not None
    answer = Response(404)
    assert apply(coming(), answer) is answer
    assert apply(coming(), answer) is answer
    assert answer.changed == (apply, None)


def test_rules_with_variables_are_worked_out_each_time() -> None:
    apply = header_rules(
        [HeaderRules(set=(("X-F", "fixed"),)), HeaderRules(set=(("X-V", "$arg_v"),)), HeaderRules(add=(("X-F", "2"),))],
        Scope(),
    )
    assert apply is not None
    assert fields_of(apply(coming("/?v=1"), Response(200))) == ["X-F: fixed", "X-V: 1", "X-F: 2"]
    shared = Response(200)
    assert fields_of(apply(coming("/?v=a"), shared))[1] == "X-V: a"
    assert fields_of(apply(coming("/?v=b"), shared))[1] == "X-V: b"


def test_what_was_decoded_cannot_break_a_head() -> None:
    apply = header_rules([HeaderRules(set=(("X-U", "$uri"),))])
    assert apply is not None
    assert fields_of(apply(coming("/a%0d%0aSet-Cookie:x"), Response(200))) == ["X-U: /a%0D%0ASet-Cookie:x"]


def test_security_headers_are_plain_header_rules() -> None:
    rules = MEANINGS["security-headers"].headers
    assert rules is not None
    apply = header_rules([rules])
    assert apply is not None
    lines = fields_of(apply(coming(), Response(500)))
    assert "X-Content-Type-Options: nosniff" in lines
    assert len(lines) == 5


def test_strict_transport_security_over_tls_only() -> None:
    """RFC 6797 §7.2."""
    apply = strict_transport("max-age=31536000")
    assert apply is not None
    answer = Response(404)
    assert fields_of(apply(coming(), answer)) == []
    assert fields_of(apply(coming(scheme="https"), answer)) == ["Strict-Transport-Security: max-age=31536000"]
    assert apply(coming(scheme="https"), answer) is apply(coming(scheme="https"), answer)
    assert strict_transport("") is None


def test_rules_tell_what_they_do() -> None:
    apply = header_rules([HeaderRules(set=(("X-A", "1"),), remove=("x-b",), always=True)])
    assert apply is not None
    assert apply.describe(coming()) == "remove x-b; set X-A (always)"
