"""HALP: a host between two others computes what both of them need, so that sending hides.

Li, Iosifidis, Zhang: Distributed Deep Learning Inference Acceleration using Seamless Collaboration
in Edge Computing (ICC 2022), and its prototype on three Raspberry Pi (Dong et al., 2022).

From the abstracts: to let communicating and computing happen at the same time, the zones in which
the sub-tasks of secondary servers overlap are computed by the host; three devices. Reconstructed:
rows, layer by layer; the host's zone lies in the middle and is as high as the widest halo asks for,
so that the secondaries never need each other's rows; the host computes first what they wait for
(`borders_first`), and they take the rest in proportion to their speeds. The two fastest others are
the secondaries; the fully connected layers run on the host.
"""

from __future__ import annotations

from itertools import pairwise

from swath.errors import PlanError
from swath.graph.graph import Graph
from swath.graph.reductions import split_reductions
from swath.plan.plan import Plan
from swath.planners.building.assembling import assemble, reduction_splits
from swath.planners.building.borders import borders_first
from swath.planners.building.fusing import Segment, candidate_cuts
from swath.planners.building.layouts import Layouts, Split
from swath.planners.building.survey import by_speed, extent_before, maps_end, must_be_whole, primary
from swath.planners.registry import Problem

SECONDARIES = 2


class Halp:
    """No options."""

    def plan(self, problem: Problem) -> Plan:
        costs = problem.costs
        host = primary(costs)
        others = [name for name in by_speed(costs) if name != host][:SECONDARIES]
        if len(others) < SECONDARIES or must_be_whole(problem.graph, costs):
            raise PlanError(
                "halp needs a host and two others, and a model that draws no random numbers; "
                "add devices, or use --planner even"
            )
        above, below = others
        names = (above, host, below)
        speeds = (costs.sustained(above), costs.sustained(below))
        reductions = reduction_splits(problem.graph, _zones(names, speeds, 1, 3))
        graph = split_reductions(problem.graph, reductions)
        cuts = candidate_cuts(graph)
        end = maps_end(graph, cuts)
        segments = []
        for start, stop in pairwise(cut for cut in cuts if cut <= end):
            rows = extent_before(graph, stop, 2)
            zone = min(rows, 2 * _widest_halo(graph))
            segments.append(Segment(start, stop, _zones(names, speeds, zone, rows)))
        if end < cuts[-1]:
            segments.append(Segment(end, cuts[-1], Split.alone(host)))
        plan = assemble("halp", problem, Layouts(graph), segments, reductions)
        return borders_first(plan, graph, costs)


def _zones(names: tuple[str, str, str], speeds: tuple[float, float], zone: int, rows: int) -> Split:
    """The host's zone of so many rows between the secondaries' shares of the rest."""
    rest = (rows - zone) / sum(speeds)
    above, below = (speed * rest for speed in speeds)
    return Split("rows", names, (above, float(max(zone, 1)), below))


def _widest_halo(graph: Graph) -> int:
    """Rows on one side that some window of the graph reaches over."""
    reach = [1]
    for node in graph.nodes:
        kernel = node.attributes.get("kernel_shape")
        if kernel:
            dilation = node.attributes.get("dilations") or [1] * len(kernel)
            reach.append((int(kernel[0]) - 1) * int(dilation[0]) // 2)
    return max(reach)
