"""One truth for all worker classes: what an application does alike are the same bytes, heads and their order too.

What is compared is what leaves the socket; left out are the date and the request's id. Where the application does not
say how long its answer is, an ASGI one whose pieces do not come at once leaves in chunks (`GATHER`), however quick it
meant to be: then the framing, and what depends on it, is left out too.
"""

from __future__ import annotations

import re
import runpy
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

from server_kit import APPS, ROOT, Server, running

BEHAVIOURS = runpy.run_path(str(APPS / "alike.py"))["BEHAVIOURS"]
EXPECTED = ("ValueError", "more than it announced", "gave more")
OWN = re.compile(rb"(?im)^((?:Date|X-Request-Id|Request id):) .*?$")
"""What is each answer's own."""
FRAMING = re.compile(rb"(?im)^(?:Transfer-Encoding|Content-Length|Vary): .*?\r\n")
CHUNK = re.compile(rb"(?s)[0-9a-f]+\r\n(.*?)\r\n")
"""Bodies here have no line ends of their own."""
ROADS = {
    "ASGI on trio": ("inside", "/asgi/"),
    "ASGI on asyncio": ("asyncio", "/asgi/"),
    "WSGI in a process": ("process", "/wsgi/"),
    "ASGI in a process": ("process", "/asgi/"),
}
"""All but WSGI on threads, which the others are compared with: which server, and where its application is."""
SERVERS = {"inside": "", "asyncio": 'asgi_loop = "asyncio"', "process": 'worker_class = "process"'}


def served(folder: Path, name: str, data: Path) -> AbstractContextManager[Server]:
    """The applications in one place each."""
    routes = "".join(f'[[route]]\nmatch = "/{kind}/"\napp = "alike:{kind}"\n' for kind in ("wsgi", "asgi"))
    folder.mkdir()
    file = folder / "edgestack.toml"
    file.write_text(f"[server]\ntls = false\n{SERVERS[name]}\n{routes}")
    return running(folder, "-c", str(file), data=data, env={"PYTHONPATH": f"{ROOT}:{APPS}"})


def asked(server: Server, request: str, measured: bool) -> tuple[bytes, bytes]:
    """The head, and the body.

    :param measured: the application says how long it is.
    """
    server.claimed += EXPECTED
    head, _, body = server.raw(request.encode()).partition(b"\r\n\r\n")
    if not measured:
        body = CHUNK.sub(rb"\1", body) if b"Transfer-Encoding: chunked" in head else body
        head = FRAMING.sub(b"", head)
    return OWN.sub(rb"\1", head), OWN.sub(rb"\1", body)


def test_all_answer_alike(data: Path, tmp_path: Path) -> None:
    """Each behaviour, asked in three ways; one test, so that all servers are started once."""
    with ExitStack() as stack:
        servers = {name: stack.enter_context(served(tmp_path / name, name, data)) for name in SERVERS}
        odd = [
            (road, name, how, found, expected)
            for name, behaviour in BEHAVIOURS.items()
            for how in ("GET 1.1", "HEAD 1.1", "GET 1.0")
            for expected in [answer(servers["inside"], "/wsgi/", name, how, behaviour)]
            for road, (server, place) in ROADS.items()
            if (found := answer(servers[server], place, name, how, behaviour)) != expected
        ]
    assert odd == []


def answer(server: Server, place: str, name: str, how: str, behaviour: Any) -> tuple[bytes, bytes]:
    """What one of them says."""
    method, version = how.split()
    request = f"{method} {place}{name} HTTP/{version}\r\nHost: a\r\nConnection: close\r\n\r\n"
    return asked(server, request, "Content-Length" in dict(behaviour.fields))
