"""What stands behind a cache is what stands behind a proxy: the scripted upstreams are those of `tests/upstream`."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent.parent / "upstream"))
