"""The example project, run as its user runs it: its own pytest process, in its folder, with the installed plugin."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("flask")
pytestmark = pytest.mark.timeout(240)  # several interpreters start, beside whatever else this machine does

SHOP = Path(__file__).parent.parent / "examples" / "shop"
TESTS = 34
WANT_LIBRARIES = 2
"""Those with requests and Playwright run where these are installed."""
SHUFFLED = """
import random

def pytest_collection_modifyitems(items):
    random.Random(7).shuffle(items)
"""
RUNS = {
    "as it is": [],
    "in random order, in two processes": ["-p", "shuffled", "-p", "xdist", "-n", "2"],
}


@pytest.mark.parametrize("words", RUNS.values(), ids=RUNS)
def test_the_shop(words: list[str], tmp_path: Path) -> None:
    (tmp_path / "shuffled.py").write_text(SHUFFLED)
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *words],
        cwd=SHOP, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"},
    )  # fmt: skip
    assert run.returncode == 0, run.stdout
    told = {word: int(count) for count, word in re.findall(r"(\d+) (passed|skipped)", run.stdout)}
    assert told["passed"] >= TESTS
    assert told["passed"] + told.get("skipped", 0) == TESTS + WANT_LIBRARIES
