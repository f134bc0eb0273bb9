"""The listening sockets of this process: bound or inherited, explained when that fails, and tidied away at the end.

    Sockets.bind(listeners) -> .pairs, (Listener, socket) for the Stack; .urls(), where clients reach them; .close()
    sockets.changed(listeners) -> others, for a reload: then sockets.left(others), or others.abandoned(sockets)
    sockets.handed() -> in plain words, for another process; there Sockets.taken(words).changed(listeners)
    inherited(environ, pid) -> the listeners that systemd passed (sd_listen_fds(3): LISTEN_PID, LISTEN_FDS)
    wanted(config, options, passed) -> where to listen: there, or where the configuration says

What `wire/listening.py` raises is translated here into the one sentence that the user sees.
"""

from __future__ import annotations

import errno
import os
import socket
import sys
from collections.abc import Iterable, MutableMapping
from dataclasses import replace
from typing import TypeAlias

from edgestack.certs.naming import lan_addresses
from edgestack.config.model import Config, Listener
from edgestack.errors import ConfigError
from edgestack.process.holders import Holder, holder_of_path, holder_of_port
from edgestack.process.options import Options
from edgestack.wire.listening import BACKLOG, bind, resolve

__all__ = ["Handed", "Sockets", "explained", "inherited", "wanted"]

Handed: TypeAlias = "list[tuple[tuple[str, int, str, int], list[tuple[str, int, int]]]]"
"""What was asked for (host, port, path, descriptor), and what came of it (host, port, descriptor), as JSON has it."""

FIRST_INHERITED = 3
"""SD_LISTEN_FDS_START (sd-daemon.h)."""

ABSENT = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
"""The machine has no such address, or no such family."""


