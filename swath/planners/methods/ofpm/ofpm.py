"""OFPM: OPM's slices on FPM's shortest path.

Shen: the author's master's thesis (2023), and Yang, Zheng, Shen, Xie: OfpCNN: On-Demand
Fine-Grained Partitioning for CNN Inference Acceleration in Heterogeneous Devices (TPDS 2023).

From the abstracts: OFPM consists of FPM and OPM, on demand: by layers' latencies as predicted from
FLOPs and CPU load (FCPM, in `swath.cost`) and by present links. Reconstructed: the path is searched
with the closed form's slices for each group of devices and each aggregator; rows are moved on the
path that is found.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from swath.plan.plan import Plan
from swath.planners.building.assembling import assemble
from swath.planners.building.fitting import fitting
from swath.planners.building.gathering import merged
from swath.planners.building.layouts import Layouts
from swath.planners.building.survey import must_be_whole
from swath.planners.methods.ofpm.hvpm import shortest_path
from swath.planners.methods.ofpm.slices import even_finish, with_entries_moved
from swath.planners.methods.whole import Whole
from swath.planners.registry import Problem


class Ofpm:
    """No options."""

    def plan(self, problem: Problem) -> Plan:
        if must_be_whole(problem.graph, problem.costs):
            return replace(Whole().plan(problem), planner="ofpm")
        layouts = Layouts(problem.graph)

        def among(names: Sequence[str]) -> Plan:
            path = shortest_path(problem, layouts, names, even_finish(problem))
            segments = [with_entries_moved(problem, layouts, segment) for segment in path]
            return assemble("ofpm", problem, layouts, merged(segments))

        return fitting(problem, among)
