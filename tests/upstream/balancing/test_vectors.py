"""What the real nginx chose, chosen again (A1–A6, A8–A13): `vectors/*.json`, recorded by `vectors/record.py`."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from edgestack.config.peer_addresses import parse_server
from edgestack.config.upstreams import Upstream, UpstreamServer
from edgestack.errors import UpstreamError
from edgestack.http.facts import Facts
from edgestack.http.messages import Exchange
from edgestack.upstream.group import Group
from edgestack.upstream.peers import Peer, Tried

FOLDER = Path(__file__).parent.parent / "vectors"
CASES = [
    pytest.param(case, id=f"{path.stem}: {case['name']}")
    for path in sorted(FOLDER.glob("*.json"))
    for case in json.loads(path.read_text("utf-8"))["cases"]
]
NUMBERS = ("weight", "max_fails", "max_conns", "fail_timeout")


def test_the_vectors_name_their_nginx() -> None:
    for path in FOLDER.glob("*.json"):
        assert json.loads(path.read_text("utf-8"))["nginx"].startswith("nginx/1.")


def server(text: str) -> UpstreamServer:
    """A server as nginx writes it."""
    to, *said = shlex.split(text)
    pairs = (word.partition("=") for word in said)
    return UpstreamServer(parse_server(to), **{name: int(value) if value else True for name, _, value in pairs})  # type: ignore[arg-type]


def upstream(case: dict[str, Any]) -> Upstream:
    """A group as nginx writes it."""
    servers = tuple(map(server, case["servers"]))
    method, *said = case["method"].split() or ["round_robin"]
    if method == "hash":
        return Upstream(servers, hash=said[0], consistent="consistent" in said, name="group")
    return Upstream(servers, balance=method, name="group")


class Replay:
    """One case, step by step, in virtual time."""

    def __init__(self, case: dict[str, Any]) -> None:
        self.now = 0.0
        self.key = ""
        self.group = Group(upstream(case), lambda exchange: self.key)
        for one in self.group.names():
            self.group.found(one, ["127.0.0.1"])
        self.failing: set[str] = set()
        self.held: dict[int, Peer] = {}

    def exchange(self) -> Exchange:
        return Exchange(Facts(remote_addr=self.key or "127.0.0.1"), None, 1, 0.0)  # type: ignore[arg-type]

    def ask(self, key: str, got: list[str], status: int) -> None:
        self.key = key
        tried = Tried()
        asked = []
        answered = False
        while not answered and len(asked) < self.group.tries():
            try:
                peer = self.group.pick(self.exchange(), tried, self.now)
            except UpstreamError:
                break
            asked.append(str(peer.address))
            answered = str(peer.address) not in self.failing
            (self.group.succeeded if answered else self.group.failed)(peer, self.now)
            self.group.release(peer)
        assert asked == got
        assert answered == (status == 200)

    def start(self, id: int, got: str | None) -> None:
        try:
            peer = self.group.pick(self.exchange(), Tried(), self.now)
        except UpstreamError:
            assert got is None
        else:
            assert str(peer.address) == got
            self.held[id] = peer

    def end(self, id: int) -> None:
        peer = self.held.pop(id)
        self.group.succeeded(peer, self.now)
        self.group.release(peer)

    def fail(self, servers: list[str]) -> None:
        self.failing = set(servers)

    def wait(self, seconds: float) -> None:
        self.now += seconds


@pytest.mark.parametrize("case", CASES)
def test_as_nginx(case: dict[str, Any]) -> None:
    replay = Replay(case)
    for at, step in enumerate(case["steps"]):
        told = dict(step)
        try:
            getattr(replay, told.pop("do"))(**told)
        except AssertionError as error:
            raise AssertionError(f"step {at}, {step}: {error}") from error
