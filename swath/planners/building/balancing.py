"""Shares with which nobody is waited for."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from swath.ops import split_by_shares


def equal_finish(
    extent: int, per_entry: Sequence[float], fixed: Sequence[float]
) -> tuple[int, ...]:
    """How many of ``extent`` entries each gets, so that all are done at the same time: who takes
    ``fixed + per_entry * entries`` seconds.

    Who takes no time for an entry is taken to need a picosecond.

    ``T = (extent + sum(fixed / per_entry)) / sum(1 / per_entry)``, and each gets
    ``(T - fixed) / per_entry``; who would get less than one gets none, and the others share again.
    Rounded by largest remainder.
    """
    per_entry = [max(seconds, 1e-12) for seconds in per_entry]
    taking = list(range(len(per_entry)))
    while True:
        pace = sum(1 / per_entry[i] for i in taking)
        finish = (extent + sum(fixed[i] / per_entry[i] for i in taking)) / pace
        shares = {i: (finish - fixed[i]) / per_entry[i] for i in taking}
        slow = [i for i in taking if shares[i] < 1]
        if not slow or len(taking) == 1:
            break
        taking.remove(min(slow, key=lambda i: shares[i]))
    weights = [max(0.0, shares.get(i, 0.0)) for i in range(len(per_entry))]
    if not any(weights):
        weights[taking[0]] = 1.0
    return tuple(hi - lo for lo, hi in split_by_shares(extent, weights))


def rebalanced(
    counts: Sequence[int], seconds: Callable[[tuple[int, ...]], Sequence[float]]
) -> tuple[int, ...]:
    """One entry after the other moved from who is slowest to who is fastest, while that makes the
    slowest faster. ``seconds``: of all, by how many entries each has."""
    best = tuple(counts)
    times = seconds(best)
    while True:
        slowest = max(range(len(best)), key=lambda i: times[i])
        fastest = min(range(len(best)), key=lambda i: times[i])
        if slowest == fastest or best[slowest] <= 1:
            return best
        moved = tuple(count - (i == slowest) + (i == fastest) for i, count in enumerate(best))
        new = seconds(moved)
        if max(new) >= max(times):
            return best
        best, times = moved, new