class Sockets:
    """Sockets that listen, in the order of the listeners."""

    __slots__ = ("_files", "_groups", "pairs")

    def __init__(self) -> None:
        self.pairs: list[tuple[Listener, socket.socket]] = []
        self._groups: list[tuple[Listener, list[tuple[Listener, socket.socket]]]] = []
        """What was asked for, and the sockets of it: one for each address of its name."""
        self._files: dict[str, tuple[int, int]] = {}

    @classmethod
    def bind(cls, listeners: Iterable[Listener], backlog: int = BACKLOG) -> Sockets:
        """Bind all of them, or none.

        :param backlog: connections that may wait to be accepted, on each.
        :raises ConfigError: one cannot be bound; says why, and who holds it.
        """
        return cls().changed(listeners, backlog)

    def handed(self) -> Handed:
        """In plain words, for a process that inherits the descriptors."""
        return [
            (_address(asked), [(one.host, one.port, sock.fileno()) for one, sock in pairs])
            for asked, pairs in self._groups
        ]

    @classmethod
    def taken(cls, groups: Handed, *, own: bool) -> Sockets:
        """What another process has bound, and handed to this one.

        :param own: the files of unix sockets are removed at the end.
        """
        sockets = cls()
        for (host, port, path, fd), pairs in groups:
            asked = Listener(host=host, port=port, path=path, fd=fd)
            here = [(replace(asked, host=one[0], port=one[1]), _taken(one[2])) for one in pairs]
            sockets._groups.append((asked, here))
            sockets.pairs += here
            if path and own:
                sockets._files[path] = _identity(path)
        return sockets

    def changed(self, listeners: Iterable[Listener], backlog: int = BACKLOG) -> Sockets:
        """The sockets for these listeners: of addresses that are here already the same ones, the rest bound now.

        What is here stays as it is; then either the one is `left` for the other, or the other one `abandoned`.

        :raises ConfigError: one cannot be bound; says why, and who holds it.
        """
        here = list(self._groups)
        sockets = Sockets()
        try:
            for listener in listeners:
                found = next((group for group in here if _address(group[0]) == _address(listener)), None)
                if found is None:
                    sockets._add(listener, self, backlog)
                else:
                    here.remove(found)
                    sockets._take(listener, found[1], self._files)
        except BaseException:
            sockets.abandoned(self)
            raise
        sockets.pairs = [pair for _, pairs in sockets._groups for pair in pairs]
        sockets._aim_redirects()
        return sockets

    def _take(
        self, listener: Listener, pairs: list[tuple[Listener, socket.socket]], files: dict[str, tuple[int, int]]
    ) -> None:
        """Sockets that stand already, for what is said of them now."""
        same = [(replace(listener, host=one.host, port=one.port), sock) for one, sock in pairs]
        self._groups.append((listener, same))
        if listener.path in files:
            self._files[listener.path] = files[listener.path]

    def _add(self, listener: Listener, before: Sockets, backlog: int) -> None:
        """One listener: a socket for each address of its name, all on the same port."""
        first = None
        pairs: list[tuple[Listener, socket.socket]] = []
        self._groups.append((listener, pairs))
        for one in _resolved(listener):
            wanted = one if first is None else replace(one, port=_port(first))
            try:
                sock = bind(wanted, backlog)
            except OSError as error:
                if first is not None and error.errno in ABSENT:
                    continue  # localhost is ::1 as well, but this machine has no IPv6
                raise _overlap(wanted, before, error) or explained(wanted, error) from None
            first = first or sock
            pairs.append((wanted, sock))
            if wanted.path:
                self._files[wanted.path] = _identity(wanted.path)

    def left(self, others: Sockets) -> None:
        """Others took their place, and whoever accepted has closed those that are gone: remove their files."""
        for path, identity in self._files.items():
            if path not in others._files:
                _remove(path, identity)
        self._files.clear()

    def abandoned(self, others: Sockets) -> None:
        """Close what `others` do not have, with its files: it is not wanted after all."""
        kept = {id(sock) for _, sock in others.pairs}
        for _, pairs in self._groups:
            for _, sock in pairs:
                if id(sock) not in kept:
                    sock.close()
        for path, identity in self._files.items():
            if path not in others._files:
                _remove(path, identity)

    def _aim_redirects(self) -> None:
        """Point redirects at the port that TLS really has, now that it is known: a listener's own, or the first."""
        secure = [_port(sock) for listener, sock in self.pairs if listener.tls and sock.family != socket.AF_UNIX]
        for index, (listener, sock) in enumerate(self.pairs):
            if listener.redirect_plain and sock.family != socket.AF_UNIX:
                self.pairs[index] = (replace(listener, redirect_port=_port(sock)), sock)
            elif listener.redirect and secure:
                self.pairs[index] = (replace(listener, redirect_port=secure[0]), sock)

    @property
    def listeners(self) -> tuple[Listener, ...]:
        """The listeners as they were bound."""
        return tuple(listener for listener, _ in self.pairs)

    def urls(self) -> list[str]:
        """Where clients reach them. A socket for every address is shown by its loopback and its network address."""
        return list(dict.fromkeys(url for pair in self.pairs if not pair[0].redirect for url in _urls(*pair)))

    def redirect_ports(self) -> list[int]:
        """Where plain HTTP is sent on to https."""
        return [_port(sock) for listener, sock in self.pairs if listener.redirect and sock.family != socket.AF_UNIX]

    def keep_files(self) -> None:
        """Somebody else serves on them from now on."""
        self._files.clear()

    def close(self) -> None:
        """Close them, and remove the files of unix sockets that are still ours."""
        for _, sock in self.pairs:
            sock.close()
        for path, identity in self._files.items():
            _remove(path, identity)
        self._files.clear()


def inherited(environ: MutableMapping[str, str], pid: int, tls: bool) -> list[Listener]:
    """The sockets that systemd passed to this very process; the variables are taken away, children must not see them.

    :param tls: whether they speak TLS.
    """
    names = [environ.pop(name, "") for name in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")]
    if not (names[0] == str(pid) and names[1].isascii() and names[1].isdigit()):
        return []
    return [Listener(fd=fd, tls=tls) for fd in range(FIRST_INHERITED, FIRST_INHERITED + int(names[1]))]


def wanted(config: Config, options: Options, passed: tuple[Listener, ...]) -> list[Listener]:
    """Those that systemd passed where they are wanted, else the configured ones; redirects in any case."""
    if not (options.inherit and passed):
        return list(config.listeners)
    secure = next((listener for listener in config.listeners if listener.tls), Listener())
    redirects = [listener for listener in config.listeners if listener.redirect]
    return [*(replace(one, tls=secure.tls, redirect_plain=secure.redirect_plain) for one in passed), *redirects]


def _taken(fd: int) -> socket.socket:
    sock = socket.socket(fileno=fd)
    sock.setblocking(False)
    sock.set_inheritable(False)
    return sock


def _urls(listener: Listener, sock: socket.socket) -> list[str]:
    if sock.family == socket.AF_UNIX:
        return [f"unix:{sock.getsockname()}"]
    scheme = "https" if listener.tls else "http"
    host, port = sock.getsockname()[:2]
    hosts: tuple[str, ...] = (host,)
    if host == "0.0.0.0":
        hosts = ("127.0.0.1", *(address for address in lan_addresses() if ":" not in address))
    elif host == "::" and sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY):
        hosts = ("::1", *(address for address in lan_addresses() if ":" in address))
    elif host == "::":
        hosts = ("127.0.0.1", *lan_addresses())
    return [f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}" for host in hosts]


