"""The command line: parses, calls Swath's Python API, prints. One small file per command.

`main` is the entry point. A worker goes past typer and rich straight to its own module, so that it
starts fast and stays small.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from swath.cli.interrupts import interrupted_between_imports

INTERRUPTED_STATUS = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; the exit status."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if arguments[:1] == ["worker"]:
        from swath.cli.worker import run_worker

        return run_worker(arguments[1:])
    try:
        with interrupted_between_imports():
            from swath.cli.app import run

            return run(arguments)
    except KeyboardInterrupt:
        return INTERRUPTED_STATUS
