"""Rules that need no optimisation and no learning."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

from swath.simulate.channels import seed_words
from swath.workload.allocators.registry import Setting
from swath.workload.serving import Moment, Start
from swath.workload.ways import Way


def soonest_idle(moment: Moment, service: int) -> Way | None:
    """The soonest of a service's ways whose devices are all idle."""
    occupied = moment.occupied
    for way in moment.menus[service].ways:
        if not way.devices & occupied:
            return way
    return None


class Equal:
    """Every service has one request under way, by its soonest way; all share devices equally."""

    def __init__(self, setting: Setting) -> None:
        self._weights = [1.0] * len(setting.menus)

    def decide(self, moment: Moment) -> Start | None:
        busy = {run.service for run in moment.running}
        for service, line in enumerate(moment.waiting):
            if line and service not in busy:
                return Start(service, moment.menus[service].ways[0], self._weights[service])
        return None


class Proportional(Equal):
    """As `Equal`, with shares in proportion to the FLOPs that are asked of each service, times its
    priority."""

    def __init__(self, setting: Setting) -> None:
        self._weights = [
            menu.service.rate * menu.flops * menu.service.priority or 1.0 for menu in setting.menus
        ]


class Greedy:
    """First come, first served, one request at a time, by its soonest way."""

    def __init__(self, setting: Setting) -> None:
        pass

    def decide(self, moment: Moment) -> Start | None:
        if moment.running:
            return None
        came = [(line[0].came, service) for service, line in enumerate(moment.waiting) if line]
        if not came:
            return None
        service = min(came)[1]
        return Start(service, moment.menus[service].ways[0])


class Random:
    """A service by chance, by a way by chance of those whose devices are idle."""

    def __init__(self, setting: Setting) -> None:
        self._generator = np.random.default_rng(seed_words(setting.seed, "random allocator"))

    def decide(self, moment: Moment) -> Start | None:
        possible = [
            Start(service, way)
            for service, line in enumerate(moment.waiting)
            if line
            for way in moment.menus[service].ways
            if not way.devices & moment.occupied
        ]
        if not possible:
            return None
        services = sorted({start.service for start in possible})
        service = services[int(self._generator.integers(len(services)))]
        ways = [start for start in possible if start.service == service]
        return ways[int(self._generator.integers(len(ways)))]


class _InOrder(ABC):
    """The first in some order of those who wait, soonest on devices that are idle."""

    @abstractmethod
    def rank(self, moment: Moment, service: int) -> float:
        """The less, the sooner the first in this service's line begins."""

    def decide(self, moment: Moment) -> Start | None:
        ranked = [
            (self.rank(moment, service), service)
            for service, line in enumerate(moment.waiting)
            if line
        ]
        ranked.sort()
        for _, service in ranked:
            way = soonest_idle(moment, service)
            if way is not None:
                return Start(service, way)
        return None


class RoundRobin(_InOrder):
    """The service that began least lately goes first."""

    def __init__(self, setting: Setting) -> None:
        self._turns = [0] * len(setting.menus)
        self._turn = 0

    def rank(self, moment: Moment, service: int) -> float:
        return self._turns[service]

    def decide(self, moment: Moment) -> Start | None:
        start = super().decide(moment)
        if start is not None:
            self._turn += 1
            self._turns[start.service] = self._turn
        return start


class ShortestWorkFirst(_InOrder):
    """The service of the fewest FLOPs goes first (by its priority)."""

    def __init__(self, setting: Setting) -> None:
        self._work = [menu.flops / menu.service.priority for menu in setting.menus]

    def rank(self, moment: Moment, service: int) -> float:
        return self._work[service]


class EarliestDeadline(_InOrder):
    """Who would give up first goes first."""

    def __init__(self, setting: Setting) -> None:
        pass

    def rank(self, moment: Moment, service: int) -> float:
        return moment.waiting[service][0].until
