"""When requests come: seeded draws of what a workload says.

Every kind but a recorded one is a rate that changes from time to time. Requests at such a rate are
those of a Poisson process of rate 1 whose clock runs as fast as the rate says (Lewis and Shedler
1979; Cinlar, Introduction to Stochastic Processes, 1975, 4.7): so many as a Poisson draw says,
uniform on that clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, pi

import numpy as np

from swath.simulate.channels import seed_words
from swath.workload.workload import Bursty, Diurnal, Recorded, Service, Workload

STEPS = 96
"""Steps in which a sine is drawn, in a period."""


@dataclass(frozen=True)
class Offered:
    """Requests in the order in which they come: ``times`` in seconds, ``services`` as places in the
    workload. None comes after ``seconds``."""

    times: np.ndarray
    services: np.ndarray
    seconds: float


def offer(workload: Workload, seconds: float, seed: int = 0, scale: float = 1.0) -> Offered:
    """All requests of a workload in so many seconds, at ``scale`` times its rates. The same seed
    gives the same requests, service by service, whatever other services there are."""
    drawn = [arrival_times(service, seconds, seed, scale) for service in workload.services]
    times = np.concatenate([*drawn, np.empty(0)])
    places = np.repeat(np.arange(len(drawn)), [len(each) for each in drawn])
    order = np.argsort(times, kind="stable")
    return Offered(times[order], places[order], seconds)


def arrival_times(
    service: Service, seconds: float, seed: int = 0, scale: float = 1.0
) -> np.ndarray:
    """Ascending times of the requests of one service, in seconds, before ``seconds``."""
    rate = service.rate * scale
    if isinstance(service.arrivals, Recorded):
        return _played(service.arrivals, rate, seconds)
    generator = np.random.default_rng(seed_words(seed, f"arrivals {service.name}"))
    edges, rates = _rates(service, rate, seconds, generator)
    clock = np.concatenate([[0.0], np.cumsum(np.diff(edges) * rates)])
    count = int(generator.poisson(clock[-1]))
    return np.asarray(np.interp(np.sort(generator.uniform(0.0, clock[-1], count)), clock, edges))


def _rates(
    service: Service, rate: float, seconds: float, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Times at which the rate changes, both ends included, and the rates between them."""
    kind = service.arrivals
    if isinstance(kind, Diurnal):
        step = kind.period / STEPS
        edges = np.minimum(step * np.arange(ceil(seconds / step) + 1), seconds)
        swing = (1 - kind.low) / (1 + kind.low)
        middle = (edges[:-1] + edges[1:]) / 2
        return edges, rate * (1 - swing * np.cos(2 * pi * middle / kind.period))
    if isinstance(kind, Bursty):
        edges, is_on = _turns(kind, seconds, generator)
        return edges, is_on * rate * (kind.on + kind.off) / kind.on
    return np.array([0.0, seconds]), np.array([rate])


def _turns(
    kind: Bursty, seconds: float, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """When bursts begin and end, and whether there is one between; it is begun amid them."""
    begun = bool(generator.random() < kind.on / (kind.on + kind.off))
    means = (kind.on, kind.off) if begun else (kind.off, kind.on)
    edges = np.zeros(1)
    while edges[-1] < seconds:
        pairs = generator.exponential(means, (64, 2))
        edges = np.concatenate([edges, edges[-1] + np.cumsum(pairs)])
    last = int(np.searchsorted(edges, seconds))
    edges = np.append(edges[:last], seconds)
    return edges, (np.arange(len(edges) - 1) % 2 == 0) == begun


def _played(recorded: Recorded, rate: float, seconds: float) -> np.ndarray:
    """The recording again and again, faster or slower than it was made, so that it has the rate."""
    faster = rate / recorded.rate
    until = seconds * faster  # By the recording's own clock.
    rounds = np.arange(ceil(until / recorded.duration))[:, None]
    times = (rounds * recorded.duration + np.asarray(recorded.times)[None, :]).ravel()
    times = times[times < until] / (faster or 1.0)
    return np.asarray(times[times < seconds])
