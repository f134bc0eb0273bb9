"""`hello:app` for waitress, whose queue logger writes a line for each request that waits: "log off" for it too."""

from __future__ import annotations

import logging

from hello import app

__all__ = ["app"]

logging.getLogger("waitress.queue").setLevel(logging.ERROR)
