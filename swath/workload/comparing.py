"""Allocators side by side: the same requests, at several loads, some times over."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple, dataclass
from math import sqrt
from pathlib import Path

import numpy as np

from swath.cost import Costs
from swath.errors import WorkloadError
from swath.workload.allocators import Setting, make_allocator
from swath.workload.arrivals import offer
from swath.workload.metrics import Figures, Utilisation, figures, utilisation
from swath.workload.serving import Served, serve
from swath.workload.ways import Menu
from swath.workload.workload import Workload

REQUESTS = 5000
"""Of a run, unless told otherwise."""


@dataclass(frozen=True)
class Ground:
    """Services on a cluster, ready to be served. ``speeds``: sustained FLOP/s by device, 0 for one
    that does not compute; ``policy``: as in `Setting`."""

    workload: Workload
    menus: Sequence[Menu]
    speeds: Sequence[float]
    policy: Path | None = None

    @staticmethod
    def of(
        workload: Workload, menus: Sequence[Menu], costs: Costs, policy: Path | None = None
    ) -> Ground:
        speeds = [
            costs.sustained(device.name) if device.compute else 0.0
            for device in costs.cluster.devices
        ]
        return Ground(workload, menus, speeds, policy)

    @property
    def load(self) -> float:
        """FLOPs that are asked for in the mean, as a share of what the devices sustain."""
        return sum(menu.service.rate * menu.flops for menu in self.menus) / sum(self.speeds)

    def scale(self, load: float) -> float:
        """How many times the workload's rates make this load. Raises WorkloadError where all rates
        are 0."""
        check_rates(self.workload)
        return load / self.load

    def seconds(self, requests: int, scale: float) -> float:
        """In which so many requests come, in the mean."""
        rate = scale * sum(menu.service.rate for menu in self.menus)
        return requests / rate if rate else 1.0


def check_rates(workload: Workload) -> None:
    """Raises WorkloadError where all rates are 0."""
    if not any(service.rate for service in workload.services):
        raise WorkloadError("every service's rate is 0, and so is any multiple; give rates")


@dataclass(frozen=True)
class Run:
    """What an allocator made of the requests of one seed."""

    served: Served
    figures: Figures
    utilisation: Utilisation


@dataclass(frozen=True)
class Row:
    """An allocator at a load: means over ``runs``. ``interval``: half of the 95 % interval of the
    mean latency, in milliseconds; None for one run."""

    allocator: str
    load: float
    figures: Figures
    utilisation: Utilisation
    interval: float | None
    runs: Sequence[Run]


def run(ground: Ground, allocator: str, scale: float, requests: int, seed: int) -> Run:
    """Have about so many requests allocated, all that come in the time that takes in the mean."""
    setting = Setting(ground.workload, ground.menus, ground.speeds, scale, seed, ground.policy)
    offered = offer(ground.workload, ground.seconds(requests, scale), seed, scale)
    served = serve(ground.workload, ground.menus, offered, make_allocator(allocator, setting))
    return Run(served, figures(served), utilisation(served, ground.speeds))


def compare(
    ground: Ground,
    allocators: Sequence[str],
    loads: Iterable[float | None],
    requests: int = REQUESTS,
    runs: int = 1,
    seed: int = 0,
) -> Iterator[Row]:
    """Every allocator at every load (None: as the workload says), load by load; all have the same
    requests."""
    for load in loads:
        scale = 1.0 if load is None else ground.scale(load)
        for allocator in allocators:
            made = [
                run(ground, allocator, scale, requests, seed + number) for number in range(runs)
            ]
            yield _row(allocator, ground.load if load is None else load, made)


def _row(allocator: str, load: float, runs: Sequence[Run]) -> Row:
    means = np.array([run.figures.mean for run in runs])
    interval = None
    if len(runs) > 1:
        from scipy.stats import t

        interval = float(t.ppf(0.975, len(runs) - 1) * means.std(ddof=1) / sqrt(len(runs)))
    return Row(
        allocator, load,
        Figures(*np.mean([astuple(run.figures) for run in runs], axis=0).tolist()),
        Utilisation(
            float(np.mean([run.utilisation.total for run in runs])),
            tuple(np.mean([run.utilisation.useful for run in runs], axis=0).tolist()),
            tuple(np.mean([run.utilisation.busy for run in runs], axis=0).tolist()),
        ),
        interval, runs,
    )  # fmt: skip
