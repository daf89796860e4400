"""FPM: every layer on one device or in equal slices on several, along a shortest path.

Shen: the author's master's thesis (2023), and as HVPM in Yang, Zheng, Shen, Xie: OfpCNN: On-Demand
Fine-Grained Partitioning for CNN Inference Acceleration in Heterogeneous Devices (TPDS 2023).

From the abstracts: for equal devices a horizontal partition cuts a convolution into parts, and a
vertical one determines the best device for each layer; the method considers the execution position
of each layer, its parallelism, and where the device is that aggregates and distributes data.
Reconstructed: the search (`hvpm`), which is a shortest path over layers, devices and aggregators;
groups of devices are the k fastest, their slices are equally high; an aggregator sends and receives
one message after the other, and just what devices lack; what has no rows is cut by features; of
more than eight devices not all numbers of them are tried, nor all as aggregators.
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
from swath.planners.methods.ofpm.slices import equal_slices
from swath.planners.methods.whole import Whole
from swath.planners.registry import Problem


class Fpm:
    """No options."""

    def plan(self, problem: Problem) -> Plan:
        if must_be_whole(problem.graph, problem.costs):
            return replace(Whole().plan(problem), planner="fpm")
        layouts = Layouts(problem.graph)

        def among(names: Sequence[str]) -> Plan:
            path = shortest_path(problem, layouts, names, equal_slices)
            return assemble("fpm", problem, layouts, merged(path))

        return fitting(problem, among)
