"""What a key's value may be: the kinds that are made of others.

    ListOf(k)  OneOrMany(k)  Pairs(k, v)           arrays, and tables whose keys are the user's
    Table(cls)  Tables(cls)                        [section] and [[section]]
    Either(k, …)  As(k, make)                      a short form beside the long one: `static = "site/"` or { root = … }

Each part is read by its own kind, at its own place: `Spot.attempt` keeps what is wrong with one and goes on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from edgestack.config.kinds import FAILED, Kind
from edgestack.errors import ConfigError

if TYPE_CHECKING:
    from edgestack.config.reading import Spot

__all__ = ["As", "Either", "ListOf", "OneOrMany", "Pairs", "Table", "Tables"]


class ListOf(Kind):
    """An array whose elements are all of one kind; gives a tuple."""

    takes: tuple[type, ...] = (list,)

    def __init__(self, kind: Kind, words: str = "") -> None:
        self.kind = kind
        self.words = words or f"an array of {plural(kind.words)}"

    def read(self, value: Any, spot: Spot) -> Any:
        """All that could be read; FAILED when one could not."""
        found = [spot.attempt(self.kind, one, at) for at, one in enumerate(value)]
        return FAILED if any(one is FAILED for one in found) else tuple(found)

    def plain(self, text: str) -> Any:
        """Several in one text, separated by spaces or commas."""
        return [self.kind.plain(word) for word in text.replace(",", " ").split()]

    def schema(self) -> dict[str, Any]:
        """An array."""
        return {"type": "array", "items": self.kind.schema()}

    def sections(self) -> tuple[type, ...]:
        """Those of its elements."""
        return self.kind.sections()


class OneOrMany(ListOf):
    """The same, where a single one needs no brackets."""

    def __init__(self, kind: Kind, words: str = "") -> None:
        super().__init__(kind, words or f"{kind.words}, or an array of {plural(kind.words)}")
        self.takes = (list, *(one for one in kind.takes if one is not list))

    def read(self, value: Any, spot: Spot) -> Any:
        """A tuple in both cases."""
        if type(value) is list:
            return super().read(value, spot)
        found = spot.reading.value(self.kind, value, spot)
        return found if found is FAILED else (found,)

    def any_text(self) -> bool:
        """As its kind."""
        return self.kind.any_text()

    def schema(self) -> dict[str, Any]:
        """One, or an array."""
        return {"anyOf": [self.kind.schema(), super().schema()]}


class Pairs(Kind):
    """A table whose keys are the user's own; gives a tuple of (key, value), in order."""

    takes = (dict,)

    def __init__(self, words: str, keys: Kind, kind: Kind, *, partial: bool = False) -> None:
        """
        :param words: what it is, with an article.
        :param keys: what the keys may be; an error in one is told at the key.
        :param partial: whether what could be read is kept when something else could not.
        """
        self.words = words
        self.partial = partial
        self.keys = keys
        self.kind = kind

    def read(self, value: Any, spot: Spot) -> Any:
        """All pairs; FAILED when one could not be read."""
        found = []
        for name, raw in value.items():
            part = spot.part(name)
            try:
                key = self.keys.read(name, part)
            except ConfigError as error:
                spot.reading.key_problem(part.mark, error.why, error.hint, key=name)
                key = FAILED
            found.append((key, spot.attempt(self.kind, raw, name)))
        good = tuple(pair for pair in found if FAILED not in pair)
        return good if self.partial or len(good) == len(found) else FAILED

    def schema(self) -> dict[str, Any]:
        """An object with any properties of that kind."""
        return {"type": "object", "additionalProperties": self.kind.schema()}

    def sections(self) -> tuple[type, ...]:
        """Those of its values."""
        return self.kind.sections()


class Table(Kind):
    """A table of keys that a section defines."""

    takes = (dict,)

    def __init__(self, cls: type, words: str = "a table") -> None:
        self.cls = cls
        self.words = words

    def read(self, value: Any, spot: Spot) -> Any:
        """The section."""
        found = spot.reading.table(self.cls, value, spot.mark)
        return FAILED if found is None else found

    def schema(self) -> dict[str, Any]:
        """A reference to the section's definition."""
        return {"$ref": f"#/$defs/{self.cls.__name__}"}

    def sections(self) -> tuple[type, ...]:
        """Its own."""
        return (self.cls,)


class Tables(ListOf):
    """An array of such tables; those that could not be read are left out, and the others kept."""

    def __init__(self, cls: type) -> None:
        super().__init__(Table(cls), "an array of tables")

    def read(self, value: Any, spot: Spot) -> Any:
        """Pairs of (section, Mark): whoever checks them further needs their places."""
        found = ((spot.attempt(self.kind, one, at), spot.mark.child(at)) for at, one in enumerate(value))
        return tuple(pair for pair in found if pair[0] is not FAILED)


class As(Kind):
    """Another kind, whose value is made into something else: the short form of a section."""

    def __init__(self, kind: Kind, make: Callable[[Any], Any]) -> None:
        self.kind = kind
        self.make = make
        self.words = kind.words
        self.takes = kind.takes

    def read(self, value: Any, spot: Spot) -> Any:
        """What is made of it."""
        found = self.kind.read(value, spot)
        return FAILED if found is FAILED else self.make(found)

    def plain(self, text: str) -> Any:
        """As its kind."""
        return self.kind.plain(text)

    def any_text(self) -> bool:
        """As its kind."""
        return self.kind.any_text()

    def schema(self) -> dict[str, Any]:
        """That of its kind."""
        return self.kind.schema()

    def sections(self) -> tuple[type, ...]:
        """Those of its kind."""
        return self.kind.sections()


class Either(Kind):
    """The first of several kinds that reads such a type."""

    def __init__(self, *kinds: Kind, words: str = "") -> None:
        self.kinds = kinds
        self.words = words or ", or ".join(dict.fromkeys(kind.words for kind in kinds))
        self.takes = tuple(dict.fromkeys(one for kind in kinds for one in kind.takes))

    def read(self, value: Any, spot: Spot) -> Any:
        """By the kind that is meant."""
        return next(kind for kind in self.kinds if type(value) in kind.takes).read(value, spot)

    def plain(self, text: str) -> Any:
        """By the first kind that this text is written for; the last takes what is none of theirs."""
        meant = [(kind.plain(text), kind) for kind in self.kinds]
        return next((found for found, kind in meant if type(found) in kind.takes), meant[-1][0])

    def any_text(self) -> bool:
        """If one of them is."""
        return any(kind.any_text() for kind in self.kinds)

    def schema(self) -> dict[str, Any]:
        """Any of them."""
        return {"anyOf": [kind.schema() for kind in self.kinds]}

    def sections(self) -> tuple[type, ...]:
        """All of theirs."""
        return tuple(one for kind in self.kinds for one in kind.sections())


def plural(words: str) -> str:
    """ "a network" -> "networks"; what has no article stays."""
    noun = words.removeprefix("a ").removeprefix("an ")
    return words if noun == words else noun.partition(" ")[0] + "s" + noun[len(noun.partition(" ")[0]) :]
