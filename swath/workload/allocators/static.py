"""The best fixed shares for a known mean load."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from swath.workload.allocators.registry import Setting
from swath.workload.serving import Moment, Start

MOST_LOAD = 0.98
"""Of a device's time. Where more is asked, the same share of all requests is left out of the
account, as little as makes it so."""

STEPS = 100
"""Of the optimisation, at most."""

LEAST_GAIN = 1e-3
"""Relative to what there is: where no more can be gained (the duality gap), the search ends."""

NEARLY = 0.999
"""Of the way to where a device is full."""

LEAST = 1e-3
"""Smaller shares are none."""


class OptimalStatic:
    """Which share of each service's requests goes by which way is fixed beforehand: so that in the
    mean the fewest requests are in the system, were every device a queue of its own whose load is
    the sum of what all ways bring to it.

    Such a queue (M/G/1, its processor shared) holds load / (1 - load) requests (Kleinrock, Queueing
    Systems II, 1976, 4.4); a way's requests are in the system for what it takes beyond its devices'
    work besides. All that is convex in the shares, so Frank and Wolfe's method finds the best; here
    in pairs: what goes by each service's worst way moves towards its best one (Lacoste-Julien and
    Jaggi, NeurIPS 2015).

    When devices become idle, whichever of the possible ways is furthest behind its share is taken,
    the longest waiting service first.
    """

    def __init__(self, setting: Setting) -> None:
        self._shares = [
            [float(share) if share > LEAST else 0.0 for share in own]
            for own in optimal_shares(setting)
        ]
        self._begun = [[0] * len(own) for own in self._shares]

    def decide(self, moment: Moment) -> Start | None:
        lines = [(line[0].came, service) for service, line in enumerate(moment.waiting) if line]
        lines.sort()
        for _, service in lines:
            total = moment.begun[service] + 1
            best, furthest = -1, -np.inf
            for place, way in enumerate(moment.menus[service].ways):
                share = self._shares[service][place]
                if share and not way.devices & moment.occupied:
                    behind = share * total - self._begun[service][place]
                    if behind > furthest:
                        best, furthest = place, behind
            if best >= 0:
                self._begun[service][best] += 1
                return Start(service, moment.menus[service].ways[best])
        return None


@dataclass(frozen=True)
class _Ways:
    """All services' ways in one list. ``own``: the places of each service's; ``loads``: by way, the
    share of each device's time, ``apart``: the requests that are in the system without keeping a
    device busy, both where all of the service's requests go by it."""

    own: tuple[np.ndarray, ...]
    loads: np.ndarray
    apart: np.ndarray

    def crowd(self, shares: np.ndarray) -> float:
        """Requests in the system; infinite beyond any device's capacity."""
        loads = shares @ self.loads
        if loads.max(initial=0.0) >= 1:
            return float("inf")
        return float(np.sum(loads / (1 - loads)) + shares @ self.apart)

    def furthest(self, shares: np.ndarray, direction: np.ndarray) -> float:
        """How far one can go that way, at most to its end, and not to any device's capacity."""
        loads, more = shares @ self.loads, direction @ self.loads
        return NEARLY / max(NEARLY, float(np.max(more / (1 - loads))))

    def gradient(self, shares: np.ndarray) -> np.ndarray:
        """How much more these become by a way's share."""
        return np.asarray(self.loads @ (1 - shares @ self.loads) ** -2 + self.apart)


def optimal_shares(setting: Setting) -> list[np.ndarray]:
    """By service: the share of its requests that goes by each of its ways."""
    from scipy.optimize import minimize_scalar

    shares, kept = _least_loaded(_listed(setting, 1.0))
    ways = _listed(setting, kept)
    for _ in range(STEPS):
        gradient = ways.gradient(shares)
        direction = np.zeros_like(shares)
        promised = 0.0
        for own in ways.own:
            best = own[np.argmin(gradient[own])]
            used = own[shares[own] > 0]
            worst = used[np.argmax(gradient[used])]
            direction[best] += shares[worst]
            direction[worst] -= shares[worst]
            promised += float(gradient[own] @ shares[own] - gradient[best])
        if promised < LEAST_GAIN * ways.crowd(shares):
            break
        found = minimize_scalar(
            lambda step, base=shares, along=direction: ways.crowd(base + step * along),
            bounds=(0.0, ways.furthest(shares, direction)),
            method="bounded",
            options={"xatol": 1e-3},
        )
        shares = np.maximum(0.0, shares + float(found.x) * direction)
    return [shares[own] for own in ways.own]


def _least_loaded(ways: _Ways) -> tuple[np.ndarray, float]:
    """The shares by which the most requests can be served, and how many of them that are."""
    from scipy.optimize import linprog

    count = len(ways.apart)
    # The unknowns: by way the share of all requests, then how many are served.
    within = np.hstack([ways.loads.T, np.zeros((ways.loads.shape[1], 1))])
    served = np.zeros((len(ways.own), count + 1))
    for service, own in enumerate(ways.own):
        served[service, own] = 1.0
    served[:, -1] = -1.0
    found = linprog(
        np.append(np.zeros(count), -1.0),
        A_ub=within, b_ub=np.full(len(within), MOST_LOAD),
        A_eq=served, b_eq=np.zeros(len(served)),
        bounds=[(0, None)] * count + [(0, 1)],
    )  # fmt: skip
    kept = float(found.x[-1])
    return np.clip(found.x[:-1] / kept, 0.0, 1.0), kept


def _listed(setting: Setting, kept: float) -> _Ways:
    """The ways of all services, so much of whose requests come."""
    own: list[np.ndarray] = []
    loads: list[list[float]] = []
    apart: list[float] = []
    for menu in setting.menus:
        rate = menu.service.rate * setting.scale * kept
        own.append(np.arange(len(loads), len(loads) + len(menu.ways)))
        for way in menu.ways:
            loads.append([rate * busy for busy in way.busy])
            apart.append(max(0.0, rate * (way.seconds - way.work)))
    return _Ways(tuple(own), np.array(loads), np.array(apart))
