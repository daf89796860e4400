"""One device alone: what every split has to beat."""

from __future__ import annotations

from swath.graph.codec import weightless
from swath.graph.geometry import handed_on
from swath.plan.plan import Plan, PlanDevice, Stage, Tile
from swath.planners.registry import Problem


class Whole:
    """One stage, one tile, on the device that is done first, moving inputs and outputs included."""

    def plan(self, problem: Problem) -> Plan:
        graph, cluster = problem.graph, problem.costs.cluster
        made = handed_on(graph, range(len(graph.nodes)))
        first = min(cluster.workers, key=lambda device: _seconds(problem, device.name))
        stage = Stage("all", tuple(node.name for node in graph.nodes))
        tile = Tile(first.name, "all", {name: graph.tensors[name].whole for name in made})
        return Plan(
            planner="whole",
            model=graph.digest,
            graph=weightless(graph),
            devices=tuple(PlanDevice(device.name, device.memory) for device in cluster.workers),
            source=cluster.source,
            stages=(stage,) if made else (),
            tiles=(tile,) if made else (),
        )


def _seconds(problem: Problem, device: str) -> float:
    """An estimate: FLOPs by the device's speed, and bytes by the links from and to the source."""
    graph, costs, source = problem.graph, problem.costs, problem.costs.cluster.source
    given, made = (
        sum(graph.tensors[name].nbytes for name in names) for names in (graph.inputs, graph.outputs)
    )
    moving = costs.transfer(source, device, given) + costs.transfer(device, source, made)
    return sum(graph.node_flops) / costs.sustained(device) + moving
