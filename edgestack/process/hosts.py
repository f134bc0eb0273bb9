"""The processes that host applications, for as long as the server lives: generations of them come and go.

    hosts.bind(nursery)       from now on they are watched
    hosts.adopt(groups)       these serve: what is new is watched, what is gone finishes what it has begun and leaves
    hosts.end()               blocking: all of them leave

On the loop, but for `end`.
"""

from __future__ import annotations

from collections.abc import Iterable

import trio

from edgestack.process.host_group import HostGroup

__all__ = ["Hosts"]


class Hosts:
    """See the top of this file."""

    def __init__(self, groups: Iterable[HostGroup] = ()) -> None:
        """:param groups: those that serve at the start."""
        self.groups = tuple(groups)
        self._leaving: list[HostGroup] = []
        self._nursery: trio.Nursery | None = None

    def bind(self, nursery: trio.Nursery) -> None:
        """There is a loop."""
        self._nursery = nursery
        for group in self.groups:
            nursery.start_soon(group.watch)

    def adopt(self, groups: Iterable[HostGroup], grace: float) -> None:
        """These serve from now on.

        :param grace: seconds that requests under way have in those that leave.
        """
        assert self._nursery is not None
        before, self.groups = self.groups, tuple(groups)
        for group in self.groups:
            if group not in before:
                self._nursery.start_soon(group.watch)
        for group in before:
            if group not in self.groups:
                self._leaving.append(group)
                self._nursery.start_soon(self._retire, group, grace)

    async def _retire(self, group: HostGroup, grace: float) -> None:
        await group.retire(grace)
        self._leaving.remove(group)

    def children(self) -> set[int]:
        """Process ids of those that this process has begun itself."""
        return {pid for group in (*self.groups, *self._leaving) for pid in group.children()}

    def reopen_logs(self) -> None:
        """Have all of them open their logs anew."""
        for group in (*self.groups, *self._leaving):
            group.reopen_logs()

    def say_goodbye(self) -> None:
        """The server is about to stop."""
        for group in self.groups:
            group.say_goodbye()

    def end(self, *, at_once: bool) -> None:
        """The server has stopped, and nothing is under way any more. Blocking.

        :param at_once: there is no time for goodbyes.
        """
        groups = (*self.groups, *self._leaving)
        for group in groups:
            group.abandon() if at_once else group.stop()
        for group in () if at_once else groups:
            group.end()
