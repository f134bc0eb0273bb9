"""What holds for all tests: property tests draw the same examples each time, so that a run says the same as the last.

`EDGESTACK_LONG=1` (`make fuzz`) draws others each time.
"""

from __future__ import annotations

import os

from hypothesis import settings

settings.register_profile("edgestack", derandomize=not os.environ.get("EDGESTACK_LONG"), database=None, deadline=None)
settings.load_profile("edgestack")

collect_ignore = ["examples"]
"""A project of its own: tests/testing/test_examples.py runs it as its user would."""
