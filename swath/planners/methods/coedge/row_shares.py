"""One vector of row shares for all maps of a network, by linear programming.

A layer takes a device its share of what the whole layer takes it, and besides that a fixed time:
starting, and the borders that it exchanges with its neighbours. A layer is over when the slowest
device is done. This is linear in the shares and the layers' times.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import inf

import numpy as np

from swath.cost import Costs
from swath.errors import PlanError
from swath.graph.geometry import handed_on, tile_geometry
from swath.ops import Region
from swath.planners.building.fusing import candidate_cuts
from swath.planners.building.layouts import Layouts, Split
from swath.planners.building.survey import by_speed, maps_end, primary
from swath.planners.building.weighing import crossing, slowdown, span_seconds
from swath.planners.objective import watts
from swath.planners.registry import Problem

NOTHING = 1e-6
"""A share that is none."""

_ROWS = 2
"""The axis of rows."""


@dataclass(frozen=True, slots=True)
class Shares:
    """Which share of the rows of all maps devices get: ``of``, in the order of the maps' parts; the
    sum is 1. ``seconds``: that an inference takes then, by the program's clock."""

    of: Mapping[str, float]
    seconds: float


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer of the unsplit network. ``seconds``: that it takes each device by the clock, all of
    it; ``above``, ``below``: bytes that a device in the middle lacks of its neighbours' rows.
    ``is_split``: whether it has rows to share out."""

    start: int
    stop: int
    seconds: Mapping[str, float]
    above: int
    below: int
    is_split: bool


def layers_of(problem: Problem) -> tuple[Layer, ...]:
    """The layers of a problem's network."""
    graph, costs = problem.graph, problem.costs
    layouts = Layouts(graph)
    cuts = candidate_cuts(graph)
    end = maps_end(graph, cuts)
    names = [device.name for device in costs.cluster.workers]
    seconds = {name: span_seconds(graph, costs, name, cuts) for name in names}
    found = []
    for number, (start, stop) in enumerate(pairwise(cuts)):
        is_split = stop <= end and has_rows(layouts, range(start, stop))
        above, below = _borders(layouts, start, stop) if is_split else (0, 0)
        taken = {name: seconds[name][number] for name in names}
        found.append(Layer(start, stop, taken, above, below, is_split))
    return tuple(found)


def has_rows(layouts: Layouts, nodes: range) -> bool:
    """Whether the rows of what a layer makes can be shared out."""
    made = handed_on(layouts.graph, nodes)
    return any(layouts.axis(name, "rows") == _ROWS or layouts.are_partial(name) for name in made)


def head_of(costs: Costs, names: Sequence[str]) -> str:
    """Who of some devices computes what has no rows: the primary, or the fastest."""
    first = primary(costs)
    return first if first in names else next(name for name in by_speed(costs) if name in names)


def row_shares(
    problem: Problem, layers: Sequence[Layer], names: Sequence[str], limit: float | None = None
) -> Shares | None:
    """Who gets which share of all maps: so that it takes the least time, or the least energy within
    a limit of so many seconds. None: nothing does within that."""
    layouts = Layouts(problem.graph)
    taking = list(names)
    while True:
        shares = _solved(problem, layers, names, taking, limit)
        if shares is None:
            return None
        leaving = set(taking) - set(shares.of) or _too_low(layouts, layers, shares.of)
        if not leaving:
            return shares
        taking = [name for name in taking if name not in leaving]


def _too_low(layouts: Layouts, layers: Sequence[Layer], shares: Mapping[str, float]) -> set[str]:
    """Who has fewer rows of some map than a neighbour reaches over: all who have none of it, else
    the one with the least share."""
    names = tuple(shares)
    split = Split("rows", names, tuple(shares.values()))
    none: set[str] = set()
    low: set[str] = set()
    for layer in layers:
        nodes = range(layer.start, layer.stop)
        for index in range(len(names)) if layer.is_split else ():
            for name, needed in _needs(layouts, nodes, split, index):
                for asked, is_there in _asked(layouts.of(name, split), needed, index):
                    (low if is_there else none).add(names[asked])
    return none or set(sorted(low, key=lambda name: shares[name])[:1])


def _asked(
    parts: Sequence[Region | None], needed: Region, index: int
) -> Iterator[tuple[int, bool]]:
    """(who, whether it has any) of those next to a device that lack something of what it needs."""
    for step, end in ((-1, 0), (1, 1)):

        def reaches(part: Region | None, step: int = step, end: int = end) -> bool:
            return part is not None and (part[_ROWS][end] - needed[_ROWS][end]) * step >= 0

        neighbour = min(max(index + step, 0), len(parts) - 1)
        if not reaches(parts[index]) and not reaches(parts[neighbour]):
            yield neighbour, parts[neighbour] is not None


