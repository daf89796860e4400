"""DeepThings: fused tiles of a grid, handed to whoever is idle.

Zhao, Barijough, Gerstlauer: DeepThings: Distributed Adaptive Deep Learning Inference on
Resource-Constrained IoT Edge Clusters (TCAD 2018).

From the paper and its code: the first layers are fused and their output is cut into a grid (FTP);
every cell is a task of its own, with its whole receptive field; idle devices steal tasks through a
gateway; the gateway merges and computes the rest. How deep to fuse and how fine to cut are chosen
by hand. Reconstructed: stealing is planned as if times were known, each task in turn for who would
be done with it first; unless told, layers are fused as long as a layer's map outweighs its filters
(later ones read more weights than maps), and there are two cells for each device.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from swath.errors import PlanError
from swath.graph.graph import Graph
from swath.plan.plan import Plan
from swath.planners.building.assembling import assemble
from swath.planners.building.fusing import Segment, candidate_cuts
from swath.planners.building.layouts import Layouts, Split
from swath.planners.building.survey import maps_end, must_be_whole, primary
from swath.planners.building.weighing import parts_of, through_leader
from swath.planners.methods.whole import Whole
from swath.planners.registry import Problem

CELLS_PER_DEVICE = 2


class DeepThings:
    """Options: ``layers``: how many are fused; ``cells``: of the grid, the most square one."""

    def __init__(self, layers: int | None = None, cells: int | None = None) -> None:
        for name, value in (("layers", layers), ("cells", cells)):
            if value is not None and (not isinstance(value, int) or value < 1):
                raise PlanError(f"{name} {value!r} is not understood; it is a number from 1 on")
        self.layers = layers
        self.cells = cells

    def plan(self, problem: Problem) -> Plan:
        graph, costs = problem.graph, problem.costs
        if must_be_whole(graph, costs):
            return replace(Whole().plan(problem), planner="deepthings")
        cuts = candidate_cuts(graph)
        end = _depth(graph, cuts) if self.layers is None else cuts[min(self.layers, len(cuts) - 1)]
        layouts = Layouts(graph)
        cells = self.cells or CELLS_PER_DEVICE * len(costs.cluster.workers)
        segments = [Segment(0, end, _stolen(problem, layouts, end, cells))]
        if end < cuts[-1]:
            segments.append(Segment(end, cuts[-1], Split.alone(primary(costs))))
        return assemble("deepthings", problem, layouts, segments)


def _depth(graph: Graph, cuts: Sequence[int]) -> int:
    """The cut behind the last layer whose map is larger than its weights."""
    last = 0
    for position, node in enumerate(graph.nodes):
        weights = sum(graph.tensors[name].nbytes for name in node.inputs if name in graph.constants)
        made = sum(graph.tensors[name].nbytes for name in node.outputs if name)
        if weights and made > weights:
            last = position
    end = maps_end(graph, cuts)
    return min(end, next(cut for cut in cuts if cut > last))


def _stolen(problem: Problem, layouts: Layouts, end: int, cells: int) -> Split:
    """Who computes which cell: each in turn whoever would be done with it first."""
    costs = problem.costs
    workers = [device.name for device in costs.cluster.workers]
    equal = (1.0,) * cells
    gateway = primary(costs)
    seconds = {}
    for device in workers:
        split = Split("grid", (device,) * cells, equal)
        parts = parts_of(layouts, costs, Segment(0, end, split))
        seconds[device] = through_leader(parts, split, costs, gateway)
    free = dict.fromkeys(workers, 0.0)
    chosen = []
    for cell in range(cells):
        device = min(workers, key=lambda name: free[name] + seconds[name][cell])
        free[device] += seconds[device][cell]
        chosen.append(device)
    return Split("grid", tuple(chosen), equal)
