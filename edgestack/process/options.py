"""What the command line says about this one process, beside the `Config` that says what is served. Pure data."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["Options"]


@dataclass(frozen=True, slots=True)
class Options:
    """The parts of `edgestack serve` that are not configuration."""

    ready_file: Path | None = None
    """Where a JSON list of URLs is written once they accept."""
    pid_file: Path | None = None
    """Where this process's id is written."""
    open_browser: bool = False
    """Show the first URL in the user's browser once it accepts."""
    inherit: bool = False
    """Take the sockets that systemd passed (LISTEN_FDS), when there are some, instead of the configured listeners."""
    development_certificate: bool = False
    """Make or renew the development certificate: TLS is wanted and none was named."""
    notes: tuple[str, ...] = ()
    """Sentences for the banner: what was assumed because nothing was said."""
