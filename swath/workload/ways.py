"""The ways in which a request can be carried out, and what each of them takes.

A service's model is planned for single devices and for groups of them. What is known of a plan is
reduced to a few numbers here, so that thousands of requests a second can be looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cached_property

from swath.cost import Costs
from swath.errors import PlanError, SwathError, WorkloadError
from swath.graph.codec import weightless
from swath.graph.graph import Graph
from swath.plan.compile import compile_plan
from swath.plan.plan import Plan
from swath.plan.program import Compute
from swath.planners import Problem, make_planner
from swath.planners.sweep.backends import deaf_to_interrupts
from swath.simulate import Request, make_script, simulate
from swath.workload.workload import Service, Workload

REQUESTS = 5
"""Requests, one after the other, whose mean is what a way takes."""

WORTHWHILE = 0.97
"""A group must take less than so much of the time of the best of its devices alone."""


@dataclass(frozen=True)
class Way:
    """A plan of a service's model, and what a request takes by it while nobody else asks. ``plan``:
    None for a way that is made up.

    ``seconds``: from its beginning to its result; ``busy``: the seconds that a device needs for it,
    of CPU or, where it has a quota, by the clock, and ``useful``: FLOPs of the unsplit model, by
    device in the cluster's order.
    """

    plan: Plan | None
    seconds: float
    busy: tuple[float, ...]
    useful: tuple[float, ...]

    @cached_property
    def devices(self) -> int:
        """The devices that compute, as bits by their places in the cluster."""
        return sum(1 << place for place, flops in enumerate(self.useful) if flops)

    @cached_property
    def work(self) -> float:
        """Seconds that all devices need together."""
        return sum(self.busy)

    @cached_property
    def shares(self) -> tuple[tuple[int, float], ...]:
        """(device, share of the time for which it is busy) of every device that is."""
        return tuple(
            (place, min(1.0, busy / self.seconds)) for place, busy in enumerate(self.busy) if busy
        )


@dataclass(frozen=True)
class Menu:
    """A service with its model's FLOPs and the ways to carry it out, the soonest first."""

    service: Service
    flops: float
    ways: tuple[Way, ...]


Group = tuple[str, ...]
"""Devices by name."""

Planned = tuple[str, Group, Way | str]
"""A model, a group of devices, and the way or why there is none."""

Each = Callable[[Iterable[Planned], int], Iterable[Planned]]
"""Goes through so many ways as they are planned, to tell how far that has come."""


def menus(
    workload: Workload,
    load: Callable[[str], Graph],
    costs: Costs,
    planner: str,
    each: Each = lambda planned, count: planned,
    jobs: int = 1,
) -> tuple[Menu, ...]:
    """A menu for every service of a workload. ``load``: a graph by its model's name; ``planner``:
    splits over groups; ``jobs``: processes that plan at once.

    Raises WorkloadError, with the service's name, for a model that cannot be loaded or fits on no
    device, and PlanError for a planner that is not known.
    """
    from joblib import Parallel, delayed

    make_planner(planner)
    graphs = _graphs(workload, load)
    asked = [(model, group) for model in graphs for group in groups(costs)]
    calls = (
        delayed(_planned)(model, graphs[model], costs, planner, group) for model, group in asked
    )
    with deaf_to_interrupts():
        planned = Parallel(n_jobs=jobs, return_as="generator")(calls)
    found = {(model, group): way for model, group, way in each(planned, len(asked))}
    return tuple(
        Menu(
            service,
            graphs[service.model].flops,
            _worthwhile(service, {group: found[service.model, group] for group in groups(costs)}),
        )
        for service in workload.services
    )


def _graphs(workload: Workload, load: Callable[[str], Graph]) -> dict[str, Graph]:
    """By model, without weights."""
    found: dict[str, Graph] = {}
    for service in workload.services:
        if service.model not in found:
            try:
                found[service.model] = weightless(load(service.model))
            except SwathError as error:
                raise WorkloadError(f"service {service.name!r}: {error}") from None
    return found


def groups(costs: Costs) -> list[Group]:
    """Devices that a request may be split over: each alone; then, from the fastest to the slowest,
    two by two, three by three and so on, and all."""
    names = [device.name for device in costs.cluster.workers]
    names.sort(key=costs.sustained, reverse=True)
    found: list[Group] = [(name,) for name in names]
    size = 2
    while size < len(names):
        found += [tuple(names[k : k + size]) for k in range(0, len(names) - size + 1, size)]
        size += max(1, size // 2)
    if len(names) > 1:
        found.append(tuple(names))
    return found


def _planned(model: str, graph: Graph, costs: Costs, planner: str, group: Group) -> Planned:
    """The way of a group of devices, or why there is none."""
    cluster = costs.cluster
    devices = tuple(replace(each, compute=each.name in group) for each in cluster.devices)
    there = replace(costs, cluster=replace(cluster, devices=devices))
    name = planner if len(group) > 1 else "whole"
    try:
        return model, group, way_of(make_planner(name).plan(Problem(graph, there)), costs)
    except PlanError as error:
        return model, group, str(error)


def way_of(plan: Plan, costs: Costs) -> Way:
    """What a request takes by a plan."""
    programs = compile_plan(plan)
    found = simulate([Request(make_script(plan, programs, costs))] * REQUESTS, costs)
    names = [device.name for device in costs.cluster.devices]
    computed = dict.fromkeys(names, 0.0)
    for device, program in programs.by_device.items():
        computed[device] = float(
            sum(step.flops for step in program.steps if isinstance(step, Compute))
        )
    once = plan.graph.flops / (sum(computed.values()) or 1.0)
    return Way(
        plan,
        sum(found.latencies) / REQUESTS,
        tuple(found.busy[name] / REQUESTS / _share(costs, name) for name in names),
        tuple(computed[name] * once for name in names),
    )


def _share(costs: Costs, device: str) -> float:
    """Of a second, what a device's quota lets it compute."""
    quota = costs.quota(device)
    return min(1.0, quota.share) if quota else 1.0


def _worthwhile(service: Service, found: dict[Group, Way | str]) -> tuple[Way, ...]:
    """The ways to choose from, the soonest first."""
    alone = {group[0]: way for group, way in found.items() if len(group) == 1}
    kept = [way for way in alone.values() if isinstance(way, Way)]
    for group, way in found.items():
        if len(group) == 1 or isinstance(way, str):
            continue
        seconds = [one.seconds for name in group if isinstance(one := alone[name], Way)]
        if way.seconds < WORTHWHILE * min(seconds, default=float("inf")):
            kept.append(way)
    if not kept:
        reasons = [way for way in found.values() if isinstance(way, str)]
        raise WorkloadError(f"service {service.name!r}: {reasons[-1]}")
    distinct = {way.devices: way for way in sorted(kept, key=lambda way: -way.seconds)}
    return tuple(sorted(distinct.values(), key=lambda way: way.seconds))
