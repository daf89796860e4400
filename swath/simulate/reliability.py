"""How often a deadline is met: what trials tell of it, and the closed form where there is one.

Intervals are Wilson's score intervals (Wilson, JASA 22, 1927), which hold what they promise for few
trials and near 0 and 1 too (Brown, Cai and DasGupta, Statistical Science 16, 2001). Seconds and
bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from swath.cluster.channel import Channel
from swath.simulate.distributions import chance_of_rate

CONFIDENCE = 0.95
"""How sure one may be of an interval."""

_DEVIATIONS = 1.959963984540054
"""Standard deviations on either side of a normal distribution's mean that hold `CONFIDENCE`."""

LEVELS = (0.01, 0.05, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999)
"""Of the quantiles that are told of latencies."""


@dataclass(frozen=True, slots=True)
class Reliability:
    """The share of ``trials`` that were over within ``deadline`` seconds, and between which bounds
    the true probability lies (at `CONFIDENCE`)."""

    probability: float
    low: float
    high: float
    trials: int
    deadline: float


@dataclass(frozen=True)
class ReliabilityCurve:
    """`Reliability` for every deadline at which it changes; arrays of equal length, ascending."""

    deadlines: np.ndarray
    probabilities: np.ndarray
    lows: np.ndarray
    highs: np.ndarray


def reliability_of(latencies: Sequence[float], deadline: float) -> Reliability:
    """What the latencies of independent trials (one at least) say of a deadline."""
    met = sum(latency <= deadline for latency in latencies)
    low, high = wilson_interval(np.array(met), len(latencies))
    return Reliability(met / len(latencies), float(low), float(high), len(latencies), deadline)


def reliability_curve(latencies: Sequence[float]) -> ReliabilityCurve:
    """The same for every deadline: the share of trials that are over by then."""
    deadlines, numbers = np.unique(np.asarray(latencies, dtype=float), return_counts=True)
    met = np.cumsum(numbers)
    low, high = wilson_interval(met, len(latencies))
    return ReliabilityCurve(deadlines, met / len(latencies), low, high)


def latency_quantiles(latencies: Sequence[float]) -> Mapping[float, float]:
    """By level (`LEVELS`), the least of the latencies within which that share of them lies."""
    found = np.quantile(np.asarray(latencies, dtype=float), LEVELS, method="inverted_cdf")
    return dict(zip(LEVELS, found.tolist(), strict=True))


def wilson_interval(met: np.ndarray, trials: int) -> tuple[np.ndarray, np.ndarray]:
    """Bounds of the probability of what was ``met`` so many times in ``trials``, elementwise."""
    share, square = met / trials, _DEVIATIONS**2
    middle = share + square / (2 * trials)
    reach = _DEVIATIONS * np.sqrt((share * (1 - share) + square / (4 * trials)) / trials)
    scale = 1 + square / trials
    # What was never or always met is not bounded on that side, but for rounding.
    low = np.where(met == 0, 0.0, (middle - reach) / scale)
    high = np.where(met == trials, 1.0, (middle + reach) / scale)
    return low, high


def transfer_reliability(
    channel: Channel, bandwidth: float, nbytes: int, rest: float, deadline: float
) -> float:
    """P(nbytes / rate + rest <= deadline): the probability that one transfer on a link of this
    nominal rate, and ``rest`` seconds besides, are over in time.

    Exact where the rate does not change during the transfer. Li, Iosifidis and Zhang (ICC 2022) ask
    for the service reliability of offloading over a time-variant channel; this is the natural
    reading of it, for the abstract gives no formula: the picture travels, the rest takes its time.
    """
    left = deadline - rest
    if not nbytes:
        return float(left >= 0)
    return chance_of_rate(channel, bandwidth, nbytes / left) if left > 0 else 0.0
