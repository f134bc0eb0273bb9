"""`python -m edgestack`, and the `edgestack` command: the first lines that run.

Until the command line is read there is nothing to tidy up: SIGINT ends the process, and no import shows a traceback.
From then on it is a KeyboardInterrupt (`process/commands.py`).
"""

from __future__ import annotations

import signal

if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)

from edgestack.cli import main

if __name__ == "__main__":
    main()
