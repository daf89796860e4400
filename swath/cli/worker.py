"""`swath worker`: be a device of a cluster. Imports as little as it can."""

from __future__ import annotations

from collections.abc import Sequence

from swath.runtime import serve


def run_worker(arguments: Sequence[str]) -> int:
    """Serve until told or signalled to stop; the exit status."""
    return serve.main(list(arguments))
