"""Sites against each other: hosts that two of them claim, two defaults, and what `canonical` moves where."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from edgestack.config.model import Site
from edgestack.config.positions import Mark
from edgestack.config.reading import Reading

__all__ = ["settled_sites"]


def settled_sites(placed: Sequence[tuple[Site, Mark]], reading: Reading) -> list[Site]:
    """The sites with their hosts as they are served, those that are moved, and the default marked.

    :param placed: each with its place; hosts as they were read.
    """
    owners: dict[str, tuple[int, Mark]] = {}
    for index, (site, mark) in enumerate(placed):
        for at, host in enumerate(site.hosts):
            _claim(host, index, mark.child("hosts").child(at), owners, reading)
    settled = []
    for index, (site, mark) in enumerate(placed):
        moved = _moved(site, mark, reading)
        for gone in moved:
            owner = owners.get(gone)
            if owner is not None and owner[0] != index:
                hint = f"at {owner[1].origin}"
                reading.problem(mark.child("canonical"), f"{gone} belongs to another site", hint, key="canonical")
        hosts = tuple(dict.fromkeys(moved.get(host, host) for host in site.hosts))
        settled.append(
            replace(
                site, hosts=hosts, default=site.default or not hosts, moved=tuple(moved.items()), origin=mark.origin
            )
        )
    _check_default(settled, [mark for _, mark in placed], reading)
    return settled


def _claim(host: str, index: int, place: Mark, owners: dict[str, tuple[int, Mark]], reading: Reading) -> None:
    owner = owners.setdefault(host, (index, place))
    if owner[1] is not place:
        why = f"{host} is said twice" if owner[0] == index else f"{host} belongs to another site already"
        reading.problem(place, why, f"at {owner[1].origin}", key="hosts")


def _moved(site: Site, mark: Mark, reading: Reading) -> dict[str, str]:
    """Hosts that are redirected, and where to."""
    if not site.canonical:
        return {}
    names = [host for host in site.hosts if not host.startswith(("*", "["))]
    if not names:
        reading.problem(mark.child("canonical"), "there is no host to redirect to", "add `hosts`", key="canonical")
    apexes = [host.removeprefix("www.") for host in names]
    if site.canonical == "apex":
        return {f"www.{apex}": apex for apex in apexes}
    return {apex: f"www.{apex}" for apex in apexes}


def _check_default(sites: Sequence[Site], marks: Sequence[Mark], reading: Reading) -> None:
    defaults = [mark for site, mark in zip(sites, marks, strict=True) if site.default]
    for mark in defaults[1:]:
        parts = mark.parts if isinstance(mark.parts, dict) else {}
        hint = f"the first is at {defaults[0].origin}"
        if "default" in parts:
            reading.key_problem(parts["default"], "there is a default site already", hint, key="default")
        else:
            why = "a site without `hosts` is the default, and there is one already"
            reading.key_problem(mark, why, hint, key="site")
