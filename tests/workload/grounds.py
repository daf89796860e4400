"""Services whose ways are made up, so that what comes of them can be worked out by hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np

from swath.plan.plan import Plan
from swath.workload.arrivals import Offered
from swath.workload.serving import Moment, Start
from swath.workload.ways import Menu, Way
from swath.workload.workload import Service, Workload


def way(seconds: float, *busy: float) -> Way:
    """Devices are useful in proportion to what they are busy."""
    return Way(cast("Plan", None), seconds, busy, tuple(1e9 * each for each in busy))


def alone(seconds: float, device: int = 0, devices: int = 1) -> Way:
    """One device computes all the time."""
    return way(seconds, *(seconds if place == device else 0.0 for place in range(devices)))


def service(name: str = "a", rate: float = 1.0, **details: object) -> Service:
    return Service(name, "zoo:alexnet", rate, **details)  # type: ignore[arg-type]


def ground(
    *menus: tuple[Service, Sequence[Way]], longest_wait: float = 1e9, most_waiting: int = 10**9
) -> tuple[Workload, tuple[Menu, ...]]:
    """FLOPs of a service are those of its soonest way."""
    workload = Workload([one for one, _ in menus], longest_wait, most_waiting)
    return workload, tuple(
        Menu(one, sum(min(ways, key=lambda way: way.seconds).useful), tuple(ways))
        for one, ways in menus
    )


def at(*times: float, services: Sequence[int] | None = None, seconds: float = 1e9) -> Offered:
    places = [0] * len(times) if services is None else services
    return Offered(np.array(times, dtype=float), np.array(places, dtype=int), seconds)


class AtOnce:
    """Everybody begins when he comes, by his soonest way. ``weights``: by service."""

    def __init__(self, *weights: float) -> None:
        self._weights = weights

    def decide(self, moment: Moment) -> Start | None:
        for place, line in enumerate(moment.waiting):
            if line:
                weight = self._weights[place] if self._weights else 1.0
                return Start(place, moment.menus[place].ways[0], weight)
        return None