def _port(sock: socket.socket) -> int:
    return int(sock.getsockname()[1])


def _address(listener: Listener) -> tuple[str, int, str, int]:
    """What makes it the same place, whatever else is said of it."""
    return listener.host, listener.port, listener.path, listener.fd


def _remove(path: str, identity: tuple[int, int]) -> None:
    """Remove the file of a unix socket, if it is still ours."""
    try:
        if _identity(path) == identity:
            os.unlink(path)
    except OSError:
        return  # gone already


def _overlap(wanted: Listener, before: Sockets, error: OSError) -> ConfigError | None:
    """A reload asks for an address that one of our own other listeners covers: the new one is bound first."""
    if error.errno != errno.EADDRINUSE or wanted.path:
        return None
    held = [one for one, sock in before.pairs if sock.family != socket.AF_UNIX and _port(sock) == wanted.port]
    if not held:
        return None
    why = f"{wanted} cannot be added while this server listens on {held[0]}"
    return ConfigError(why, hint="take that one out and reload, then add this one and reload; or restart", key="bind")


def _identity(path: str) -> tuple[int, int]:
    found = os.stat(path)
    return found.st_dev, found.st_ino


def _resolved(listener: Listener) -> list[Listener]:
    try:
        return resolve(listener)
    except (socket.gaierror, UnicodeError):
        why = f"the host name {listener.host} is unknown here"
        raise ConfigError(why, hint="an address works always: 127.0.0.1:8443", key="bind") from None


def explained(listener: Listener, error: OSError) -> ConfigError:
    """Why `listener` cannot be bound, in the user's words."""
    if listener.fd >= 0:
        return _explained_descriptor(listener.fd, error)
    if listener.path:
        return _explained_path(listener.path, error)
    place = f"[{listener.host}]" if ":" in listener.host else listener.host or "every address"
    if error.errno == errno.EADDRINUSE:
        holder = holder_of_port(listener.port)
        if holder is not None and holder.pid == os.getpid():
            return ConfigError(f"port {listener.port} was asked for twice")
        why = f"port {listener.port} is already in use{_by(holder)}"
        return ConfigError(why, hint="stop it, or choose another one: port 0 picks a free one")
    if error.errno == errno.EACCES:
        return ConfigError(f"no right to listen on port {listener.port}", hint=_how_to_get_the_right())
    if error.errno in ABSENT:
        here = ", ".join(("127.0.0.1", *lan_addresses()))
        return ConfigError(f"this machine has no address {place}", hint=f"it has {here}; :PORT takes all of them")
    return ConfigError(f"cannot listen on {place}, port {listener.port}: {error.strerror}")


def _explained_descriptor(fd: int, error: OSError) -> ConfigError:
    reasons = {
        errno.EBADF: "is not open",
        errno.ENOTSOCK: "is not a socket",
        errno.EINVAL: "is not a listening stream socket",
    }
    why = reasons.get(error.errno or 0, f"cannot be used: {error.strerror}")
    return ConfigError(f"descriptor {fd} {why}", hint="whoever starts this process must bind it and pass it on")


def _explained_path(path: str, error: OSError) -> ConfigError:
    folder = os.path.dirname(path) or "."
    if error.errno == errno.EADDRINUSE:
        holder = holder_of_path(path)
        if holder is None:
            return ConfigError(f"{path} exists and is no unix socket that we may replace")
        twice = holder.pid == os.getpid()
        return ConfigError(f"the unix socket {path} " + ("was asked for twice" if twice else f"is in use{_by(holder)}"))
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return ConfigError(f"the folder {folder} of the unix socket {path} does not exist")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return ConfigError(f"no right to create the unix socket {path}: {error.strerror}")
    return ConfigError(f"cannot listen on the unix socket {path}: {error.strerror}")


def _by(holder: Holder | None) -> str:
    """ " by NAME (pid N)", as far as it is known."""
    return "" if holder is None else f" by {holder.name or 'a process'} (pid {holder.pid})"


def _how_to_get_the_right() -> str:
    interpreter = os.path.realpath(sys.executable)
    return (
        f"allow it once with: sudo setcap cap_net_bind_service=+ep {interpreter}; "
        "or have systemd pass the socket (ListenStream=); or choose a port from 1024 up"
    )
