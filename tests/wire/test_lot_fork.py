"""An application that forks (rule 6): the child lets go of listeners, connections and pollers, without a word."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

SCRIPT = """
import json, os, sys
import trio, trio.testing
from edgestack.compose import compose
from edgestack.config.model import App, Config, Listener, Route, Server
from edgestack.stack import Stack

APP = App("forking:app")
told_reader, told = os.pipe()
stay, leave = os.pipe()

def app(environ, start_response):
    before = descriptors()
    if os.fork() == 0:
        after = descriptors()
        still = [fd for fd in known if after.get(fd) == before[fd]]
        os.write(told, json.dumps(still).encode())
        os.close(leave)
        os.read(stay, 1)
        os._exit(0)
    start_response("200 OK", [("Content-Length", "4")])
    return [b"here"]

known = set()

def descriptors():
    found = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            found[int(name)] = os.readlink(f"/proc/self/fd/{name}")
        except OSError:  # the listing's own
            continue
    return found

async def main(portable):
    config = Config(Server(threads=2), (Listener("127.0.0.1"),), routes=(Route(app=APP),))
    stack = Stack(compose(config), {APP: app}, portable=portable)
    async with trio.open_nursery() as nursery:
        await nursery.start(stack.serve)
        listener = stack._places.pairs[0][1]
        known.add(listener.fileno())
        idle = await trio.open_tcp_stream(*listener.getsockname())
        client = await trio.open_tcp_stream(*listener.getsockname())
        await trio.testing.wait_all_tasks_blocked()
        if not portable:
            known.update(stack._driver.table)
            known.update((stack._driver._wake, stack._driver._poller.fileno()))
        else:
            known.update(sock.fileno() for sock in stack._driver.sockets)
        await client.send_all(b"GET / HTTP/1.1\\r\\nHost: a\\r\\nConnection: close\\r\\n\\r\\n")
        answer = b""
        while piece := await client.receive_some():
            answer += piece
        left = await stack.drain(5)
        end = await idle.receive_some()
        nursery.cancel_scope.cancel()
    still = json.loads(os.read(told_reader, 10000))
    os.close(leave)
    os.wait()
    answered = answer.decode().endswith("here")
    print(json.dumps([answered, end.decode(), left, still, len(known)]))

trio.run(main, sys.argv[1] == "portable")
"""


@pytest.mark.parametrize("driver", ["lot", "portable"])
def test_a_child_holds_nothing_of_ours(driver: str) -> None:
    """Rule 6: while the child lives, the clients see the closes of the parent, and the answer comes once."""
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", SCRIPT, driver],
        capture_output=True,
        timeout=30,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        check=False,
    )
    assert ran.returncode == 0, ran.stderr.decode()
    assert json.loads(ran.stdout) == [True, "", [], [], 5 if driver == "lot" else 3]
