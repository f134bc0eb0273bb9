"""Two generations of what was worked out before: bounded, and what is used stays."""

from __future__ import annotations

import pytest

from edgestack.http.remembered import Remembered


class Squares(Remembered[int, int]):
    __slots__ = ("made",)

    def __init__(self, budget: int) -> None:
        super().__init__(budget)
        self.made: list[int] = []

    def make(self, key: int) -> int:
        if key < 0:
            raise ValueError(key)
        self.made.append(key)
        return key * key

    def weigh(self, key: int, value: int) -> int:
        return 0 if key >= 1000 else 1


def test_made_once() -> None:
    table = Squares(10)
    assert [table[3], table[3]] == [9, 9]
    assert table.made == [3]


@pytest.mark.parametrize(("fresh", "made_again"), [(9, False), (19, False), (20, True)])
def test_forgotten_after_two_generations(fresh: int, made_again: bool) -> None:
    """A budget of 10: with `fresh` new keys after it, 3 is in the young generation, in the old one, or gone."""
    table = Squares(10)
    table[3]
    for key in range(100, 100 + fresh):
        table[key]
    table.made.clear()
    assert table[3] == 9
    assert table.made == ([3] if made_again else [])


def test_what_is_used_outlives_a_flood() -> None:
    table = Squares(10)
    for key in range(100, 600):
        assert table[3] == 9
        table[key]
        assert len(table) <= 10
        assert len(table.old) <= 10
    assert table.made.count(3) == 1


def test_what_weighs_nothing_is_not_kept() -> None:
    table = Squares(10)
    assert [table[1000], table[1000]] == [1000000, 1000000]
    assert table.made == [1000, 1000]
    assert table == {}


def test_errors_pass_and_leave_nothing() -> None:
    table = Squares(10)
    with pytest.raises(ValueError):
        table[-1]
    assert table == {}
