"""What stands behind a cache is what stands behind a proxy: the scripted upstreams are those of `tests/upstream`.

The oracle of the property tests is that of the pure rules (`tests/http`).
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cached_apps import app, halves

for room in ("upstream", "http"):
    sys.path.append(str(Path(__file__).parent.parent / room))


@pytest.fixture(autouse=True)
def _fresh_app() -> Iterator[None]:
    app.reset()
    halves.reset()
    yield
    app.gate.set()
