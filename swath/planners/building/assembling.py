"""From stages and how each is split to a plan: what planners' results have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from swath.graph.geometry import handed_on
from swath.graph.graph import Graph
from swath.graph.reductions import ReductionSplit, reducible_axes
from swath.ops import Region
from swath.plan.plan import Plan, PlanDevice, Stage, Tile
from swath.planners.building.fusing import Segment
from swath.planners.building.layouts import Layouts, Mode, Split
from swath.planners.registry import Problem

_SPATIAL_AXES: Mapping[Mode, tuple[int, ...]] = {
    "rows": (2,), "cols": (3,), "grid": (2, 3), "channels": (), "batch": (),
}  # fmt: skip
_WEIGHTED = ("Conv", "Gemm", "MatMul")
"""Their sums over input channels stay whole: output channels split them exactly."""


def assemble(
    planner: str,
    problem: Problem,
    layouts: Layouts,
    segments: Sequence[Segment],
    reductions: Sequence[ReductionSplit] = (),
    leader: str | None = None,
) -> Plan:
    """The plan that computes these stages one after the other.

    ``layouts``: of the problem's graph with its ``reductions`` split. ``leader``: who gathers what
    a stage makes and hands it out again, unless its segment names another; None: devices send each
    other what they lack.
    """
    stages, tiles = _stages_and_tiles(layouts, segments)
    cluster = problem.costs.cluster
    return Plan(
        planner=planner,
        model=problem.graph.digest,
        graph=problem.graph,
        devices=tuple(PlanDevice(device.name, device.memory) for device in cluster.workers),
        source=cluster.source,
        stages=stages,
        tiles=tiles,
        splits=tuple(reductions),
        exchange="peer" if leader is None else "leader",
        leader=leader,
    )


def reduction_splits(graph: Graph, split: Split) -> tuple[ReductionSplit, ...]:
    """Reductions over the axes that are split become partial results, cut where the data is."""
    layouts = Layouts(graph)
    found = []
    for position, node in enumerate(graph.nodes):
        if node.type in _WEIGHTED or node.inputs[:1] == () or node.inputs[0] not in graph.producers:
            continue
        reducible = reducible_axes(graph, position)
        for axis in _SPATIAL_AXES[split.mode]:
            if axis in reducible:
                bounds = _bounds(layouts.of(node.inputs[0], split), axis)
                if len(bounds) > 2:
                    found.append(ReductionSplit(node.name, axis, bounds))
    return tuple(found)


def _bounds(regions: Sequence[Region | None], axis: int) -> tuple[int, ...]:
    edges = {edge for region in regions if region is not None for edge in region[axis]}
    return tuple(sorted(edges))


def _stages_and_tiles(
    layouts: Layouts, segments: Sequence[Segment]
) -> tuple[tuple[Stage, ...], tuple[Tile, ...]]:
    graph = layouts.graph
    stages: list[Stage] = []
    tiles: list[Tile] = []
    for number, segment in enumerate(segments):
        positions = range(segment.start, segment.stop)
        made = handed_on(graph, positions)
        if not made:
            continue
        split = segment.split
        names = tuple(graph.nodes[position].name for position in positions)
        stage = Stage(f"{number}-{split.mode}", names, segment.leader)
        stages.append(stage)
        regions = {name: layouts.of(name, split) for name in made}
        for index, device in enumerate(split.devices):
            outputs = {name: of_device[index] for name, of_device in regions.items()}
            own = {name: region for name, region in outputs.items() if region is not None}
            if own:
                tiles.append(Tile(device, stage.name, own))
    return tuple(stages), tuple(tiles)
