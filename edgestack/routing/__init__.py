"""Which chain answers an exchange, and the one road through it.

    sites.py      Host and SNI -> a site; hosts that moved; 421
    locations.py  the path -> a chain (criterion B4), remembered for known paths; conditions asked each time
    road.py       checks -> content -> filters; errors -> their page; jumps inside the server
    chain.py      what a chain is: flat tuples of functions, and the same as links that `explain` can name

A rule that is not configured is not in a chain, and a site or a condition that is not configured is not on the road:
one site without hosts has no table of hosts, and a route without conditions is chosen by one lookup. This room must not
know what links do, nor what was configured: `compose.py` does.
"""

from __future__ import annotations

from edgestack.routing.chain import Chain, ErrorPage, Link, nothing
from edgestack.routing.locations import Choice, Locations, road, spine
from edgestack.routing.road import onward, recovered, run
from edgestack.routing.sites import Hosts, SiteRoad, behind_proxies

__all__ = [
    "Chain", "Choice", "ErrorPage", "Hosts", "Link", "Locations", "SiteRoad", "behind_proxies", "nothing", "onward",
    "recovered", "road", "run", "spine",
]  # fmt: skip
