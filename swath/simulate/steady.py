"""A stream in its stride: how soon one result follows another while several are in flight."""

from __future__ import annotations

from collections.abc import Sequence


def steady_requests(in_flight: int) -> int:
    """How many requests show the stride of a stream."""
    return 3 * in_flight


def steady_interval(ends: Sequence[float], in_flight: int) -> float:
    """Seconds from one result to the next, ``in_flight`` requests being under way all the time.

    ``ends``: when each request was over, by request; more than twice ``in_flight`` of them, for the
    first ones begin with idle devices and the last ones leave them idle, so neither count.
    """
    return (ends[-in_flight] - ends[in_flight]) / (len(ends) - 2 * in_flight)
