"""How an error looks: the line, the caret, the hint (issue 3, "Its errors")."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgestack.config.positions import Source
from edgestack.config.problems import ConfigErrors, Problem, did_you_mean, listed, nearest
from edgestack.errors import ConfigError


def shown(text: str, culprit: str, hint: str = "") -> list[str]:
    start = text.index(culprit)
    problem = Problem("why", Source("f.toml", text, Path()), (start, start + len(culprit)), hint=hint)
    return problem.shown().splitlines()


@pytest.mark.parametrize(
    ("text", "culprit", "lines"),
    [
        ("a = 1", "1", ["f.toml:1:5: why", "1 | a = 1", "  |     ^"]),
        ("x = 1\na = 1  \n", "a", ["f.toml:2:1: why", "2 | a = 1", "  | ^"]),
        ("\ta\t= 1", "1", ["f.toml:1:6: why", "1 | \ta\t= 1", "  | \t \t  ^"]),
        ("a = '日本' # 1", "1", ["f.toml:1:12: why", "1 | a = '日本' # 1", "  |              ^"]),
        ("a = '日本'", "'日本'", ["f.toml:1:5: why", "1 | a = '日本'", "  |     ^^^^^^"]),
        ("a = [\n1]", "[\n1]", ["f.toml:1:5: why", "1 | a = [", "  |     ^"]),
        ("\n" * 99 + "a = 1", "1", ["f.toml:100:5: why", "100 | a = 1", "    |     ^"]),
    ],
)
def test_the_caret_stands_under_the_culprit(text: str, culprit: str, lines: list[str]) -> None:
    assert shown(text, culprit) == lines


def test_a_hint_stands_behind_the_caret_or_below() -> None:
    assert shown("a = 1", "1", "did you mean 2?")[2] == "  |     ^ did you mean 2?"
    assert shown("a = 1", "1", "h" * 95)[2:] == ["  |     ^", f"  = {'h' * 95}"]


@pytest.mark.parametrize("at", [0, 1, 50, 99, 100, 101, 150, 250, 299])
def test_a_long_line_is_cut_around_the_caret(at: int) -> None:
    text = "." * at + "X" + "." * (299 - at)
    _, line, carets = shown(text, "X")
    assert len(line) <= len("1 | ") + 100
    assert line[carets.index("^")] == "X"


def test_without_a_file_it_is_one_line() -> None:
    problem = Problem("why", Source("--threads", "", Path()), (0, 0), hint="hint")
    assert problem.shown() == "--threads: why (hint)"


def test_all_of_them() -> None:
    one = ConfigError("first")
    errors = ConfigErrors([one, Problem("second", Source("f", "a = 1", Path()), (0, 1))])
    assert str(errors) == "first\n\nf:1:1: second\n1 | a = 1\n  | ^"
    assert errors.why == "2 errors"
    assert ConfigErrors([one]).why == "first"


def test_words() -> None:
    assert nearest("Treads", ["threads", "tls"]) == "threads"
    assert nearest("x", ["threads"]) == ""
    assert did_you_mean("tread", ["threads"]) == "did you mean `threads`?"
    assert [listed(names) for names in ([], ["a"], ["a", "b"], ["a", "b", "c"])] == [
        "", "`a`", "`a` and `b`", "`a`, `b` and `c`",
    ]  # fmt: skip
