"""Where a process stands and who it is: its folder, its variables, its mode bits, its name; then its user.

    settle(processes)            before anything of the application is imported: chdir, environment, sys.path, umask
    entitle(role, config)        its name in lists of processes
    identity_of(processes)       the user and the group, by number
    become(identity)             for good: what only root could open is open by then
    give_away(path, identity)    a log, a socket: the one who will reopen or remove it must own it

`[server] user` without `group` takes the user's own group; both take the user's supplementary groups (initgroups(3)).
Linux and other POSIX systems; setproctitle is used where it is installed.
"""

from __future__ import annotations

import grp
import os
import pwd
import stat
import sys
from pathlib import Path
from typing import NamedTuple

from edgestack.config.model import Config
from edgestack.config.problems import did_you_mean
from edgestack.config.processes import Processes
from edgestack.errors import ConfigError

__all__ = ["Identity", "become", "entitle", "give_away", "identity_of", "settle"]

NOBODY = (1 << 32) - 1
"""The number that setuid(2) takes for "unchanged"."""


class Identity(NamedTuple):
    """Whom a process is to become."""

    uid: int
    gid: int
    name: str
    """The user's, for the supplementary groups; "" for a number that nobody has."""


class _Before:
    """What `settle` has changed, and what it was: a reload may no longer want it."""

    def __init__(self) -> None:
        self.variables: dict[str, str | None] = {}
        self.folder = ""
        self.umask = -1


_before = _Before()


def settle(processes: Processes) -> None:
    """Take the place that an application expects; again, after a reload, another one.

    :raises ConfigError: the folder cannot be entered.
    """
    _set_variables(dict(processes.env))
    for path in map(str, map(Path.absolute, reversed(processes.pythonpath))):
        if path not in sys.path:
            sys.path.insert(0, path)
    _set_umask(processes.umask)
    _enter(processes.chdir)


def before() -> tuple[dict[str, str], int]:
    """The environment and the umask as they would be without `settle`, for the program that follows this one; -1 for
    a umask that nobody has changed."""
    variables = {**os.environ, **{name: value for name, value in _before.variables.items() if value is not None}}
    for name, value in _before.variables.items():
        if value is None:
            variables.pop(name, None)
    return variables, _before.umask


def _set_variables(wanted: dict[str, str]) -> None:
    for name in _before.variables.keys() - wanted.keys():
        original = _before.variables.pop(name)
        if original is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = original
    for name, value in wanted.items():
        _before.variables.setdefault(name, os.environ.get(name))
        os.environ[name] = value


def _set_umask(said: str) -> None:
    if said:
        was = os.umask(int(said.lower().removeprefix("0o"), 8))
        _before.umask = was if _before.umask < 0 else _before.umask
    elif _before.umask >= 0:
        os.umask(_before.umask)
        _before.umask = -1


def _enter(folder: Path | None) -> None:
    """Go there; or back, where nobody says a folder any more."""
    where = folder or _before.folder
    if not where:
        return
    try:
        was = Path.cwd()
    except FileNotFoundError:  # it was removed: there is no way back
        was = Path()
    try:
        os.chdir(where)
    except OSError as error:
        why = f"the folder {where} cannot be entered: {error.strerror}"
        raise ConfigError(why, key="chdir") from None
    if folder is None:
        _before.folder = ""
    elif not _before.folder and was.is_absolute():
        _before.folder = str(was)


def entitle(role: str, config: Config) -> None:
    """Be called after what is served in lists of processes, as far as this machine can say it.

    :param role: what this process is beside others; "" where it is alone.
    """
    routes = [route for site in config.all_sites() for route in site.routes]
    names = [config.server.processes.name, *(route.app.target for route in routes if route.app is not None)]
    name = next(filter(None, names), "")
    try:
        from setproctitle import setproctitle
    except ImportError:
        return
    if name:
        setproctitle(f"edgestack: {role} [{name}]" if role else f"edgestack: [{name}]")


def identity_of(processes: Processes) -> Identity | None:
    """Whom the workers are to become; None to stay who we are.

    :raises ConfigError: there is no such user or group, or we may not become that one.
    """
    if not processes.user and not processes.group:
        return None
    uid, name, own = _user(processes.user)
    gid = _group(processes.group) if processes.group else own
    if os.geteuid() != 0 and (uid, gid) != (os.geteuid(), os.getegid()):
        key = "user" if uid != os.geteuid() else "group"
        raise ConfigError(f"only root can become another {key}", hint="start it as root, or leave it out", key=key)
    return Identity(uid, gid, name)


def _user(said: str) -> tuple[int, str, int]:
    """Number, name, and own group."""
    try:
        found = pwd.getpwuid(int(said)) if said.isdecimal() else pwd.getpwnam(said) if said else None
    except (KeyError, OverflowError):
        if said.isdecimal() and int(said) < NOBODY:
            return int(said), "", os.getegid()
        raise ConfigError(
            f"there is no user {said!r}", hint=did_you_mean(said, (one.pw_name for one in pwd.getpwall())), key="user"
        ) from None
    return (os.geteuid(), "", os.getegid()) if found is None else (found.pw_uid, found.pw_name, found.pw_gid)


def _group(said: str) -> int:
    if said.isdecimal() and int(said) < NOBODY:
        return int(said)
    try:
        return grp.getgrnam(said).gr_gid
    except KeyError:
        raise ConfigError(
            f"there is no group {said!r}", hint=did_you_mean(said, (one.gr_name for one in grp.getgrall())), key="group"
        ) from None


def become(identity: Identity | None) -> None:
    """Be that one from now on; a second call does nothing.

    :raises ConfigError: the system does not let us.
    """
    if identity is None or (os.geteuid(), os.getegid()) == identity[:2]:
        return
    try:
        if identity.name:
            os.initgroups(identity.name, identity.gid)
        else:
            os.setgroups([identity.gid])
        os.setgid(identity.gid)
        os.setuid(identity.uid)
    except OSError as error:
        raise ConfigError(f"this process may not become another user: {error.strerror}", key="user") from None


def give_away(path: Path | str, identity: Identity | None) -> None:
    """Let that one own a file or a socket that was opened for it; a device is left to whom it belongs."""
    if identity is None or os.geteuid() != 0:
        return
    try:
        kind = os.stat(path).st_mode
        if stat.S_ISREG(kind) or stat.S_ISSOCK(kind) or stat.S_ISFIFO(kind):
            os.chown(path, identity.uid, identity.gid)
    except OSError as error:
        raise ConfigError(f"{path} cannot be given to another user: {error.strerror}", key="user") from None
