"""The rates of time-variant links, drawn under a seed.

Every link has a generator of its own, so that what it does depends on the seed and its ends alone,
not on the order in which others are asked.
"""

from __future__ import annotations

import hashlib
import math
from bisect import bisect_right
from typing import Protocol

import numpy as np

from swath.cluster.channel import Channel, Gaussian, GilbertElliott, Rayleigh, Recorded

_CHUNK = 256
"""Blocks that are drawn together."""


class Rates(Protocol):
    """A rate that is constant for a while, then jumps. Asked at times that do not descend."""

    def at(self, time: float) -> tuple[float, float]:
        """(rate in bytes/s, until when it holds)."""
        ...


def draw_rates(channel: Channel, bandwidth: float, seed: int, name: str) -> Rates:
    """The rates of the link ``name``, whose nominal rate is ``bandwidth``."""
    words = seed_words(seed, name)
    if isinstance(channel, Recorded):
        return RecordedRates(channel)
    if isinstance(channel, GilbertElliott):
        return SojournRates(channel, bandwidth, words)
    return BlockRates(channel, bandwidth, words)


def seed_words(seed: int, name: str) -> list[int]:
    """What seeds the generator of one thing, independent of all others."""
    digest = hashlib.blake2b(f"{seed} {name}".encode(), digest_size=16).digest()
    return [int.from_bytes(digest[:8], "big"), int.from_bytes(digest[8:], "big")]


class BlockRates:
    """Independent rates, one per block of time."""

    def __init__(self, channel: Gaussian | Rayleigh, bandwidth: float, words: list[int]) -> None:
        self._channel = channel
        self._bandwidth = bandwidth
        self._words = words
        self._chunk = -1
        self._rates: list[float] = []

    def at(self, time: float) -> tuple[float, float]:
        block = self._channel.block
        index = int(time / block)
        if (index + 1) * block <= time:
            index += 1
        chunk, place = divmod(index, _CHUNK)
        if chunk != self._chunk:
            self._chunk = chunk
            self._rates = self._draw(np.random.default_rng([*self._words, chunk])).tolist()
        return self._rates[place], (index + 1) * block

    def _draw(self, generator: np.random.Generator) -> np.ndarray:
        if isinstance(self._channel, Rayleigh):
            gains = generator.standard_exponential(_CHUNK)
            scale = self._channel.scale(self._bandwidth)
            return np.asarray(scale * np.log2(1 + self._channel.snr * gains))
        return self._draw_normal(self._channel, generator)

    def _draw_normal(self, channel: Gaussian, generator: np.random.Generator) -> np.ndarray:
        """By the inverse of the distribution function, above the truncation's quantile."""
        from scipy.special import ndtr, ndtri

        mean, least = channel.bounds(self._bandwidth)
        # Upper tail probabilities, which stay exact where the truncation lies far above the mean.
        tail = generator.uniform(0.0, ndtr((mean - least) / channel.std), _CHUNK)
        return np.asarray(np.maximum(least, mean - channel.std * ndtri(np.maximum(tail, 1e-300))))


class SojournRates:
    """A good and a bad rate in turn; it begins in either by its share of the time."""

    def __init__(self, channel: GilbertElliott, bandwidth: float, words: list[int]) -> None:
        self._channel = channel
        self._good = bandwidth if channel.good is None else channel.good
        self._generator = np.random.default_rng(words)
        share = channel.good_time / (channel.good_time + channel.bad_time)
        self._is_good = bool(self._generator.random() < share)
        self._until = self._stay()

    def at(self, time: float) -> tuple[float, float]:
        while self._until <= time:
            self._is_good = not self._is_good
            self._until += self._stay()
        return self._good if self._is_good else self._channel.bad, self._until

    def _stay(self) -> float:
        mean = self._channel.good_time if self._is_good else self._channel.bad_time
        block = self._channel.block
        if block is None:
            return float(self._generator.exponential(mean))
        return block * float(self._generator.geometric(min(1.0, block / mean)))


class RecordedRates:
    """What was recorded, again and again."""

    def __init__(self, channel: Recorded) -> None:
        self._times = channel.times
        self._rates = channel.rates
        self._ends = (*channel.times[1:], channel.duration)

    def at(self, time: float) -> tuple[float, float]:
        duration = self._ends[-1]
        rounds = math.floor(time / duration)
        while True:
            index = bisect_right(self._times, max(0.0, time - rounds * duration)) - 1
            until = rounds * duration + self._ends[index]
            if until > time:
                return self._rates[index], until
            rounds += 1
