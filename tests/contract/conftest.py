"""Every test of the contract runs on every driver, and in virtual time: a clock that stands still until it is told."""

from __future__ import annotations

import inspect
import ssl
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
import trustme
from contract_kit import DRIVERS, Edge, open_edge
from trio.testing import MockClock


def pytest_collection_modifyitems(items: list[pytest.Function]) -> None:
    for item in items:
        if item.path.parent == Path(__file__).parent and inspect.iscoroutinefunction(item.obj):
            item.add_marker(pytest.mark.trio(run=run_in_virtual_time), append=False)


def run_in_virtual_time(test: Callable[..., Any], *, clock: trio.abc.Clock | None = None, **more: Any) -> Any:
    return trio.run(test, clock=clock or MockClock(), **more)


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="session")
def certificate(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("certificate")
    leaf = authority.issue_cert("localhost", "127.0.0.1")
    leaf.private_key_pem.write_to_path(folder / "key.pem")
    leaf.cert_chain_pems[0].write_to_path(folder / "cert.pem")
    return folder / "cert.pem", folder / "key.pem"


@pytest.fixture(scope="session")
def trust(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


@pytest.fixture(params=DRIVERS)
def driver(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def serving(
    driver: str, certificate: tuple[Path, Path], trust: ssl.SSLContext
) -> Callable[..., AbstractAsyncContextManager[Edge]]:
    """`async with serving(app=…) as edge`: see `contract_kit.open_edge`."""
    return partial(open_edge, driver, certificate, trust)
