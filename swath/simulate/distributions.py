"""How the rate of a channel is distributed at any one moment, in closed form.

Rates are in bytes/s; ``bandwidth`` is the link's nominal rate, for what a channel leaves open.
"""

from __future__ import annotations

import math
from itertools import accumulate

from swath.cluster.channel import Channel, Gaussian, GilbertElliott, Rayleigh

_ROUNDING = 1e-12
"""By how much shares that should add up to a chance may miss it."""

_ENDLESS = 1000.0
"""Bit/s/Hz that no fading link reaches; two to the power of more is no float."""


def chance_of_rate(channel: Channel, bandwidth: float, rate: float) -> float:
    """The probability that the rate is ``rate`` or more."""
    if isinstance(channel, Gaussian):
        from scipy.special import ndtr  # Heavy, and seldom wanted.

        mean, least = channel.bounds(bandwidth)
        if rate <= least:
            return 1.0
        return float(ndtr((mean - rate) / channel.std) / ndtr((mean - least) / channel.std))
    if isinstance(channel, Rayleigh):
        efficiency = rate / channel.scale(bandwidth)
        if efficiency > _ENDLESS:
            return 0.0
        return math.exp(-math.expm1(efficiency * math.log(2)) / channel.snr)
    return min(1.0, math.fsum(share for r, share in _shares(channel, bandwidth) if r >= rate))


def rate_of_chance(channel: Channel, bandwidth: float, chance: float) -> float:
    """The highest rate that there is with this probability or more (above 0, below 1)."""
    if isinstance(channel, Gaussian):
        from scipy.special import ndtr, ndtri

        mean, least = channel.bounds(bandwidth)
        tail = chance * ndtr((mean - least) / channel.std)
        return max(least, float(mean - channel.std * ndtri(tail)))
    if isinstance(channel, Rayleigh):
        return channel.scale(bandwidth) * math.log2(1 - channel.snr * math.log(chance))
    shares = sorted(_shares(channel, bandwidth), reverse=True)
    reached = accumulate(share for _, share in shares)
    return next(
        rate
        for (rate, _), chance_of_it in zip(shares, reached, strict=True)
        if chance_of_it >= chance - _ROUNDING
    )


def _shares(channel: Channel, bandwidth: float) -> list[tuple[float, float]]:
    """(rate, share of the time) of a channel that has only some rates."""
    if isinstance(channel, GilbertElliott):
        good = bandwidth if channel.good is None else channel.good
        share = channel.good_time / (channel.good_time + channel.bad_time)
        return [(good, share), (channel.bad, 1 - share)]
    assert not isinstance(channel, Gaussian | Rayleigh)
    ends = (*channel.times[1:], channel.duration)
    return [
        (rate, (end - start) / channel.duration)
        for rate, start, end in zip(channel.rates, channel.times, ends, strict=True)
    ]
