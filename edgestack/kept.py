"""What outlives a plan: state kept under the value of its config section, and let go when no plan asks for it any more.

    kept = Kept()
    with kept.next() as keep:                         # one plan is assembled
        keep(limit, lambda: Counters(limit))          # as before, where the section is unchanged; else made now

A section that is unchanged keeps its object, and so its state. What the new plan does not ask for is let go when it is
adopted; exchanges that began under the old plan still hold it themselves. When assembling fails, nothing has changed.
It must not know what it keeps.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

__all__ = ["Keep", "Kept", "anew"]

Keep: TypeAlias = "Callable[[Hashable, Callable[[], Any]], Any]"
"""`keep(key, make)`: the object kept under an equal key, or what `make()` gives."""


def anew(key: Hashable, make: Callable[[], Any]) -> Any:
    """Keeps nothing: for plans that nothing outlives, as in tests and for `explain`."""
    return make()


class Kept:
    """The state of one running edge, by section."""

    __slots__ = ("_kept",)

    def __init__(self) -> None:
        self._kept: dict[Hashable, Any] = {}

    @contextmanager
    def next(self) -> Iterator[Keep]:
        """For the length of a block, gives what a new plan asks for; at its end, what it did not ask for is let go."""
        asked: dict[Hashable, Any] = {}

        def keep(key: Hashable, make: Callable[[], Any]) -> Any:
            if key not in asked:
                asked[key] = self._kept[key] if key in self._kept else make()
            return asked[key]

        yield keep
        self._kept = asked