def _borders(layouts: Layouts, start: int, stop: int) -> tuple[int, int]:
    """Bytes that the second of three equal devices lacks of the rows above and below its own."""
    probe = Split("rows", ("above", "middle", "below"), (1.0, 1.0, 1.0))
    above = below = 0
    for name, needed in _needs(layouts, range(start, stop), probe, 1):
        held = layouts.of(name, probe)[1]
        if held is not None:
            row = needed.size * layouts.graph.tensors[name].itemsize // needed.shape[_ROWS]
            above += max(0, held[_ROWS][0] - needed[_ROWS][0]) * row
            below += max(0, needed[_ROWS][1] - held[_ROWS][1]) * row
    return above, below


def _needs(
    layouts: Layouts, nodes: range, split: Split, index: int
) -> Iterator[tuple[str, Region]]:
    """What a device of a split needs of earlier layers' maps, by their names."""
    graph = layouts.graph
    regions = {name: layouts.of(name, split)[index] for name in handed_on(graph, nodes)}
    outputs = {name: region for name, region in regions.items() if region is not None}
    for name, needed in tile_geometry(graph, nodes, outputs).needs.items():
        if name in graph.producers and layouts.axis(name, "rows") == _ROWS:
            yield name, needed


def _solved(
    problem: Problem,
    layers: Sequence[Layer],
    names: Sequence[str],
    taking: Sequence[str],
    limit: float | None,
) -> Shares | None:
    """The program for those who are ``taking`` shares: least time, or least energy of an inference
    within the limit.

    Variables: a share by device, then seconds by layer.
    """
    from scipy.optimize import linprog
    from scipy.sparse import diags_array, eye_array, hstack, kron, vstack

    costs, head = problem.costs, head_of(problem.costs, names)
    split = [layer for layer in layers if layer.is_split]
    rest = sum(layer.seconds[head] for layer in layers if not layer.is_split)
    if not split:
        return Shares({head: 1.0}, rest)
    per_share = np.array([[layer.seconds[name] for name in taking] for layer in split])
    fixed = np.array([_fixed(costs, layer, taking) for layer in split])
    moving = [_moving(problem, split[-1].stop, name, head) for name in taking]
    times = vstack([diags_array(of_layer) for of_layer in per_share])
    slowest = kron(eye_array(len(split)), np.ones((len(taking), 1)))
    above, bounds = hstack([times, -slowest]), -fixed.ravel()
    least = seconds = np.concatenate([moving, np.ones(len(split))])
    if limit is not None:
        least = _joules(costs, taking, per_share, seconds)
        if limit < inf:
            above = vstack([above, seconds[None, :]])
            bounds = np.append(bounds, limit - rest)
    whole = np.concatenate([np.ones(len(taking)), np.zeros(len(split))])[None, :]
    found = linprog(least, above.tocsr(), bounds, whole, [1.0], method="highs")
    if found.status not in (0, 2):
        raise PlanError(f"the linear program of row shares has no solution: {found.message}")
    if found.x is None:
        return None
    of = {name: float(share) for name, share in zip(taking, found.x, strict=False)}
    return Shares(
        {name: share for name, share in of.items() if share > NOTHING},
        rest + float(seconds @ found.x),
    )


def _fixed(costs: Costs, layer: Layer, taking: Sequence[str]) -> list[float]:
    """Seconds of a layer on each device that its share does not change: starting, and the rows of
    its neighbours, with what both sides' messages take its CPU."""
    found = []
    for index, name in enumerate(taking):
        cpu, travelling = costs.overhead, 0.0
        for step, given, taken in ((-1, layer.above, layer.below), (1, layer.below, layer.above)):
            if 0 <= index + step < len(taking):
                if given:
                    cpu += costs.receiving(name).seconds(given)
                    travelling += costs.transfer(taking[index + step], name, given)
                if taken:
                    cpu += costs.sending(name).seconds(taken)
        found.append(cpu * slowdown(costs, name) + travelling)
    return found


def _moving(problem: Problem, end: int, name: str, head: str) -> float:
    """Seconds by the links for a device's part of the input and of what the last layer with rows
    hands on, by its share; they come from one device and go to one, so these add up."""
    graph, costs = problem.graph, problem.costs
    source = costs.cluster.source
    given, made = sum(graph.tensors[name].nbytes for name in graph.inputs), crossing(graph, end)
    fetched = 0.0 if name == source else given / costs.path(source, name).bandwidth
    return fetched + (0.0 if name == head else made / costs.path(name, head).bandwidth)


def _joules(
    costs: Costs, taking: Sequence[str], per_share: np.ndarray, seconds: np.ndarray
) -> np.ndarray:
    """What each variable adds to the energy: everybody idles all the time, and who computes needs
    more than that."""
    power = watts(costs)
    more = [(power[name].busy - power[name].idle) / slowdown(costs, name) for name in taking]
    joules = sum(of_one.idle for of_one in power.values()) * seconds
    joules[: len(taking)] += per_share.sum(axis=0) * more
    return joules
