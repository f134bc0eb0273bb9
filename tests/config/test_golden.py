"""Golden files: `golden/NAME.toml` in, `golden/NAME.errors` or `NAME.shown` out, to the letter.

After a change that is meant: `EDGESTACK_GOLDEN=write pytest tests/config/test_golden.py`, and read the difference.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from edgestack.config.load import load
from edgestack.config.problems import ConfigErrors
from edgestack.config.show import settings

FOLDER = Path(__file__).parent / "golden"
UNREADABLE = Path("/proc/self/mem")
"""Where there is one, not even root can read its first page."""
CASES = sorted(path.stem for path in FOLDER.glob("*.toml") if path.stem != "include_unreadable" or UNREADABLE.exists())


@pytest.fixture(autouse=True)
def _here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are named as from the folder itself."""
    monkeypatch.chdir(FOLDER)


def outcome(name: str) -> tuple[str, str]:
    """What loading gives, and how such a file is called."""
    try:
        loaded = load(f"{name}.toml")
    except ConfigErrors as errors:
        return f"{errors}\n", "errors"
    said = [f"{key} = {value}  # {origin}" for key, value, origin in settings(loaded) if origin != "default"]
    return "\n".join(said + [f"\n{one.shown()}" for one in loaded.warnings]) + "\n", "shown"


@pytest.mark.parametrize("name", CASES)
def test_golden(name: str) -> None:
    text, ending = outcome(name)
    golden = FOLDER / f"{name}.{ending}"
    if os.environ.get("EDGESTACK_GOLDEN") == "write":
        golden.write_text(text, "utf-8")
    assert golden.is_file(), f"{name} gave {ending}:\n{text}"
    assert text == golden.read_text("utf-8")


@pytest.mark.parametrize("name", CASES)
def test_each_error_has_its_place_and_a_caret(name: str) -> None:
    try:
        load(f"{name}.toml")
    except ConfigErrors as errors:
        for error in errors.errors:
            lines = error.shown().splitlines()  # type: ignore[attr-defined]
            assert lines[0].startswith(f"{error.file}:{error.line}:{error.column}: ")
            source = Path(error.file).read_bytes().decode("utf-8", "replace").splitlines()[error.line - 1]
            assert len(source) >= error.column - 1
            assert "^" in lines[2]
            assert max(map(len, lines)) <= 140
