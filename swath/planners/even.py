"""Shares by device speed: the planner to start with.

Every device computes its share of every stage: rows (or columns, a grid, channels) of the maps,
output features of the FC layers. Layers are fused while recomputing the halo costs less than
exchanging it.
"""

from __future__ import annotations

from collections.abc import Sequence

from swath.errors import PlanError
from swath.graph.codec import weightless
from swath.graph.geometry import handed_on
from swath.graph.graph import Graph
from swath.graph.reductions import ReductionSplit, reducible_axes, split_reductions
from swath.ops import RANDOM_OPERATORS, Region
from swath.plan.plan import Plan, PlanDevice, Stage, Tile
from swath.planners.borders import borders_first
from swath.planners.fusing import Segment, best_segments
from swath.planners.layouts import MODES, Layouts, Mode, Shares
from swath.planners.registry import Problem
from swath.planners.whole import Whole

_SPATIAL_AXES = {"rows": (2,), "cols": (3,), "grid": (2, 3), "channels": ()}
_WEIGHTED = ("Conv", "Gemm", "MatMul")
"""Their sums over input channels stay whole: output channels split them exactly."""


class Even:
    """Options: ``split`` restricts the spatial operators to one way of splitting."""

    def __init__(self, split: str | None = None) -> None:
        if split is not None and split not in MODES:
            raise PlanError(f"split {split!r} is not known; use one of {', '.join(MODES)}")
        self.split: Mode | None = split

    def plan(self, problem: Problem) -> Plan:
        costs, cluster = problem.costs, problem.costs.cluster
        names = tuple(device.name for device in cluster.workers)
        if len(names) == 1 or _is_random(problem.graph):
            return Whole().plan(problem)
        shares = Shares(names, tuple(costs.sustained(name) for name in names))
        modes: Sequence[Mode] = (self.split,) if self.split else ("rows", "channels")
        splits = _reduction_splits(problem.graph, Layouts(problem.graph, shares), modes[0])
        graph = split_reductions(problem.graph, splits)
        layouts = Layouts(graph, shares)
        segments = best_segments(graph, layouts, costs, modes)
        stages, tiles = _stages_and_tiles(graph, layouts, segments)
        plan = Plan(
            planner="even",
            model=problem.graph.digest,
            graph=weightless(problem.graph),
            devices=tuple(PlanDevice(device.name, device.memory) for device in cluster.workers),
            source=cluster.source,
            stages=stages,
            tiles=tiles,
            splits=splits,
        )
        return borders_first(plan, graph, costs)


def _is_random(graph: Graph) -> bool:
    return any(node.type in RANDOM_OPERATORS for node in graph.nodes)


def _reduction_splits(graph: Graph, layouts: Layouts, mode: Mode) -> tuple[ReductionSplit, ...]:
    """Reductions over the split axes become partial results, cut where the data is."""
    splits = []
    for position, node in enumerate(graph.nodes):
        if node.type in _WEIGHTED or node.inputs[:1] == () or node.inputs[0] not in graph.producers:
            continue
        reducible = reducible_axes(graph, position)
        for axis in _SPATIAL_AXES[mode]:
            if axis in reducible:
                bounds = _bounds(layouts.of(node.inputs[0], mode), axis)
                if len(bounds) > 2:
                    splits.append(ReductionSplit(node.name, axis, bounds))
    return tuple(splits)


def _bounds(regions: Sequence[Region | None], axis: int) -> tuple[int, ...]:
    edges = {edge for region in regions if region is not None for edge in region[axis]}
    return tuple(sorted(edges))


def _stages_and_tiles(
    graph: Graph, layouts: Layouts, segments: Sequence[Segment]
) -> tuple[tuple[Stage, ...], tuple[Tile, ...]]:
    stages: list[Stage] = []
    tiles: list[Tile] = []
    for number, segment in enumerate(segments):
        positions = range(segment.start, segment.stop)
        made = handed_on(graph, positions)
        if not made:
            continue
        stage = Stage(f"{number}-{segment.mode}", tuple(graph.nodes[p].name for p in positions))
        stages.append(stage)
        regions = {name: layouts.of(name, segment.mode) for name in made}
        for index, device in enumerate(layouts.shares.devices):
            outputs = {name: of_device[index] for name, of_device in regions.items()}
            own = {name: region for name, region in outputs.items() if region is not None}
            if own:
                tiles.append(Tile(device, stage.name, own))
    return tuple(stages), tuple(tiles)
