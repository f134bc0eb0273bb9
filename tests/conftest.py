"""What holds for all tests: property tests draw the same examples each time, so that a run says the same as the last.

`EDGESTACK_LONG=1` (`make fuzz`) draws others each time. What starts the tests may ignore signals (`nohup`, a shell's
`&`), and every server that a test starts would inherit that, and obey: so they mean here what they mean to a user.
"""

from __future__ import annotations

import os
import signal

from hypothesis import settings

settings.register_profile("edgestack", derandomize=not os.environ.get("EDGESTACK_LONG"), database=None, deadline=None)
settings.load_profile("edgestack")

collect_ignore = ["examples"]
"""A project of its own: tests/testing/test_examples.py runs it as its user would."""

for number, meaning in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, meaning)
