"""What is measured of a link, out of round trips of messages.

A message takes CPU time at both ends, and the link's own time. Only the latter is the link's here:
the former belongs to the devices' profiles, and whoever predicts adds both up.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from pathlib import Path

from swath.cluster.profile import LinkProfile, MessageSample
from swath.cost.profiled import RECEIVE, RECEIVE_WITHIN, SEND, SEND_WITHIN
from swath.runtime.profiling.asking import Asker, Exchanged, disappearing
from swath.runtime.profiling.echo import RoundTrips, Spent
from swath.runtime.profiling.samples import rounded

FASTEST = 20e9
"""Bytes/s of a link on which messages take nothing but the CPU time of both ends."""

SHORTEST = 1e-6
"""Seconds of latency below which nothing is told apart."""


BETWEEN = {SEND: SEND, RECEIVE: RECEIVE}
WITHIN = {SEND: SEND_WITHIN, RECEIVE: RECEIVE_WITHIN}
"""The sides of a message, between devices and within one, as profiles call them."""

LinkProgress = Callable[[str, int, int], None]
"""(pair, pairs measured, pairs in all)."""


def measure_links(
    asker: Asker, devices: Sequence[str], rounds: int, kept: Path, progress: LinkProgress
) -> tuple[LinkProfile, ...]:
    """Every pair, both directions, one after the other."""
    pairs = list(combinations(devices, 2))
    found: list[LinkProfile] = []
    for done, (one, other) in enumerate(pairs):
        progress(f"{one} - {other}", done, len(pairs))
        with disappearing(asker.coordinator, one, other, kept=kept):
            found.extend(link_profiles(one, other, asker.exchange(one, other, rounds)))
    return tuple(found)


def link_profiles(asking: str, answering: str, exchanged: Exchanged) -> tuple[LinkProfile, ...]:
    """Both directions of the link between two members."""
    small = exchanged.trips[0]
    latency = max(SHORTEST, (_fast(small.seconds) - _ends(small, exchanged.answering)) / 2)
    # Both ways vary by themselves; their variances add up.
    jitter = statistics.stdev(small.seconds) / 2**0.5
    there = [trips for trips in exchanged.trips if not trips.back]
    back = [small, *(trips for trips in exchanged.trips if trips.back)]
    return tuple(
        LinkProfile(*ends, bandwidth=rounded(rate), latency=rounded(latency),
                    jitter=rounded(jitter))
        for ends, rate in (
            ((asking, answering), one_way_rate(there, exchanged.answering)),
            ((answering, asking), one_way_rate(back, exchanged.answering)),
        )
    )  # fmt: skip


def message_samples(
    spent: Spent, times: float = 1.0, names: Mapping[str, str] = BETWEEN
) -> tuple[MessageSample, ...]:
    """CPU seconds of one end's messages, the median of each size, so many times as long; ``names``:
    what its sides are called."""
    return tuple(
        MessageSample(names[side], nbytes, rounded(times * statistics.median(spent[side, nbytes])))
        for side, nbytes in sorted(spent)
    )


def both_ends(exchanged: Exchanged) -> Spent:
    """CPU seconds of the messages of either end."""
    one, other = exchanged.asking, exchanged.answering
    return {key: [*one.get(key, ()), *other.get(key, ())] for key in one.keys() | other.keys()}


def _ends(trips: RoundTrips, answering: Spent) -> float:
    """CPU seconds of both ends in a round trip."""
    answered = (("receive", trips.there), ("send", trips.back))
    return _fast(trips.cpu) + sum(_fast(answering[key]) for key in answered if key in answering)


def one_way_rate(series: Sequence[RoundTrips], answering: Spent) -> float:
    """Bytes/s, by the slope between the two largest sizes, so that the latency cancels out;
    ``answering``: CPU time of the other end, which is not the link's."""
    (small, fast), (large, slow) = (
        (trips.there + trips.back, _fast(trips.seconds) - _ends(trips, answering))
        for trips in series[-2:]
    )
    return (large - small) / max(slow - fast, (large - small) / FASTEST)


def _fast(seconds: Sequence[float]) -> float:
    """The mean of the fastest quarter: the others met somebody else on their way."""
    ordered = sorted(seconds)
    return statistics.fmean(ordered[: max(1, len(ordered) // 4)])
