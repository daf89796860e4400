"""A process that keeps a share of some CPUs busy: what competes with a device while it is timed.

``python -m swath.runtime.profiling.load CPU`` works on one CPU in periods of `PERIOD`. On stdin it
reads the share to be busy, a line each; it answers each with its CPU time so far and the clock, and
ends with its input, that is with whoever started it.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence

PERIOD = 0.01

SETTLING = 0.1
"""Seconds over which it is measured what share a load takes while nobody competes."""


def main(arguments: Sequence[str]) -> None:
    """Be busy as told until stdin ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Its starter ends it.
    with contextlib.suppress(OSError):
        os.sched_setaffinity(0, {int(arguments[0])})
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    share = 0.0
    while True:
        idle = (1 - share) * PERIOD if share else None
        if select.select([0], [], [], idle)[0]:
            line = os.read(0, 64).split()
            if not line:
                return
            share = float(line[-1])
            os.write(1, f"{time.process_time()} {time.perf_counter()}\n".encode())
        end = time.process_time() + share * PERIOD
        while time.process_time() < end:
            pass


class Load:
    """Load on every CPU that this process may use, to be set; ends with the ``with`` block."""

    def __init__(self) -> None:
        self._processes: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Load:
        command = [sys.executable, "-m", __name__]
        try:
            for cpu in sorted(os.sched_getaffinity(0)):
                self._processes.append(
                    subprocess.Popen(
                        [*command, str(cpu)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
                    )
                )
            self._tell(0.0)  # Answered once they are up.
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextlib.contextmanager
    def at(self, share: float) -> Iterator[float]:
        """While it runs at this share (0 to 1) of every CPU; gives the share that it really takes
        where nobody competes."""
        before = self._tell(share)
        time.sleep(SETTLING)
        after = self._tell(share)
        shares = [
            (cpu_then - cpu) / (clock_then - clock)
            for (cpu, clock), (cpu_then, clock_then) in zip(before, after, strict=True)
        ]
        try:
            yield sum(shares) / len(shares)
        finally:
            self._tell(0.0)

    def _tell(self, share: float) -> list[tuple[float, float]]:
        """Set the share; CPU time and clock of each process."""
        for process in self._processes:
            assert process.stdin is not None
            process.stdin.write(f"{share}\n".encode())
            process.stdin.flush()
        said = []
        for process in self._processes:
            assert process.stdout is not None
            cpu, clock = process.stdout.readline().split()
            said.append((float(cpu), float(clock)))
        return said

    def close(self) -> None:
        for process in self._processes:
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    with contextlib.suppress(BrokenPipeError):
                        pipe.close()
        for process in self._processes:
            process.wait()
        self._processes.clear()


if __name__ == "__main__":
    main(sys.argv[1:])
