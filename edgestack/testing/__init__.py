"""The edge inside a test: production's configuration, in milliseconds, under a clock that the test holds.

    edge.py           Edge: one edge for the length of a block; everything begins there
      layout.py       what is asked for -> what is served: listeners, certificates, upstreams, applications replaced
      running.py      one edge in one loop
      loop_thread.py  the loop of tests that are not asynchronous
    site.py, async_site.py    what a test has of it: url, clients, log, attempts, statistics, reload
    scripted.py       a server behind the edge: acts.py says what it may do, dialing.py leads to it, over pipes.py
    dialogue.py       bytes said and bytes expected
    guards.py         what else is looked at; pep3333.py watches applications
    records.py        the access log, as records          tapping.py   the bytes that pass
    har.py            exchanges written down; replaying.py sends them again
    authority.py      certificates                        messages.py, websocket.py   bytes taken apart
    fixtures.py       what the pytest plugin gives        django.py    the counterpart of its LiveServerTestCase

The plugin itself is `edgestack/pytest_plugin.py`: it imports nothing of this until a fixture is used. This room stands
on the floor of whoever starts the program, and enters where the command line does: a plan, a Stack.
"""

from __future__ import annotations

from edgestack.testing.acts import does, drips, hangs, refuses, replies, resets, says, websocket
from edgestack.testing.async_site import AsyncSite, Connection
from edgestack.testing.dialogue import Dialogue, DialogueError
from edgestack.testing.edge import Edge
from edgestack.testing.guards import GUARDS, GuardError
from edgestack.testing.messages import Reply, SeenRequest
from edgestack.testing.pep3333 import guarded
from edgestack.testing.records import Record
from edgestack.testing.scripted import ScriptedUpstream
from edgestack.testing.site import Site

__all__ = [
    "GUARDS", "AsyncSite", "Connection", "Dialogue", "DialogueError", "Edge", "GuardError", "Record", "Reply",
    "ScriptedUpstream", "SeenRequest", "Site", "does", "drips", "guarded", "hangs", "refuses", "replies", "resets",
    "says", "websocket",
]  # fmt: skip
