"""How things are told to whoever asked, in another process: errors as text, a bounded number of them; counts. Pure."""

from __future__ import annotations

from edgestack.errors import ConfigError
from edgestack.process.control import Message

__all__ = ["counted", "refused", "told"]

ERRORS = 100
"""Errors told in one answer; nobody reads more."""


def refused(error: ConfigError) -> Message:
    """The answer to an order that cannot be followed."""
    return {"ok": False, "errors": told(error)}


def told(error: ConfigError) -> list[str]:
    """An error, or each of several, as text."""
    each = getattr(error, "errors", (error,))
    lines = [one.shown() if hasattr(one, "shown") else str(one) for one in each[:ERRORS]]
    return [*lines, f"and {len(each) - ERRORS} more"] if len(each) > ERRORS else lines


def counted(count: int, what: str, verb: str = "") -> str:
    """So many of a thing, and perhaps what they do: "1 worker", "2 workers", "1 worker serves"."""
    several = count != 1
    return f"{count} {what}{'s' * several}" + (f" {verb}{'s' * (not several)}" if verb else "")
