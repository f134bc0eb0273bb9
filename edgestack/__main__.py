"""`python -m edgestack`: the same as the `edgestack` command."""

from __future__ import annotations

from edgestack.cli import main

main()
