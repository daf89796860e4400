"""Neurosurgeon: one cut between the device that has the input and one other.

Kang, Hauswald, Gao, Rovinski, Mudge, Mars, Tang: Neurosurgeon: Collaborative Intelligence Between
the Cloud and Mobile Edge (ASPLOS 2017).

From the paper: layers are predicted by regression; all cuts are tried at the present bandwidth;
what comes before the best one runs on the device, what comes after on the server. Here a cut may
also be crossed by several tensors (the paper's networks are chains), any other device may be the
server, and a source that does not compute sends everything.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from swath.graph.graph import Graph
from swath.plan.plan import Plan
from swath.planners.building.assembling import assemble
from swath.planners.building.fusing import Segment, candidate_cuts
from swath.planners.building.layouts import Layouts, Split
from swath.planners.building.weighing import crossing, span_seconds
from swath.planners.registry import Problem


class Neurosurgeon:
    """No options."""

    def plan(self, problem: Problem) -> Plan:
        graph = problem.graph
        cuts = candidate_cuts(graph)
        cut, server = min(_choices(problem, cuts), key=lambda choice: choice[0])[1:]
        source = problem.costs.cluster.source
        halves = [(0, cut, source), (cut, cuts[-1], server)]
        segments = [
            Segment(start, stop, Split.alone(device))
            for start, stop, device in halves
            if start < stop
        ]
        return assemble("neurosurgeon", problem, Layouts(graph), segments)


def _choices(problem: Problem, cuts: Sequence[int]) -> Iterator[tuple[float, int, str]]:
    """(seconds, cut, server) of every cut and server; behind the last cut there is none."""
    graph, costs, source = problem.graph, problem.costs, problem.costs.cluster.source
    workers = [device.name for device in costs.cluster.workers]
    own = span_seconds(graph, costs, source, cuts) if source in workers else None
    if own is not None:
        yield sum(own), cuts[-1], source
    for server in workers:
        if server == source:
            continue
        there = span_seconds(graph, costs, server, cuts)
        for index, cut in enumerate(cuts[:-1]):
            if cut and own is None:
                break
            before = sum(own[:index]) if own is not None else 0.0
            sent = costs.transfer(source, server, crossing(graph, cut))
            back = costs.transfer(server, source, _result(graph, cut))
            yield before + sent + sum(there[index:]) + back, cut, server


def _result(graph: Graph, cut: int) -> int:
    """Bytes of the outputs that are made behind a cut."""
    return sum(
        graph.tensors[name].nbytes
        for name in dict.fromkeys(graph.outputs)
        if graph.producers.get(name, -1) >= cut
    )
