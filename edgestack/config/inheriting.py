"""What a site says, put into its routes: after this, a route knows all its rules, and nobody need look at its site.

    headers             the site's first, then the route's; `replace = true` leaves the site's out (criterion B9)
    errors              both; for the same status the route's
    allow and deny      the route's, if it says either; else the site's
    limit               each of rate, connections, body and bandwidth: the route's, else the site's
    timeouts            each: the route's, else the site's
    everything else     the route's, else the site's

Limits that are inherited count together with the site's other routes (`Limit.zone`). Source: nginx, where a level's
directives replace those above; header fields differ on purpose.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Any, TypeAlias

from edgestack.config.rules import HeaderRules, Limit, RouteTimeouts, Rules

__all__ = ["inherited"]

Pages: TypeAlias = "tuple[tuple[tuple[int, ...], str], ...]"
PLAIN = ("cache_control", "basic_auth", "auth_request", "compress", "inflate", "log")


def inherited(site: Rules, route: Rules, said: Collection[str]) -> dict[str, Any]:
    """The fields of `route` that its site changes, with their values.

    :param said: the keys that the route says itself: `basic_auth = false` is something said.
    """
    changes: dict[str, Any] = {name: getattr(site, name) for name in PLAIN if name not in said and getattr(site, name)}
    if "cache_control" in changes and route.cache_control:  # of the route's own preset
        del changes["cache_control"]
    if site.headers:
        changes["headers"] = headers(site.headers, route.headers)
    if not {"allow", "deny"} & set(said):
        changes |= {name: getattr(site, name) for name in ("allow", "deny") if getattr(site, name)}
    if site.limit:
        changes["limit"] = limits(site.limit, route.limit)
    if site.errors:
        changes["errors"] = errors(site.errors, route.errors)
    if site.timeouts != RouteTimeouts():
        own, above = route.timeouts, site.timeouts
        changes["timeouts"] = RouteTimeouts(own.body_gap or above.body_gap, own.send_gap or above.send_gap)
    if site.preset:
        changes["preset"] = tuple(dict.fromkeys((*site.preset, *route.preset)))
    return changes


def headers(above: tuple[HeaderRules, ...], own: tuple[HeaderRules, ...]) -> tuple[HeaderRules, ...]:
    """Outermost first, in the order in which they are applied."""
    return own if any(rule.replace for rule in own) else above + own


def limits(above: tuple[Limit, ...], own: tuple[Limit, ...]) -> tuple[Limit, ...]:
    """The route's, then what is left of the site's."""
    taken = [name for name in ("rate", "connections", "body", "bandwidth") if any(getattr(one, name) for one in own)]
    nothing: dict[str, Any] = dict.fromkeys(taken)
    left = (replace(one, **nothing) for one in above)
    return own + tuple(one for one in left if one.rate or one.connections or one.body or one.bandwidth)


def errors(above: Pages, own: Pages) -> Pages:
    """The route's, then the site's for the statuses that are left; "5xx" of a route leaves none of them."""
    taken = {status for statuses, _ in own for status in statuses}
    left = (
        (tuple(status for status in statuses if not {status, status // 100} & taken), page) for statuses, page in above
    )
    return own + tuple(pair for pair in left if pair[0])
