"""A part of an array as runs of memory: sent from where it lies, or copied together first.

One rule for the coordinator that does it and the simulator that counts it. Light: only regions.
"""

from __future__ import annotations

import itertools
import math

from swath.ops.region import Region

Index = tuple[int | slice, ...]

MOST_RUNS = 16
"""Buffers that a message is better sent from than copied together."""


def contiguous_runs(part: Region, held: Region) -> list[Index] | None:
    """The contiguous runs of memory that make up a part of an array that holds ``held``, where they
    are few (the rows of a picture are one per colour); None where a copy is better."""
    relative = part.relative_to(held)
    inner = len(part)
    while inner > 0 and part[inner - 1] == held[inner - 1]:
        inner -= 1
    outer = relative[: max(0, inner - 1)]
    if math.prod(hi - lo for lo, hi in outer) > MOST_RUNS:
        return None
    rest = tuple(slice(lo, hi) for lo, hi in relative[len(outer) :])
    return [(*index, *rest) for index in itertools.product(*(range(lo, hi) for lo, hi in outer))]
