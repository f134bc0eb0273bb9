"""One listening socket out of one `Listener`. It neither accepts nor closes, and it must not know what is served.

    resolve(listener)  a host name becomes one listener for each of its addresses (localhost: 127.0.0.1 and ::1)
    bind(listener)     -> a non-blocking listening socket; OSError as the system raises it, for `process/` to explain

An empty host means every address of the machine: one IPv6 socket that takes IPv4 too, or an IPv4 one where the system
has no IPv6. An address written out means that family alone, as nginx's `ipv6only=on`. TCP_NODELAY is set on the
listener: accepted sockets inherit it on Linux, which saves a system call per connection.
"""

from __future__ import annotations

import errno
import os
import socket
import stat
from dataclasses import replace

from edgestack.config.model import Listener

__all__ = ["BACKLOG", "bind", "resolve"]

BACKLOG = 4096
"""Connections that may wait to be accepted; the kernel cuts it to net.core.somaxconn (4096 since Linux 5.4)."""

UNIX_SOCKET_MODE = 0o666
"""Everybody who may enter the folder may connect, as nginx does: the folder is the gate."""

NO_IPV6 = (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL)


def resolve(listener: Listener) -> list[Listener]:
    """One listener for each address that its host names; the listener itself when there is nothing to resolve.

    :raises socket.gaierror: when the name is unknown.
    """
    if not listener.host or listener.path or listener.fd >= 0:
        return [listener]
    found = socket.getaddrinfo(listener.host, listener.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    found.sort(key=lambda entry: entry[0] != socket.AF_INET)
    hosts = dict.fromkeys(str(address[0]) for *_, address in found)
    return [replace(listener, host=host) for host in hosts]


def bind(listener: Listener, backlog: int = BACKLOG) -> socket.socket:
    """A non-blocking socket that listens where `listener` says.

    :param backlog: connections that may wait to be accepted.
    :raises OSError: EADDRINUSE, EACCES, EADDRNOTAVAIL and the rest of bind(2); ENOTSOCK, EBADF and EINVAL for a
        descriptor that is no listening stream socket; `socket.gaierror` for an unknown name.
    """
    if listener.fd >= 0:
        return _inherited(listener.fd)
    if listener.path:
        return _unix(listener.path, backlog)
    if listener.host:
        return _tcp(listener.host, listener.port, backlog)
    try:
        return _tcp("::", listener.port, backlog, dual=True)
    except OSError as error:
        if error.errno not in NO_IPV6:
            raise
        return _tcp("0.0.0.0", listener.port, backlog)


def _tcp(host: str, port: int, backlog: int, *, dual: bool = False) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if dual else 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.bind(address)
        sock.listen(backlog)
        sock.setblocking(False)
    except BaseException:
        sock.close()
        raise
    return sock


def _unix(path: str, backlog: int) -> socket.socket:
    """Bind a unix socket; the file that a server which is gone left behind is replaced."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        try:
            sock.bind(path)
        except OSError as error:
            if error.errno != errno.EADDRINUSE or not _stale(path):
                raise
            os.unlink(path)
            sock.bind(path)
        os.chmod(path, UNIX_SOCKET_MODE)
        sock.listen(backlog)
        sock.setblocking(False)
    except BaseException:
        sock.close()
        raise
    return sock


def _stale(path: str) -> bool:
    """Whether `path` is a socket that nobody listens on any more."""
    if not stat.S_ISSOCK(os.stat(path).st_mode):
        return False
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)  # a unix socket connects at once or says why not
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            return True
        except OSError:  # a full backlog, no right to connect: somebody may well be there
            return False
    return False


def _inherited(fd: int) -> socket.socket:
    """Take over a descriptor; it must be a listening stream socket."""
    sock = socket.socket(fileno=fd)  # raises EBADF and ENOTSOCK
    if sock.type != socket.SOCK_STREAM or not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        sock.detach()
        raise OSError(errno.EINVAL, "not a listening stream socket")
    sock.setblocking(False)
    sock.set_inheritable(False)
    if sock.family in (socket.AF_INET, socket.AF_INET6):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock
