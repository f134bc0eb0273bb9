"""Which edgestack this is. Written out: `importlib.metadata` costs 40 ms at every start. A test compares."""

from __future__ import annotations

__all__ = ["VERSION"]

VERSION = "0.1.0"
