"""Services to learn on: those of a workload, asked for in ever other ways."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from swath.workload.comparing import Ground
from swath.workload.ways import Menu, Way
from swath.workload.workload import Arrivals, Bursty, Diurnal, Poisson, Service, Workload

LOADS = (0.2, 1.5)
"""Between which the load is drawn."""

RATES = 0.7
"""Standard deviation of the logarithm of what a service's rate is multiplied with."""

DEADLINES = 0.3
"""The same of its deadline."""


@dataclass(frozen=True)
class Drawn:
    """A ground for one episode, and how many times its rates are asked for."""

    ground: Ground
    scale: float


Draw = Callable[[np.random.Generator], Drawn]


def around(ground: Ground, loads: tuple[float, float] = LOADS) -> Draw:
    """Draws workloads of the same models: other loads, rates, deadlines and arrivals."""

    def draw(generator: np.random.Generator) -> Drawn:
        services = [_other(menu.service, generator) for menu in ground.menus]
        workload = replace(ground.workload, services=services)
        menus = [
            replace(menu, service=service)
            for menu, service in zip(ground.menus, services, strict=True)
        ]
        drawn = replace(ground, workload=workload, menus=menus)
        return Drawn(drawn, drawn.scale(float(generator.uniform(*loads))))

    return draw


def _other(service: Service, generator: np.random.Generator) -> Service:
    rate = max(service.rate, 1e-9) * float(np.exp(RATES * generator.standard_normal()))
    deadline = service.deadline
    if deadline is not None:
        deadline *= float(np.exp(DEADLINES * generator.standard_normal()))
    kinds: list[Arrivals] = [
        service.arrivals,
        Poisson(),
        Bursty(*(float(each) for each in generator.uniform(1.0, 10.0, 2))),
        Diurnal(float(generator.uniform(20.0, 120.0)), float(generator.uniform(0.0, 0.6))),
    ]
    kind = kinds[int(generator.integers(len(kinds)))]
    return replace(service, rate=rate, deadline=deadline, arrivals=kind)


def made_up() -> Ground:
    """Three services on four devices, by arithmetic: for who wants to see how it all works. Groups
    do what their devices do together, less a tenth for every device beyond the first."""
    speeds = (40e9, 40e9, 20e9, 10e9)
    groups = ((0,), (1,), (2,), (3,), (0, 1), (2, 3), (0, 1, 2), (0, 1, 2, 3))
    services = (
        Service("light", "made-up", 20.0, deadline=0.3),
        Service("middle", "made-up", 4.0, deadline=1.0),
        Service("heavy", "made-up", 0.5),
    )
    menus = []
    for service, flops in zip(services, (0.5e9, 4e9, 30e9), strict=True):
        ways = []
        for group in groups:
            together = sum(speeds[place] for place in group) * 0.9 ** (len(group) - 1)
            seconds = flops / together
            busy = tuple(seconds if place in group else 0.0 for place in range(len(speeds)))
            shares = [speeds[place] if place in group else 0.0 for place in range(len(speeds))]
            useful = tuple(flops * share / sum(shares) for share in shares)
            ways.append(Way(None, seconds, busy, useful))
        menus.append(Menu(service, flops, tuple(sorted(ways, key=lambda way: way.seconds))))
    return Ground(Workload(services), menus, speeds)
