"""What servers behind a cache say is written as in `tests/upstream`, whose words for it are found here.

The oracle of the property tests is that of the pure rules (`tests/http`).
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cached_apps import app

for room in ("upstream", "http"):
    sys.path.append(str(Path(__file__).parent.parent / room))


@pytest.fixture(autouse=True)
def _fresh_app() -> Iterator[None]:
    app.reset()
    yield
    app.gate.set()
