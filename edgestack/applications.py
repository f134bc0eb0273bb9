"""The applications of a plan: those that are here stay, what is missing is loaded, and hosted ones come with processes.

The stack keeps them under their sections; an unchanged section keeps its object, and its code is never read again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeAlias

from edgestack.asgi.lives import Found, given
from edgestack.config.model import App
from edgestack.config.processes import Processes
from edgestack.content.loading import load
from edgestack.upstream.hosted import Hosted

__all__ = ["Applications", "loaded"]

Applications: TypeAlias = "Mapping[App, Found | Hosted]"


def _chosen(offered: Applications, here: Applications) -> Applications:
    """Those that are here, before those that are offered; but for hosted ones, which come with fresh processes."""
    fresh = {app: new for app, new in offered.items() if isinstance(new, Hosted) or isinstance(here.get(app), Hosted)}
    return {**offered, **here, **fresh}


def loaded(
    apps: Iterable[App], processes: Processes, offered: Applications | None, here: Applications | None = None
) -> Applications:
    """Those that are here or offered, and the rest loaded now; ASGI ones with a life of their own.

    :raises ConfigError: one cannot be loaded.
    """
    found = _chosen(offered or {}, here or {})
    return {app: given(app, found[app] if app in found else load(app.target, app.folder), processes) for app in apps}
