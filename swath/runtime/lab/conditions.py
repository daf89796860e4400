"""What a lab's machine was like while something was measured: how slow, how much of it gone.

The processors of a virtual machine run when its host lets them. Quotas, links and pauses go on by
the clock meanwhile, so what takes longer then says nothing of the devices. The kernel counts this
time as *stolen*, while a processor has something to run: a lab keeps all of them awake.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import psutil

T = TypeVar("T")

MOST_STOLEN = 0.1
"""Share of a machine beyond which what was measured meanwhile is measured again."""

ATTEMPTS = 4


@dataclass(frozen=True, slots=True)
class Conditions:
    """``slowdown``: how many times as slow the devices were as they are known to be; ``stolen``:
    the share of the machine that its host took."""

    slowdown: float = 1.0
    stolen: float = 0.0


def stolen_seconds() -> float:
    """Seconds of processors that this machine's host has taken so far; 0 where nobody tells."""
    return float(getattr(psutil.cpu_times(), "steal", 0.0))


class Stolen:
    """What the machine's host takes from now on. ``seconds`` tells all that it has taken."""

    def __init__(self, seconds: Callable[[], float] = stolen_seconds) -> None:
        self._seconds = seconds
        self._taken = seconds()
        self._began = time.monotonic()

    def share(self) -> float:
        """Of the machine, from 0 to 1, on average so far."""
        elapsed = (time.monotonic() - self._began) * (os.cpu_count() or 1)
        return min(1.0, (self._seconds() - self._taken) / elapsed) if elapsed else 0.0


def least_stolen(
    take: Callable[[], T], seconds: Callable[[], float] = stolen_seconds
) -> tuple[T, float]:
    """What ``take`` measures, and the share of the machine that its host took meanwhile: the first
    that it took little of, or of some attempts the one that it took least of."""
    found: list[tuple[T, float]] = []
    for _ in range(ATTEMPTS):
        stolen = Stolen(seconds)
        found.append((take(), stolen.share()))
        if found[-1][1] <= MOST_STOLEN:
            break
    return min(found, key=lambda each: each[1])
