"""From what the user wrote to what runs: `compose(config) -> Plan`. Pure: no socket, no thread, no application import.

    plan.py         Plan: sites, their chains, the doors of listeners
    chains.py       one route -> one chain, by ORDER: the one list of which link stands where
    contents.py     what answers in a route, and its error pages
    conditions.py   methods, query and fields of a match, compiled
    steps.py        `explain`: the same links of the same chain, told and not run

This is the only room that sees all wings. A Plan is data; `Plan.assemble(resources)` puts in what outlives it
(`resources.py`) and gives flat handlers.
"""

from __future__ import annotations

from edgestack.compose.plan import Plan, compose
from edgestack.compose.resources import Resources
from edgestack.compose.steps import Step

__all__ = ["Plan", "Resources", "Step", "compose"]
