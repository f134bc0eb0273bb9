"""What hosting sets for a whole process is set back."""

from __future__ import annotations

import pytest

from edgestack.http.messages import Exchange


@pytest.fixture(autouse=True)
def request_ids_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hosted application has its edge's request ids."""
    monkeypatch.setattr(Exchange, "prefix", Exchange.prefix)
