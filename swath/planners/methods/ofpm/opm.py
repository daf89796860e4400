"""OPM: every layer on all devices, slices as high as devices and links allow.

Shen: the author's master's thesis (2023), part of what became OfpCNN (Yang, Zheng, Shen, Xie, TPDS
2023).

From the abstract: for uneven devices the height of the input slice of each convolution's parts is
adjusted to the capabilities of the devices and the state of the network. Reconstructed: a slice's
time is that of handing it out, computing and gathering it; all are to be done at the same time,
which is a closed form (`equal_finish`), after which single rows are moved from who is slowest to
who is fastest (`rebalanced`); one aggregator throughout, the source (or the fastest), which also
computes what cannot be cut; what has no rows is cut by features.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from swath.plan.plan import Plan
from swath.planners.building.assembling import assemble
from swath.planners.building.fitting import fitting
from swath.planners.building.fusing import Segment
from swath.planners.building.gathering import aggregator, merged
from swath.planners.building.layouts import Layouts, Split
from swath.planners.building.survey import must_be_whole
from swath.planners.methods.ofpm.slices import even_finish, layers_of, with_entries_moved
from swath.planners.methods.whole import Whole
from swath.planners.registry import Problem


class Opm:
    """No options."""

    def plan(self, problem: Problem) -> Plan:
        if must_be_whole(problem.graph, problem.costs):
            return replace(Whole().plan(problem), planner="opm")
        layouts = Layouts(problem.graph)

        def among(names: Sequence[str]) -> Plan:
            segments = _segments(problem, layouts, tuple(names))
            return assemble("opm", problem, layouts, merged(segments))

        return fitting(problem, among)


def _segments(problem: Problem, layouts: Layouts, names: tuple[str, ...]) -> list[Segment]:
    leader = aggregator(problem, names)
    slices = even_finish(problem)
    segments = []
    for layer in layers_of(problem, layouts, names):
        if layer.entries < 2:
            segments.append(Segment(layer.start, layer.stop, Split.alone(leader)))
            continue
        cut = Segment(layer.start, layer.stop, slices(layer, names, leader), leader)
        segments.append(with_entries_moved(problem, layouts, cut))
    return segments
