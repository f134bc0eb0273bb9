"""The choice of a chain by the path (criterion B4), remembered; `config/matching.py` tells the same rule slowly.

    exact, else the longest prefix (a final one ends it); else the first regex in file order; else that longest prefix

Prefixes end on a segment's boundary and are found by dict lookups, one or two a segment. What a path leads to is kept
in a bounded table, whose keys are the known paths of `http/target.py`. A route with conditions (methods, query, fields)
that do not hold is as if it were not there: where one could be chosen, the table has a `Choice`, a chain whose content
asks the conditions and sends the exchange on. So paths without conditional routes never pay for them.

A target whose two forms lead to two choices is refused: one of them would be reached past its rules. What is `internal`
is 404 from outside.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from edgestack.errors import ClientError, EdgeError
from edgestack.http.messages import Answer, AppCall, Errand, Exchange, Handler, Response
from edgestack.http.remembered import Remembered
from edgestack.http.target import Path
from edgestack.routing.chain import Chain, nothing
from edgestack.routing.road import answered, enter, failed, filtered, settle

__all__ = ["Locations", "spine"]

KNOWN_PATHS = 4096
"""Paths in one generation whose choice is remembered; two of them, as `http.target`'s table has, whose objects these
are."""
LONGEST_KNOWN = 256
"""Characters: longer paths are not remembered there either."""
Chains: TypeAlias = "tuple[Chain, ...]"

CHOICES = 1024
"""Combinations of conditional routes that are remembered."""


class Locations:
    """The chains of one site, found by path."""

    def __init__(self, chains: Sequence[Chain], fallback: Chain) -> None:
        """
        :param chains: in file order.
        :param fallback: answers (with its error page) what no chain matches.
        """
        self.chains = tuple(chains)
        self.fallback = fallback
        self.named = {chain.match.pattern: chain for chain in chains if chain.match.kind == "named"}
        self._exact = _by_pattern(chains, "exact")
        self._prefixes = _by_pattern(chains, "prefix", "final")
        self._longest = max(map(len, self._prefixes), default=0)
        self._regexes = [(chain.match.regex.search, chain) for chain in chains if chain.match.regex is not None]
        self._choices: dict[tuple[Chains, Chains, Chains], Chain] = {}
        self.ambiguous = fallback.varied(content=two_readings)
        for chain in (*chains, fallback, self.ambiguous):
            chain.locations = self
        self._closed = {chain: _closed(chain) for chain in chains if chain.internal}
        self.outside = _Known(self._from_outside)
        self._inside = _Known(self._from_inside)

    def inside(self, exchange: Exchange) -> Chain:
        """The chain for the path of an exchange that jumped there."""
        chain = self._inside[exchange.request.path]
        return chain.content.pick(exchange) if type(chain.content) is Choice else chain

    def choose(self, path: str) -> Chain:
        """What a path in one of its forms leads to: a chain, or a choice among several."""
        exact = _until_sure(self._exact.get(path, ()))
        if exact and exact[-1].holds is None:
            return exact[0] if len(exact) == 1 else self._choice(exact, (), ())
        prefixes = self._covering(path)
        best = prefixes[0] if prefixes else None
        if best is not None and best.match.kind == "final" and best.holds is None:
            return self._choice(exact, (best,), ()) if exact else best
        regexes: list[Chain] = []
        for search, chain in self._regexes:
            if search(path):
                regexes.append(chain)
                if chain.holds is None:
                    break
        if exact or _undecided(prefixes, regexes):
            return self._choice(exact, prefixes, tuple(regexes))
        return regexes[0] if regexes else best or self.fallback

    def _covering(self, path: str) -> Chains:
        """The prefixes that cover a path, longest first, as far as the first one without conditions."""
        prefixes = self._prefixes
        found: list[Chain] = []
        if path[-1:] != "/":
            for chain in prefixes.get(path if path != "*" else "/", ()):  # `OPTIONS *` belongs to "/"
                found.append(chain)
                if chain.holds is None:
                    return tuple(found)
        at = path.rfind("/", 0, self._longest + 1)
        while at >= 0:
            for chain in (*prefixes.get(path[: at + 1], ()), *(prefixes.get(path[:at], ()) if at else ())):
                found.append(chain)
                if chain.holds is None:
                    return tuple(found)
            at = path.rfind("/", 0, at)
        return tuple(found)

    def _choice(self, exact: Chains, prefixes: Chains, regexes: Chains) -> Chain:
        """The chain that asks conditions, the same for the same candidates."""
        candidates = (exact, prefixes, regexes)
        known = self._choices.get(candidates)
        if known is None:
            if len(self._choices) >= CHOICES:
                self._choices.clear()
            choice = Choice(exact, prefixes, regexes, self.fallback, self._closed)
            known = self._choices[candidates] = Chain("/", choice, self.fallback.errors)
            known.locations = self
        return known

    def _from_inside(self, path: Path) -> Chain:
        """For a path in both of its forms."""
        chain = self.choose(path.normal)
        if not path.same:
            other = path.path_info.encode("latin-1").decode("utf-8", "surrogateescape")
            if self.choose(other) is not chain:
                return self.ambiguous
        return chain

    def _from_outside(self, path: Path) -> Chain:
        chain = self._from_inside(path)
        return self._closed.get(chain, chain)


class Choice:
    """The content of a path that routes with conditions compete for."""

    __slots__ = ("closed", "exact", "fallback", "prefixes", "regexes")

    def __init__(
        self,
        exact: Chains,
        prefixes: Chains,
        regexes: Chains,
        fallback: Chain,
        closed: dict[Chain, Chain],
    ) -> None:
        """
        :param exact, prefixes, regexes: whose path fits, each in the order in which they are asked.
        :param closed: what stands for internal chains when they are asked for from outside.
        """
        self.exact = exact
        self.prefixes = prefixes
        self.regexes = regexes
        self.fallback = fallback
        self.closed = closed

    def pick(self, exchange: Exchange) -> Chain:
        """The chain whose conditions hold."""
        request = exchange.request
        for chain in self.exact:
            if chain.holds is None or chain.holds(request):
                return chain
        best = next((chain for chain in self.prefixes if chain.holds is None or chain.holds(request)), None)
        if best is not None and best.match.kind == "final":
            return best
        for chain in self.regexes:
            if chain.holds is None or chain.holds(request):
                return chain
        return best or self.fallback

    def chosen(self, exchange: Exchange) -> Chain:
        """The same for somebody from outside."""
        chain = self.pick(exchange)
        return self.closed.get(chain, chain)

    def __call__(self, exchange: Exchange) -> Answer:
        return enter(exchange, self.chosen(exchange))


class _Known(Remembered[Path, Chain]):
    """Paths seen before, and where they lead."""

    __slots__ = ("find",)

    def __init__(self, find: Callable[[Path], Chain]) -> None:
        super().__init__(KNOWN_PATHS)
        self.find = find

    def make(self, key: Path) -> Chain:
        return self.find(key)

    def weigh(self, key: Path, value: Chain) -> int:
        return 1 if len(key.raw) <= LONGEST_KNOWN else 0


def spine(chains: Sequence[Chain], fallback: Chain) -> Handler:
    """The handler for the chains of one site, the hot path of the whole program.

    :param fallback: answers (with its error page) what no chain matches.
    """
    return road(Locations(chains, fallback))


def road(locations: Locations) -> Handler:
    """The handler. What `enter` does stands here inline: for most requests two calls are all there is."""
    known = locations.outside

    def handle(exchange: Exchange) -> Answer:
        chain = known[exchange.request.path]
        exchange.chain = chain
        exchange.ends = chain.ends
        try:
            answer = chain.handle(exchange)
        except EdgeError as error:
            answer = failed(exchange, chain, error)
        if type(answer) is Response:
            return filtered(exchange, chain, answer) if chain.filters else answer
        if isinstance(answer, AppCall):
            return answer
        if isinstance(answer, Errand):
            answer.settle = settle
            return answer
        return answered(exchange, chain, answer)

    return handle


def two_readings(exchange: Exchange) -> Response:
    """The content for a path whose two forms lead to different routes."""
    raise ClientError("The path has two readings.", 400)


def _by_pattern(chains: Sequence[Chain], *kinds: str) -> dict[str, Chains]:
    """Chains of some kinds by what they match; several in file order, as far as the first one without conditions."""
    found: dict[str, Chains] = {}
    for chain in chains:
        if chain.match.kind in kinds:
            found[chain.match.pattern] = (*found.get(chain.match.pattern, ()), chain)
    return {pattern: _until_sure(several) for pattern, several in found.items()}


def _until_sure(chains: Chains) -> Chains:
    """As far as the first one without conditions: what stands behind it is never asked."""
    for at, chain in enumerate(chains):
        if chain.holds is None:
            return chains[: at + 1]
    return chains


def _undecided(prefixes: Chains, regexes: Sequence[Chain]) -> bool:
    """Whether conditions must be asked."""
    if regexes and regexes[0].holds is not None:
        return True
    if regexes:
        return any(chain.match.kind == "final" for chain in prefixes)
    return bool(prefixes) and prefixes[0].holds is not None


def _closed(chain: Chain) -> Chain:
    """What stands for an internal chain when somebody asks from outside (nginx: `internal`)."""
    links = [link for link in chain.links if link.kind == "filter"]
    return chain.varied(content=nothing, rewrite=None, checks=(), wraps=(), links=links)
