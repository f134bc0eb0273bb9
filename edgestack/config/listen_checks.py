"""Listeners and certificates, put together from `server.bind`, `[[listen]]` and `[tls]`, and checked against each
other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from edgestack.config.addresses import DEFAULT_HOST, parse_address
from edgestack.config.listeners import Listener
from edgestack.config.model import File, Tls
from edgestack.config.positions import Mark, Origin
from edgestack.config.reading import Reading

__all__ = ["certificates", "listeners"]

HTTP_PORT, HTTPS_PORT = 80, 443

EVERY = {"": {4, 6}, "0.0.0.0": {4}, "::": {6}}
"""Hosts that stand for every address of the machine, and of which versions of IP: one that is written out means its own
alone (`wire/listening.py`)."""


def listeners(file: File, mark: Mark, reading: Reading) -> tuple[Listener, ...]:
    """All listeners; where none is said, the one on the loopback address."""
    found = list(_all(file, mark, reading))
    places: list[tuple[Listener, Mark]] = []
    for listener, place in found:
        _check_twice(listener, place, places, reading)
    plain = file.tls.redirect_plain
    return tuple(_settled(listener, None if place is mark else place.origin, plain) for listener, place in found)


def _settled(listener: Listener, origin: Origin | None, plain: bool) -> Listener:
    """A listener with its place, and with what it does with plain HTTP where it speaks TLS (E9)."""
    if plain and listener.tls:
        return replace(listener, origin=origin, redirect_plain=True, redirect_port=listener.port or HTTPS_PORT)
    return replace(listener, origin=origin)


def _all(file: File, mark: Mark, reading: Reading) -> Iterator[tuple[Listener, Mark]]:
    secure = file.server.tls
    bind = mark.child("server").child("bind")
    short = _told_by(file, mark.child("server"), reading) if file.server.proxy_protocol else ()
    for at, text in enumerate(file.server.bind):
        yield replace(parse_address(text, tls=secure), proxy_protocol=short), bind.child(at)
    for one, place in file.listen:
        if one.redirect and one.tls:
            reading.problem(
                place.child("tls"), "a listener that redirects speaks plain HTTP", "leave out `tls`", key="tls"
            )
        tls = not one.redirect and (secure if one.tls is None else one.tls)
        listener = parse_address(one.at, tls=tls, default_port=HTTP_PORT if one.redirect else 0)
        told_by = _told_by(file, place, reading) if one.proxy_protocol else ()
        yield (
            replace(listener, redirect=one.redirect, max_connections=one.max_connections, proxy_protocol=told_by),
            place.child("at"),
        )
    if not file.server.bind and all(one.redirect for one, _ in file.listen):
        yield replace(parse_address(DEFAULT_HOST, tls=secure), proxy_protocol=short), mark
    if file.tls.redirect_http:
        place = mark.child("tls").child("redirect_http")
        yield replace(parse_address(file.tls.redirect_http, default_port=HTTP_PORT), redirect=True), place


def _told_by(file: File, place: Mark, reading: Reading) -> tuple[str, ...]:
    """Whose PROXY header is believed: networks only. Behind a number of hops, any client could be the proxy, and the
    field that it sends would be believed as that proxy's."""
    trusted = file.server.proxy_protocol_from or file.server.trusted_proxies
    if not trusted or trusted[0].isdecimal():
        why = "`proxy_protocol` needs to know which proxies to believe"
        hint = 'name their networks in `server.trusted_proxies`, for instance ["10.0.0.0/8"]'
        reading.problem(place.child("proxy_protocol"), why, hint, key="proxy_protocol")
        return ()
    return trusted


def _check_twice(listener: Listener, place: Mark, places: list[tuple[Listener, Mark]], reading: Reading) -> None:
    """An address that was given before, or that one for every address of the machine takes too."""
    earlier = next((spot for other, spot in places if _overlap(listener, other)), None)
    if earlier is not None:
        reading.problem(place, f"{listener} is listened on already", f"at {earlier.origin}")
        return
    places.append((listener, place))


def _overlap(one: Listener, other: Listener) -> bool:
    if one.path or one.fd >= 0 or other.path or other.fd >= 0:
        return (one.path, one.fd) == (other.path, other.fd)
    wide = one.host == other.host or one.host in EVERY or other.host in EVERY
    return one.port == other.port != 0 and wide and bool(_families(one.host) & _families(other.host))


def _families(host: str) -> set[int]:
    """The versions of IP that a host may mean; of a name that is not known here."""
    if host in EVERY:
        return EVERY[host]
    return {6} if ":" in host else {4} if host.replace(".", "").isdigit() else {4, 6}


def certificates(file: File, mark: Mark, reading: Reading, found: tuple[Listener, ...]) -> Tls:
    """What the TLS listeners share, when it makes sense."""
    table = mark.child("tls")
    said = table.parts if isinstance(table.parts, dict) and table is not mark else {}
    secure = any(listener.tls for listener in found)
    if said and not secure:
        name = next(iter(said))
        why = f"`{name}` makes no sense without TLS"
        if name == "redirect_http":
            why = "there is no HTTPS to redirect to"
        reading.key_problem(said[name], why, "no listener speaks TLS: is `server.tls` false?", key=name)
    return Tls(_pairs(file, table, reading), file.tls.minimum, file.tls.client_ca)


def _pairs(file: File, table: Mark, reading: Reading) -> tuple[tuple[Path, Path], ...]:
    """Each certificate with its key."""
    certs, keys = file.tls.cert, file.tls.key_
    said = table.parts if isinstance(table.parts, dict) else {}
    if len(certs) > len(keys) and ("key" not in said or keys):
        place = said["cert"].child(len(keys))
        reading.problem(place, "this certificate comes without a key", "add `key`, in the same order", key="cert")
    if len(keys) > len(certs) and ("cert" not in said or certs):
        place = said["key"].child(len(certs))
        reading.problem(place, "this key comes without a certificate", "add `cert`, in the same order", key="key")
    return tuple(zip(certs, keys, strict=False))
