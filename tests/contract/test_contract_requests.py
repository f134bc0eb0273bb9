"""Requests and answers, one after the other, as dialogues (criteria E1 to E5)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
from contract_kit import Edge

Serving = Callable[..., AbstractAsyncContextManager[Edge]]


def hello(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello"]


async def test_an_answer_from_an_application(serving: Serving) -> None:
    async with serving(app=hello) as edge:
        await edge.talk("""
            >> GET / HTTP/1.1
            >> Host: a
            >>
            << HTTP/1.1 200 OK
            << Server: edgestack
            << Content-Type: text/plain
            << Content-Length: 5
            << {end}
            <| hello
        """)
