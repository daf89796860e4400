"""One device alone: what every split has to beat."""

from __future__ import annotations

from collections.abc import Sequence

from swath.graph.geometry import handed_on
from swath.plan.compile import compile_plan
from swath.plan.memory import peak_memory
from swath.plan.plan import Plan, PlanDevice, Stage, Tile
from swath.plan.validate import validate_memory
from swath.planners.objective import check_deadline, predicted_seconds, score, watts
from swath.planners.registry import Problem

TRIED = 3
"""Devices that are simulated, of those with the most promising estimates."""


class Whole:
    """One stage, one tile, on the device that is best at it, moving inputs and outputs included.

    Devices that are too small are left out. Raises PlanError where all of them are, or none meets
    the deadline.
    """

    def plan(self, problem: Problem) -> Plan:
        names = [device.name for device in problem.costs.cluster.workers]
        soonest = sorted(names, key=lambda name: _seconds(problem, name))
        fitting = _fitting(problem, soonest)
        tried = {fitting[0], *sorted(fitting, key=lambda name: _estimate(problem, name))[:TRIED]}
        plans = [_on(problem, name) for name in fitting if name in tried]
        made = [(plan, compile_plan(plan)) for plan in plans]
        if problem.deadline is not None:
            costs = problem.costs
            check_deadline(problem, min(predicted_seconds(*each, costs) for each in made))
        return min(made, key=lambda each: score(problem, *each))[0]


def _on(problem: Problem, device: str) -> Plan:
    """The plan of one device."""
    graph, cluster = problem.graph, problem.costs.cluster
    made = handed_on(graph, range(len(graph.nodes)))
    stage = Stage("all", tuple(node.name for node in graph.nodes))
    tile = Tile(device, "all", {name: graph.tensors[name].whole for name in made})
    return Plan(
        planner="whole",
        model=graph.digest,
        graph=graph,
        devices=tuple(PlanDevice(worker.name, worker.memory) for worker in cluster.workers),
        source=cluster.source,
        stages=(stage,) if made else (),
        tiles=(tile,) if made else (),
    )


def _fitting(problem: Problem, names: Sequence[str]) -> list[str]:
    """Those with memory enough. Raises PlanError, about the roomiest, where nobody has."""
    workers = problem.costs.cluster.workers
    memory = {device.name: device.memory for device in workers if device.memory is not None}
    if not memory:
        return list(names)
    need = max(peak_memory(compile_plan(_on(problem, names[0]))).values(), default=0)
    fitting = [name for name in names if memory.get(name, need) >= need]
    if not fitting:
        roomiest = _on(problem, max(names, key=lambda name: memory[name]))
        validate_memory(roomiest, compile_plan(roomiest))
    return fitting


def _estimate(problem: Problem, device: str) -> tuple[bool, float]:
    """Whether it is too late there, and what the objective wants small."""
    costs, flops = problem.costs, sum(problem.graph.node_flops)
    seconds = _seconds(problem, device)
    is_late = problem.deadline is not None and seconds > problem.deadline
    if problem.objective == "throughput":  # The next one's input travels meanwhile.
        return is_late, flops / costs.sustained(device)
    if problem.objective == "energy":
        power = watts(costs)
        idling = sum(of_one.idle for of_one in power.values()) * seconds
        computing = (power[device].busy - power[device].idle) * flops / costs.speed(device)
        return is_late, idling + computing
    return is_late, seconds


def _seconds(problem: Problem, device: str) -> float:
    """An estimate: FLOPs by the device's speed, and bytes by the links from and to the source."""
    graph, costs, source = problem.graph, problem.costs, problem.costs.cluster.source
    given, made = (
        sum(graph.tensors[name].nbytes for name in names) for names in (graph.inputs, graph.outputs)
    )
    moving = costs.transfer(source, device, given) + costs.transfer(device, source, made)
    return sum(graph.node_flops) / costs.sustained(device) + moving
