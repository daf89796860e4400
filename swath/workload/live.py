"""Many services on a cluster that is up: what `swath.workload.serving` does on virtual time, by the
clock. Lines, allocators and what they see are the same; devices are shared by real workers, which
divide their time by `swath.plan.turns`."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import inf

from swath.errors import FabricError
from swath.fabric.frame import LEAST_WEIGHT, MOST_WEIGHT, Turn
from swath.graph.graph import Graph
from swath.plan.plan import Plan
from swath.runtime.clusters import ClusterSession, random_inputs
from swath.runtime.deployment import Begun, Deployment
from swath.runtime.plain import PlainRuntime
from swath.runtime.verify import Difference, compare, tolerance
from swath.workload.allocators import Setting, make_allocator
from swath.workload.arrivals import Offered
from swath.workload.serving import (
    Allocator,
    Desk,
    Moment,
    Refuse,
    Running,
    Served,
    Start,
    World,
)
from swath.workload.ways import Menu, Way
from swath.workload.workload import Workload

FLOWS = 256
"""That a worker can tell apart."""

TIMEOUT = 60.0
"""Seconds for one request that was begun."""

Report = Callable[[str, int, int], object]
"""Told what is being done, how much of it is done, and how much there is."""


class _Noting:
    """An allocator, and the ways that it takes, by service."""

    def __init__(self, allocator: Allocator, services: int) -> None:
        self.taken: list[set[int]] = [set() for _ in range(services)]
        self._allocator = allocator

    def decide(self, moment: Moment) -> Start | Refuse | None:
        decision = self._allocator.decide(moment)
        if isinstance(decision, Start):
            self.taken[decision.service].add(decision.way.devices)
        return decision


def menus_in_use(
    workload: Workload, menus: tuple[Menu, ...], offered: Offered, allocator: Allocator
) -> tuple[Menu, ...]:
    """The menus with the ways alone that an allocator takes for these requests on virtual time: no
    others need be installed. A service that has no request keeps its soonest."""
    noting = _Noting(allocator, len(menus))
    World(workload, menus, offered).run(noting)
    return tuple(
        replace(menu, ways=tuple(way for way in menu.ways if way.devices in taken) or menu.ways[:1])
        for menu, taken in zip(menus, noting.taken, strict=True)
    )


@dataclass(frozen=True, slots=True)
class Checked:
    """An output of a service by one of its ways, beside the unsplit model's; ``is_close``: within
    what that way's sums may make of it."""

    service: str
    difference: Difference
    is_close: bool


class LiveServices:
    """Services' models on the workers of a session, installed by every way of their menus.

    ``graphs``: by model, with their weights. Raises WorkerError or FabricError where a way cannot
    be installed, with its service's name.
    """

    def __init__(
        self,
        session: ClusterSession,
        workload: Workload,
        menus: tuple[Menu, ...],
        graphs: Mapping[str, Graph],
        seed: int = 0,
        report: Report = lambda what, done, total: None,
    ) -> None:
        self._coordinator = session.coordinator
        self._workload = workload
        self._menus = menus
        self._graphs = graphs
        self._inputs = {model: random_inputs(graph, seed) for model, graph in graphs.items()}
        self._deployments: dict[tuple[int, int], Deployment] = {}
        for service, way in self._ways():
            report("installing", len(self._deployments), self._count)
            asked = menus[service].service
            try:
                deployment = session.deploy(graphs[asked.model], _plan(way))
            except FabricError as error:
                raise type(error)(f"service {asked.name!r}: {error}") from None
            self._deployments[service, way.devices] = deployment

    def _ways(self) -> list[tuple[int, Way]]:
        return [(service, way) for service, menu in enumerate(self._menus) for way in menu.ways]

    @property
    def _count(self) -> int:
        return len(self._ways())

    def check(self, report: Report = lambda what, done, total: None) -> list[Checked]:
        """Every output of every way, once, beside the unsplit model's. Raises as `serve` does."""
        found: list[Checked] = []
        expected = {
            model: PlainRuntime(graph).run(self._inputs[model])
            for model, graph in self._graphs.items()
        }
        for done, (service, way) in enumerate(self._ways()):
            report("comparing with the unsplit models", done, self._count)
            asked = self._menus[service].service
            deployment = self._deployments[service, way.devices]
            made = deployment.run(self._inputs[asked.model], TIMEOUT)
            for name, output in expected[asked.model].items():
                difference = compare(name, made[name], output)
                is_close = difference.relative <= tolerance(_plan(way))
                found.append(Checked(asked.name, difference, is_close))
        return found

    def serve(
        self,
        offered: Offered,
        setting: Setting,
        allocator: str,
        report: Report = lambda what, done, total: None,
    ) -> Served:
        """Have all requests served or given up, as the allocator of this name will have it; each
        counts from when it was to come. Raises WorkerError where a worker fails, FabricError where
        one does not answer."""
        under_way: dict[Running, tuple[Begun, float]] = {}
        try:
            return self._serve(offered, make_allocator(allocator, setting), under_way, report)
        finally:
            for begun, _ in under_way.values():
                begun.withdraw()

    def _serve(
        self,
        offered: Offered,
        allocator: Allocator,
        under_way: dict[Running, tuple[Begun, float]],
        report: Report,
    ) -> Served:
        desk = Desk(self._workload, self._menus, offered)
        moment = desk.moment
        times = [*offered.times.tolist(), inf]
        come = 0
        zero = time.perf_counter()
        unit: float | None = None
        while times[come] < inf or under_way or any(moment.waiting):
            now = time.perf_counter() - zero
            desk.pass_to(now)
            over = [run for run, (begun, _) in under_way.items() if begun.is_over]
            for run in over:
                under_way.pop(run)[0].finish()
            desk.finish(over)
            while times[come] <= now:
                desk.take_in(come)
                come += 1
            desk.give_up()
            for run in desk.decide(allocator):
                unit = unit or run.weight  # Only ratios count.
                weight = min(MOST_WEIGHT, max(LEAST_WEIGHT, run.weight / unit))
                deployment = self._deployments[run.service, run.way.devices]
                inputs = self._inputs[self._menus[run.service].service.model]
                begun = deployment.begin(inputs, Turn(run.service % FLOWS, weight))
                under_way[run] = begun, now + TIMEOUT
            report("serving", len(desk.ended), len(times) - 1)
            self._wait(zero, times[come], moment, under_way)
        return desk.result()

    def _wait(
        self,
        zero: float,
        comes: float,
        moment: Moment,
        under_way: Mapping[Running, tuple[Begun, float]],
    ) -> None:
        """Until a request comes, is over, or need not wait any more."""
        until = min([comes, *(line[0].until for line in moment.waiting if line)])
        late = min([by for _, by in under_way.values()], default=inf)

        def is_over() -> bool:
            return any(begun.is_over for begun, _ in under_way.values())

        left = min(until, late) + zero - time.perf_counter()
        if left == inf or self._coordinator.wait_until(is_over, max(0.0, left)):
            return
        if late < until:
            raise FabricError(f"a request has got no answer within {TIMEOUT:g} s")


def _plan(way: Way) -> Plan:
    assert way.plan is not None, "a way that is made up cannot be gone"
    return way.plan
