"""What a key's value may be: the plain kinds. Those made of others are in `nested_kinds.py`.

    TEXT SWITCH WHOLE DURATION SIZE RATE FLOW      one value
    Choice("1.2", "1.3")  Whole(1, 65535)          one of some
    Literal(False, None)                           one value that stands for another

A kind says in `words` what would be right, in `takes` which TOML types it reads, and in `schema` the same in JSON
Schema (draft 2020-12). `read` gives the value for the section, or raises ConfigError with why and hint; who called it
knows the place. Kinds for what HTTP knows are in `http_kinds.py`, those that look at the disk in `place_kinds.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from edgestack.config import values
from edgestack.config.problems import did_you_mean, listed
from edgestack.errors import ConfigError

if TYPE_CHECKING:
    from edgestack.config.reading import Spot

__all__ = [
    "DURATION", "DURATION_OR_0", "FAILED", "FLOW", "RATE", "SIZE", "SWITCH", "TEXT", "WHOLE", "Choice", "Kind",
    "Literal", "NotHere", "Whole",
]  # fmt: skip


class Failed:
    """What a reading gives that failed; the error is kept already."""


FAILED: Final = Failed()


class NotHere(ConfigError):
    """The value is well written, but this machine does not have what it names: no example would help."""


YES, NO = ("true", "yes", "on", "1"), ("false", "no", "off", "0")
"""How a switch is written in an environment variable, as click reads it."""


class Kind:
    """One kind of value."""

    words: str = "a value"
    """With its article: "`threads` is a whole number, not text"."""
    takes: tuple[type, ...] = (str,)
    """The TOML types that it reads."""

    def read(self, value: Any, spot: Spot) -> Any:
        """The value for the section.

        :raises ConfigError: it is not what it should be.
        """
        return value

    def plain(self, text: str) -> Any:
        """The TOML value that a flag or an environment variable means by this text."""
        return text

    def gathered(self, values: list[Any]) -> Any:
        """The TOML value that several flags mean together."""
        return values

    def any_text(self) -> bool:
        """Whether every text is right."""
        return False

    def schema(self) -> dict[str, Any]:
        """What it takes, in JSON Schema."""
        return {"type": "string"}

    def sections(self) -> tuple[type, ...]:
        """The sections that may stand inside."""
        return ()


class Text(Kind):
    """Any text."""

    words = "text"

    def any_text(self) -> bool:
        """It is."""
        return True


class Switch(Kind):
    """true or false."""

    words = "true or false"
    takes = (bool,)

    def plain(self, text: str) -> Any:
        """As click reads it: 1 and 0, yes and no, on and off."""
        lower = text.strip().lower()
        return lower in YES if lower in (*YES, *NO) else text

    def schema(self) -> dict[str, Any]:
        """A boolean."""
        return {"type": "boolean"}


class Whole(Kind):
    """A whole number within bounds."""

    words = "a whole number"
    takes = (int,)

    def __init__(self, least: int = 0, most: int | None = None) -> None:
        self.least = least
        self.most = most

    def read(self, value: Any, spot: Spot) -> int:
        """Within bounds."""
        if value < self.least:
            raise ConfigError(f"`{spot.name}` is at least {self.least}")
        if self.most is not None and value > self.most:
            raise ConfigError(f"`{spot.name}` is at most {self.most}")
        return int(value)

    def plain(self, text: str) -> Any:
        """Digits."""
        stripped = text.strip()
        return int(stripped) if stripped.isascii() and stripped.isdigit() else text

    def schema(self) -> dict[str, Any]:
        """An integer."""
        return {"type": "integer", "minimum": self.least} | ({} if self.most is None else {"maximum": self.most})


class Choice(Kind):
    """One of a few words."""

    def __init__(self, *choices: str) -> None:
        self.choices = choices
        self.words = listed(choices, "or").replace("`", '"')

    def read(self, value: Any, spot: Spot) -> str:
        """One of them."""
        if value not in self.choices:
            hint = did_you_mean(value, self.choices, quote='"') if len(self.choices) > 2 else ""
            hint = hint or f"it is {self.words}"
            raise ConfigError(f"`{spot.name}` cannot be {value!r}", hint=hint)
        return str(value)

    def schema(self) -> dict[str, Any]:
        """An enumeration."""
        return {"enum": list(self.choices)}


class Literal(Kind):
    """One value of another type that stands for something, such as `false` for "not here"."""

    def __init__(self, value: Any, meaning: Any) -> None:
        self.value = value
        self.meaning = meaning
        self.words = str(value).lower()
        self.takes = (type(value),)

    def read(self, value: Any, spot: Spot) -> Any:
        """What it stands for."""
        if value != self.value:
            raise ConfigError(f"`{spot.name}` cannot be {str(value).lower()}")
        return self.meaning

    def schema(self) -> dict[str, Any]:
        """That value."""
        return {"const": self.value}


class Measure(Kind):
    """A number, or a text with a unit that a function of `values.py` reads."""

    def __init__(
        self,
        words: str,
        read: Callable[[str], Any],
        pattern: str,
        *,
        numbers: tuple[type, ...] = (),
        unit: str = "",
        zero: bool = False,
    ) -> None:
        """
        :param pattern: of the texts it takes, for editors.
        :param numbers: the types of bare numbers that it takes.
        :param unit: what a bare number counts.
        :param zero: whether it may be nothing.
        """
        self.words = words
        self.takes = (str, *numbers)
        self.unit = unit
        self.zero = zero
        self._read = read
        self._pattern = pattern

    def read(self, value: Any, spot: Spot) -> Any:
        """The number that it means."""
        found = self._read(str(value))
        if found == 0 and not self.zero:
            raise ConfigError(f"`{spot.name}` cannot be 0")
        return found

    def schema(self) -> dict[str, Any]:
        """A text of that form, or a number."""
        text: dict[str, Any] = {"type": "string", "pattern": self._pattern}
        return {"anyOf": [text, {"type": "number", "minimum": 0}]} if int in self.takes and self.unit else text


TEXT = Text()
SWITCH = Switch()
WHOLE = Whole()
DURATION_PATTERN = r"^\s*([0-9.]+|([0-9.]+ *([mM][sS]|[sSmMhHdD]) *)+)\s*$"
DURATION = Measure("a duration", values.duration, DURATION_PATTERN, numbers=(int, float), unit="seconds")
DURATION_OR_0 = Measure(
    "a duration", values.duration, DURATION_PATTERN, numbers=(int, float), unit="seconds", zero=True
)
SIZE = Measure("a size", values.size, r"^\s*[0-9.]+ *[A-Za-z]*\s*$", numbers=(int,), unit="bytes")
RATE = Measure("a rate", values.rate, r"^\s*[0-9]+ */ *[a-z]+\s*$", numbers=(int,))
FLOW = Measure("bytes a second", values.flow, r"^.+/ *s\s*$", numbers=(int,))
