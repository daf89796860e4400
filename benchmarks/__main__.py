"""``python -m benchmarks``: everything that is claimed of speed, written to docs/results."""

from __future__ import annotations

import sys

from benchmarks import speed

if __name__ == "__main__":
    sys.argv[1:] = sys.argv[1:] or ["-o", "docs/results/speed.md"]
    speed.main()
