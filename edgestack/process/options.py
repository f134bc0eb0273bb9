"""What the configuration says about this one process, beside the `Config` that says what is served. Pure data.

Made by `configuring.py`, from the same file, environment and flags.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgestack.config.overrides import Override

if TYPE_CHECKING:
    from edgestack.process.gunicorn.said import Said

__all__ = ["Options"]


@dataclass(frozen=True, slots=True)
class Options:
    """The parts of `edgestack serve` that only the process needs to know."""

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
    file: Path | None = None
    """The configuration file; None where flags and the environment say everything."""
    found: bool = False
    """Whether that file was found in the current folder, and not named."""
    overrides: tuple[Override, ...] = ()
    """What is said outside the file, the weakest first: whoever reads the file again needs it."""
    application: bool = False
    """Whether it is one application that is to be served (`edgestack run`), as gunicorn would."""
    folder: Path | None = None
    """Where we were started, if we do not stay there (`chdir`)."""
    gunicorn: Said | None = None
    """What a gunicorn configuration brings: hooks, and `cfg`."""
