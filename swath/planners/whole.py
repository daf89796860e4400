"""The fastest device alone: what every split has to beat."""

from __future__ import annotations

from swath.graph.codec import weightless
from swath.graph.geometry import handed_on
from swath.plan.plan import Plan, PlanDevice, Stage, Tile
from swath.planners.registry import Problem


class Whole:
    """One stage, one tile, on the device that computes fastest."""

    def plan(self, problem: Problem) -> Plan:
        graph, cluster = problem.graph, problem.costs.cluster
        fastest = max(cluster.workers, key=lambda device: problem.costs.speed(device.name))
        made = handed_on(graph, range(len(graph.nodes)))
        stage = Stage("all", tuple(node.name for node in graph.nodes))
        tile = Tile(fastest.name, "all", {name: graph.tensors[name].whole for name in made})
        return Plan(
            planner="whole",
            model=graph.digest,
            graph=weightless(graph),
            devices=tuple(PlanDevice(device.name, device.memory) for device in cluster.workers),
            source=cluster.source,
            stages=(stage,) if made else (),
            tiles=(tile,) if made else (),
        )
