"""The `proxy` of each route: do its keys do something, and does it lead where it seems to?

Trailing slashes that do not match are told (criterion B2): with `/api/` and `http://host/v1`, `/api/x` becomes `/v1x`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from edgestack.config.matching import mismatched_slashes
from edgestack.config.model import Route
from edgestack.config.positions import Mark
from edgestack.config.problems import nearest
from edgestack.config.proxy_targets import Target
from edgestack.config.reading import Reading
from edgestack.config.route_checks import parts

__all__ = ["check_proxies"]

SSL_KEYS = ("ssl_verify", "ssl_name", "ssl_ca", "ssl_cert", "ssl_key")


def check_proxies(placed: Sequence[tuple[Route, Mark]], groups: Collection[str], reading: Reading) -> None:
    """Every route that proxies.

    :param groups: the names of the upstreams.
    """
    for route, mark in placed:
        if route.proxy is not None:
            place = mark.child("proxy")
            said = parts(place)
            target = route.proxy.target
            if target is not None:
                _check_target(route, target, said.get("to", place), mark, reading)
                _check_name(target, groups, said.get("to", place), reading)
                _check_tls(target, groups, said, reading)
            _check_keys(route, said, reading)


def _check_target(route: Route, target: Target, place: Mark, mark: Mark, reading: Reading) -> None:
    kind, pattern = route.match.kind, route.match.pattern
    if target.uri is None:
        if "strip" in parts(mark):
            why = "`strip` is about the URI that takes the place of the prefix, and this target has none"
            reading.key_problem(parts(mark)["strip"], why, f'such as "{target}/"', key="strip")
        return
    if kind in ("regex", "named"):
        what = "a regex" if kind == "regex" else "a named route"
        bare = Target(target.scheme, target.server)
        why = f"{what} has no prefix whose place the URI {target.uri} could take"
        reading.problem(place, why, f'did you mean "{bare}"?', key="proxy")
    elif kind in ("prefix", "final") and route.strip:
        wrong = mismatched_slashes(pattern, target.uri)
        if wrong:
            reading.warn(place, wrong, key="proxy")


def _check_name(target: Target, groups: Collection[str], place: Mark, reading: Reading) -> None:
    """A name that is nearly a group's."""
    if target.unix or target.server in groups or ":" in target.server or "." in target.server:
        return
    near = nearest(target.server, groups)
    if near:
        reading.warn(place, f'no upstream is called "{target.server}", so it is a host', f'did you mean "{near}"?')


def _check_tls(target: Target, groups: Collection[str], said: dict[str, Mark], reading: Reading) -> None:
    """How to speak TLS, where none is spoken."""
    if target.scheme == "https" or target.server in groups:
        return
    for name in SSL_KEYS:
        if name in said:
            reading.key_problem(said[name], f"`{name}` needs an https target", f'not "{target}"', key=name)


def _check_keys(route: Route, said: dict[str, Mark], reading: Reading) -> None:
    section = route.proxy
    assert section is not None
    if "ssl_key" in said and "ssl_cert" not in said:
        reading.key_problem(said["ssl_key"], "a key without its certificate", "add `ssl_cert`", key="ssl_key")
    if "off" in section.next_upstream and len(section.next_upstream) > 1:
        why = '"off" takes all the others away'
        reading.problem(said["next_upstream"], why, "leave it out, or alone", key="next_upstream")
    both = {name.lower() for name in section.hide_headers} & {name.lower() for name in section.pass_headers}
    if both:
        reading.problem(said["pass_headers"], f"{min(both)} is in `hide_headers` as well", key="pass_headers")
    seen: set[str] = set()
    for name, _ in section.set_headers:
        if name.lower() in seen:
            reading.key_problem(said["set_headers"].child(name), f"{name} is set twice", key=name)
        seen.add(name.lower())
