"""A configuration as text, composed, and asked in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from textwrap import dedent
from typing import Any, NamedTuple

from edgestack.compose import Plan, Resources, compose
from edgestack.compose.asking import asked
from edgestack.config.load import load
from edgestack.config.model import Listener
from edgestack.explaining import Collected
from edgestack.http.bodies import FileSegment
from edgestack.http.messages import AppCall, Exchange, Response, settled

__all__ = ["Got", "Running", "echo", "plan"]

FILES = {
    "site/index.html": "home", "site/a.txt": "a", "site/b/index.html": "b's index", "site/c/d.txt": "d",
    "site/page.html": "a page", "pages/sorry.html": "sorry", "main.py": "app = None",
}  # fmt: skip


class Got(NamedTuple):
    """A whole answer."""

    status: int
    body: str
    fields: dict[str, str]
    exchange: Exchange


def echo(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Says where it was asked; fails below /boom."""
    if environ["PATH_INFO"] == "/boom":
        raise ValueError("boom")
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{environ['SCRIPT_NAME']}|{environ['PATH_INFO']}|{environ['QUERY_STRING']}".encode()]


def plan(folder: Path, text: str) -> Plan:
    """The plan of a file beside some folders."""
    for name, content in FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    file = folder / "edgestack.toml"
    file.write_text(dedent(text))
    return compose(load(file).config)


class Running:
    """A plan that answers."""

    def __init__(self, folder: Path, text: str, **resources: Any) -> None:
        self.plan = plan(folder, text)
        applications = dict.fromkeys(self.plan.applications, echo)
        self.handle = self.plan.assemble(Resources(applications, **resources))(Listener()).handle

    async def get(self, url: str, *fields: tuple[str, str], method: str = "GET", address: str = "127.0.0.1") -> Got:
        """The answer to one request."""
        exchange = asked(self.plan.config, method, url, fields, address)
        answer = await settled(self.handle(exchange))
        if isinstance(answer, AppCall):
            exchange.ticket = [None]
            outlet = Collected()
            answer.run(outlet)
            assert outlet.response is not None
            answer, body = outlet.response, b"".join(outlet.pieces)
        else:
            assert isinstance(answer, Response)
            body = answer.body.read(0, 1 << 20) if isinstance(answer.body, FileSegment) else answer.body  # type: ignore[assignment]
        exchange.finish()
        return Got(answer.status, bytes(body).decode(), dict(answer.fields), exchange)
