"""How errors are told to whoever asked for something, in another process: as text, a bounded number of them. Pure."""

from __future__ import annotations

from edgestack.errors import ConfigError
from edgestack.process.control import Message

__all__ = ["refused", "told"]

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
