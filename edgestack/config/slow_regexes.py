"""Regexes that some text keeps busy for ever: each character more doubles the time, and a stranger sends the text.

    (a+)+$     (\\w+\\s?)*:     ([a-z]+[a-z0-9])*-     (ab|ab)*y        slow(pattern) -> True

Python's engine goes back and tries all ways in which a text may be divided. Their number grows exponentially where
something that repeats without end can be divided in two ways, and where something that may not fit comes after it:

    repeated inside repeated    and all else in the outer one may be left out, or fits what the inner one fits
    alternatives, repeated      two of which fit the same text

Judged by the sets of characters that parts fit, in the engine's own parse tree (`re._parser`, CPython 3.11 on). Told,
as warnings, are the shapes by which this happens in practice; a pattern that is not told need not be quick.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgestack.config.positions import Mark
    from edgestack.config.reading import Reading

__all__ = ["slow", "warn_slow"]

_parser: Any = importlib.import_module("re._parser")
_names: Any = importlib.import_module("re._constants")
LETTERS = frozenset(range(256))
"""Paths and fields are compared as latin-1 or as what was decoded; these characters are enough to find a clash."""
ENDLESS = _names.MAXREPEAT
REPEATS = (_names.MAX_REPEAT, _names.MIN_REPEAT)
"""Those that go back; possessive ones and atomic groups do not."""
CATEGORIES = {
    _names.CATEGORY_DIGIT: r"\d", _names.CATEGORY_NOT_DIGIT: r"\D", _names.CATEGORY_SPACE: r"\s",
    _names.CATEGORY_NOT_SPACE: r"\S", _names.CATEGORY_WORD: r"\w", _names.CATEGORY_NOT_WORD: r"\W",
}  # fmt: skip
Node = tuple[Any, Any]


def warn_slow(pattern: re.Pattern[str], reading: Reading, mark: Mark, key: str, *, on_key: bool = False) -> None:
    """Tell of a slow one, where it stands."""
    if slow(pattern.pattern):
        why = "some text keeps this regex busy for ever: each character more doubles the time"
        hint = r"what repeats inside a repetition must end in one way only: a+ for (a+)+, \w[\w\s]* for (\w+\s?)+"
        reading.warn(mark, why, hint, key=key, on_key=on_key)


def slow(pattern: str) -> bool:
    """Whether a text can keep this regex busy for a time that doubles with each character of it.

    :param pattern: one that compiles.
    """
    return _slow(list(_parser.parse(pattern)), may_fail=False)


def _slow(nodes: Sequence[Node], may_fail: bool) -> bool:
    """:param may_fail: whether something comes after these that may not fit."""
    for at, (kind, what) in enumerate(nodes):
        fails = may_fail or any(_can_fail(node) for node in nodes[at + 1 :])
        if kind in REPEATS and what[1] == ENDLESS and fails and _divides(list(what[2])):
            return True
        again = kind in REPEATS and what[1] > 1  # the next round comes after each round
        if any(_slow(inner, fails or again) for inner in _inside(kind, what)):
            return True
    return False


def _inside(kind: Any, what: Any) -> Iterator[list[Node]]:
    """The sequences that a node is made of."""
    if kind in (*REPEATS, _names.POSSESSIVE_REPEAT):
        yield list(what[2])
    elif kind is _names.SUBPATTERN:
        yield list(what[3])
    elif kind is _names.BRANCH:
        yield from (list(one) for one in what[1])
    elif kind is _names.ATOMIC_GROUP:
        yield list(what)
    elif kind in (_names.ASSERT, _names.ASSERT_NOT):
        yield list(what[1])


def _divides(body: list[Node]) -> bool:
    """Whether the same text can be made of rounds of `body` in two ways."""
    for nodes in _ways(body):
        for at, (kind, what) in enumerate(nodes):
            if kind in REPEATS and what[1] == ENDLESS:
                again = _letters(what[2])
                others = [node for node in (*nodes[:at], *nodes[at + 1 :]) if not _optional(node)]
                if again and all(_letters([node]) & again for node in others):
                    return True
            if kind is _names.BRANCH and _clash([list(one) for one in what[1]]):
                return True
    return False


def _ways(body: list[Node]) -> Iterator[list[Node]]:
    """A sequence without the groups around its parts, and each alternative where it is nothing but alternatives."""
    flat: list[Node] = []
    for kind, what in body:
        if kind is _names.SUBPATTERN:
            flat += next(_ways(list(what[3])))
        else:
            flat.append((kind, what))
    yield flat
    if len(flat) == 1 and flat[0][0] is _names.BRANCH:
        for one in flat[0][1][1]:
            yield from _ways(list(one))


def _clash(ways: list[list[Node]]) -> bool:
    """Whether two alternatives, of as many characters each, fit the same text."""
    texts = [[_letters([node]) for node in way] for way in ways if way and all(_single(node) for node in way)]
    return any(
        len(one) == len(other) and all(mine & yours for mine, yours in zip(one, other, strict=True))
        for at, one in enumerate(texts)
        for other in texts[at + 1 :]
    )


def _single(node: Node) -> bool:
    return node[0] in (_names.LITERAL, _names.NOT_LITERAL, _names.ANY, _names.IN)


def _optional(node: Node) -> bool:
    """Whether it fits the empty text."""
    kind, what = node
    if kind in (*REPEATS, _names.POSSESSIVE_REPEAT):
        return what[0] == 0 or all(map(_optional, what[2]))
    if kind is _names.BRANCH:
        return any(all(map(_optional, one)) for one in what[1])
    if kind in (_names.SUBPATTERN, _names.ATOMIC_GROUP):
        return all(map(_optional, next(_inside(kind, what))))
    return not _single(node) and kind is not _names.GROUPREF


def _can_fail(node: Node) -> bool:
    """Whether there is a text that it does not fit."""
    return not _optional(node) or node[0] in (_names.AT, _names.ASSERT, _names.ASSERT_NOT, _names.GROUPREF)


def _letters(nodes: Sequence[Node]) -> frozenset[int]:
    """The characters that parts may fit somewhere."""
    found: frozenset[int] = frozenset()
    for kind, what in nodes:
        if kind is _names.LITERAL:
            found |= {what}
        elif kind is _names.NOT_LITERAL:
            found |= LETTERS - {what}
        elif kind is _names.ANY:
            found |= LETTERS
        elif kind is _names.IN:
            found |= _listed(what)
        else:
            for inner in _inside(kind, what):
                found |= _letters(inner)
    return found


def _listed(items: Sequence[Node]) -> frozenset[int]:
    """The characters of `[…]`."""
    found: frozenset[int] = frozenset()
    for kind, what in items:
        if kind is _names.LITERAL:
            found |= {what}
        elif kind is _names.RANGE:
            found |= frozenset(range(what[0], what[1] + 1)) if what[1] < 256 else LETTERS - frozenset(range(what[0]))
        elif kind is _names.CATEGORY:
            found |= {code for code in LETTERS if re.match(CATEGORIES[what], chr(code))}
    return LETTERS - found if (_names.NEGATE, None) in items else found
