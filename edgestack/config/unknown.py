"""What was meant by a key that is not there: a slip, a dash, another section's key, nginx's or gunicorn's word.

Everything is derived from the metadata of the keys, but for a few words that no key corresponds to.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any

from edgestack.config.keys import Section, section_of, sections_below
from edgestack.config.problems import listed, nearest

__all__ = ["explain_unknown"]

FEW = 8
"""Keys that are listed when nothing is close."""

ELSEWHERE = {
    "root": "static", "alias": "static", "directory": "static", "files": "static",
    "location": "path match", "path": "match", "prefix": "path match", "wsgi": "app", "application": "app",
    "return": "redirect", "body": "respond", "text": "respond", "auth_basic": "basic_auth",
    "log": "access_log", "accesslog": "access_log", "access_logfile": "access_log",
    "errorlog": "error_log", "error_logfile": "error_log",
    "pidfile": "pid", "certfile": "cert", "certificate": "cert", "keyfile": "key", "ssl": "tls", "https": "tls",
    "keep_alive": "keepalive", "forwarded_allow_ips": "trusted_proxies", "worker_connections": "max_connections",
    "gzip": "compress", "brotli": "compress",
    "url": "to", "target": "to", "port": "at bind", "host": "at bind", "address": "at bind",
}  # fmt: skip
"""Words of other programs, and the keys that mean the same here, in the order in which they are thought of."""

TOLD = {
    "worker_processes": "`workers` in [server]",
    "http": "no block is needed: routes are `[[route]]`, groups of servers `[upstream.NAME]`, the process `[server]`",
    "events": "no block is needed: how connections are awaited is not configured",
    "upstream": 'a group is `[upstream.NAME]` at the top of the file, and a route leads to it: `proxy = "http://NAME"`',
    "proxy_http_version": "upstreams are always spoken to in HTTP/1.1",
    "resolver": "names are looked up by the system; `resolve` of [upstream.NAME] says how often",
    **dict.fromkeys(("least_conn", "ip_hash", "random", "least_time", "round_robin"), "this is a word of `balance`"),
    "zone": "not needed: a process knows all of its upstreams; of several workers each counts its own failures",
}  # fmt: skip
"""Words of other programs for which there is no key, and what to do."""


def explain_unknown(name: str, told: Section, raw: Any, present: set[str], root: type) -> str:
    """The hint for a key that a section does not have; "" when there is nothing to say.

    :param raw: its value.
    :param present: the keys that are there, which cannot be meant again.
    :param root: the section of the whole file.
    """
    plain = name.replace("-", "_").lower()
    if plain in told.keys:
        return f"did you mean `{plain}`?" + _again(plain, present)
    if plain in TOLD:
        return TOLD[plain]
    if name in told.lifted:
        return _belongs(name, root)
    if name.endswith("s") and name[:-1] in told.keys and isinstance(raw, list):
        return f"each one is written `[[{name[:-1]}]]`"
    meanings = ELSEWHERE.get(plain, "").split() or [_directives(root).get(plain, "")]
    foreign = next((one for one in meanings if one in told.keys), meanings[-1])
    if foreign in told.keys:
        return f"here it is called `{foreign}`" + ("; it is said already" if foreign in present else "")
    close, places = nearest(plain, told.keys), _places(root)
    if close:
        other = f" {_belongs(plain, root)}" if plain in places else ""
        return f"did you mean `{close}`?" + _again(close, present) + other
    elsewhere = foreign or (plain if plain in places else nearest(plain, places))
    if elsewhere:
        asked = "" if elsewhere == name else f"did you mean `{elsewhere}`? "
        return asked + _belongs(elsewhere, root, pronoun=bool(asked))
    return f"there are {listed(told.keys)}" if len(told.keys) <= FEW else ""


def _again(name: str, present: set[str]) -> str:
    return " It is said already." if name in present else ""


def _belongs(name: str, root: type, *, pronoun: bool = False) -> str:
    """In which tables a key of that name stands."""
    places = _places(root).get(name, ())
    said = "it" if pronoun else f"`{name}`"
    return f"{said} stands in {listed(places, 'or').replace('`', '')}" if places else ""


@cache
def _places(root: type) -> dict[str, tuple[str, ...]]:
    """Every key, and the tables that have it, as they are written."""
    found: dict[str, dict[str, None]] = {}
    for path, cls in sections_below(root):
        for name in section_of(cls).keys:
            found.setdefault(name, {})[written(path)] = None
    return {name: tuple(places) for name, places in found.items()}


@cache
def _directives(root: type) -> dict[str, str]:
    """nginx's directives, and the keys that correspond to them; where several do, the first."""
    found: dict[str, str] = {}
    for _, cls in sections_below(root):
        for name, slot in section_of(cls).keys.items():
            for directive in filter(None, slot.key.nginx.split(",")):
                found.setdefault(directive.split()[0], name)
    return found


ARRAYS = ("listen", "site", "route", "test")
NAMED = ("map", "upstream", "cache")
"""Tables of tables whose names are the user's."""


def written(path: Iterable[str]) -> str:
    """A table as it is written: `[server.limits]`, `[[site.route]]`, `headers` of a `[[route]]`."""
    steps = list(path)
    if not steps:
        return "the top of the file"
    depth = next((count for count in range(len(steps), 0, -1) if steps[count - 1] in ARRAYS), 0)
    if not depth:
        if steps[0] in NAMED:
            table = f"[{steps[0]}.NAME]"
            return f"`{'.'.join(steps[1:])}` of {table}" if steps[1:] else table
        return f"[{'.'.join(steps)}]"
    table = f"[[{'.'.join(steps[:depth])}]]"
    return f"`{'.'.join(steps[depth:])}` of a {table}" if steps[depth:] else f"a {table}"
