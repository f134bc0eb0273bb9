"""What servers behind a cache say is written as in `tests/upstream`, whose words for it are found here.

The oracle of the property tests is that of the pure rules (`tests/http`). A test that has to do with the application
runs twice: it is served on threads, and as ASGI. (test_cached_streams.py has what is ASGI's alone.)
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import cached_apps
import pytest
from cached_apps import app, asgi, halves

for room in ("upstream", "http"):
    sys.path.append(str(Path(__file__).parent.parent / room))


BLOCKING = {"test_d6_a_stream_is_coded_and_stored_as_it_passes"}
"""Their applications wait for the test as only a thread may."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Beside scripted upstreams, where a test says itself what stands behind, there is one application."""
    code = metafunc.function.__code__
    said = code.co_name in BLOCKING or "content" in metafunc.fixturenames or "loop" in metafunc.fixturenames
    if {"app", "application"} & {*code.co_names, *code.co_cellvars} and not said:
        metafunc.fixturenames.append("served")
        metafunc.parametrize("served", ["wsgi", "asgi"], indirect=True)


@pytest.fixture
def served(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """How the application of the configurations is served; tests write its answers to `app` in any case."""
    if request.param == "asgi":
        monkeypatch.setattr(cached_apps, "app", asgi)


@pytest.fixture(autouse=True)
def _fresh_app() -> Iterator[None]:
    app.reset()
    halves.reset()
    yield
    app.gate.set()
