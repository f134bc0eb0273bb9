"""The page that all workers share, and whose turn it is to accept."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from edgestack.process.board import ROWS, Board, Turns


@pytest.fixture
def board() -> Iterator[Board]:
    board = Board()
    yield board
    board.close()


def live(turns: Turns, connections: int, accepts: bool = True) -> None:
    turns.live(pid=1, connections=connections, lost=0, requests=0, accepts=accepts)


def test_rows_are_given_out_and_taken_back(board: Board) -> None:
    assert [board.take() for _ in range(3)] == [0, 1, 2]
    board.wipe(1)
    assert board.rows() == 3
    assert board.take() == 1
    board.wipe(2)
    assert board.rows() == 2
    for _ in range(ROWS - 2):
        board.take()
    with pytest.raises(IndexError):
        board.take()


def test_what_one_says_the_others_read(board: Board) -> None:
    other = Board(board.fd)
    turns = Turns(board, board.take())
    turns.live(pid=77, connections=5, lost=1, requests=900, accepts=True)
    row = other.read(0)
    assert (row.pid, row.connections, row.lost, row.requests, row.accepts) == (77, 5, 1, 900, True)
    assert row.alive > 0


@pytest.mark.parametrize(
    ("mine", "others", "is_mine"),
    [
        (0, [0], True),
        (2, [0], True),
        (3, [0], False),
        (3, [5], True),
        (18, [15], True),  # two more, and an eighth
        (19, [15], False),
        (100, [90], True),
        (104, [90], False),
        (3, [9, 9, 0], False),
    ],
)
def test_who_has_more_gives_way(board: Board, mine: int, others: list[int], is_mine: bool) -> None:
    turns = [Turns(board, board.take()) for _ in range(1 + len(others))]
    for there, connections in zip(turns[1:], others, strict=True):
        live(there, connections)
    assert turns[0].mine(mine) is is_mine
    assert board.read(0).connections == mine


def test_nobody_gives_way_to_one_that_does_not_accept(board: Board) -> None:
    """It is starting, or it leaves; or its row was wiped."""
    me, there = Turns(board, board.take()), Turns(board, board.take())
    live(there, 0, accepts=False)
    assert me.mine(50)
    live(there, 0)
    assert not me.mine(50)
    board.wipe(1)
    assert me.mine(50)
