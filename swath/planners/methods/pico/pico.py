"""PICO: a pipeline whose stages are groups of devices that split a run of layers by rows.

Yang, Xu, Qi, Wang, Sun, Liao, Guo: PICO: Pipeline Inference Framework for Versatile CNNs on Diverse
Mobile Devices (IEEE Transactions on Mobile Computing, 2023; arXiv 2206.08662).

From the abstract and summaries: the DAG becomes a sequence of pieces; runs of pieces and groups of
devices become the stages of a pipeline; dynamic programming finds them for devices of average
capacity, and a greedy adaptation puts the real ones in their places; what is to be large is the
throughput. Reconstructed: where pieces end (`piece_cuts`); a stage's time is that of a middle part
of equal rows, computed with all that it needs of the stage, and of fetching its input, by the mean
of the cluster's links; the period is that of the slowest stage; the fastest devices come first,
each to the stage that still lacks most for each of its free places, then the cuts move to suit
them, and within a stage rows go by speed. Of the pipelines that no other betters in both period and
latency the simulator picks one, for devices are not average: that with the shortest period which
meets the problem's deadline.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import inf
from statistics import fmean

from swath.plan.compile import compile_plan
from swath.plan.plan import Plan
from swath.planners.building.assembling import assemble
from swath.planners.building.fitting import fitting
from swath.planners.building.fusing import Segment
from swath.planners.building.layouts import Split
from swath.planners.building.survey import must_be_whole
from swath.planners.methods.pico.average_stages import AverageStages
from swath.planners.methods.whole import Whole
from swath.planners.objective import check_deadline, predicted_seconds, score
from swath.planners.registry import Problem

TRIED = 4
"""Pipelines that are simulated, at most."""

LEAST_GAIN = 0.98
"""What more devices, or a longer period, must bring: so much of the time that it took before."""

SMALL = 8
"""Devices of a group up to which all sizes are tried."""


class Pico:
    """No options."""

    def plan(self, problem: Problem) -> Plan:
        if must_be_whole(problem.graph, problem.costs):
            return replace(Whole().plan(problem), planner="pico")
        return fitting(problem, lambda names: _among(problem, names))


def _among(problem: Problem, names: Sequence[str]) -> Plan:
    """The pipeline of some devices with the shortest period, in time."""
    stages = AverageStages(problem, names, _sizes(len(names)))
    made = []
    for pipeline in _spread(_pipelines(stages, len(names)), TRIED):
        groups = _groups(stages, pipeline, names)
        plan = assemble("pico", problem, stages.layouts, _segments(problem, stages, groups))
        made.append((plan, compile_plan(plan)))
    if problem.deadline is not None:
        check_deadline(problem, min(predicted_seconds(*each, problem.costs) for each in made))
    return min(made, key=lambda each: score(problem, *each))[0]


def _sizes(devices: int) -> list[int]:
    """Of groups that are tried: all small ones, then each half as large again."""
    sizes = list(range(1, min(devices, SMALL) + 1))
    while sizes[-1] < devices:
        sizes.append(min(devices, sizes[-1] * 3 // 2))
    return sizes


def _spread(pipelines: Sequence[_Pipeline], count: int) -> list[_Pipeline]:
    """So many of them, the first and the last included."""
    last = len(pipelines) - 1
    places = {last * place // (count - 1) for place in range(count)}
    return [pipelines[place] for place in sorted(places)]


@dataclass(frozen=True, slots=True)
class _Pipeline:
    """Stages of average devices up to a cut: seconds of the slowest and of all, how many devices
    the last one has and how long it takes, and what comes before it."""

    period: float
    latency: float
    size: int
    seconds: float
    before: _Pipeline | None = None

    @property
    def stages(self) -> tuple[_Pipeline, ...]:
        return (*(self.before.stages if self.before else ()), self)


def _pipelines(stages: AverageStages, devices: int) -> list[_Pipeline]:
    """Of that many average devices: those that no other betters in both period and latency, the
    shortest period first."""
    best: list[list[list[_Pipeline]]] = [[[] for _ in range(devices + 1)] for _ in stages.cuts]
    for stop in range(1, len(stages.cuts)):
        soonest: dict[int, float] = {}
        for size in stages.sizes:
            for run in stages.ending(stop, size):
                seconds = run.seconds()
                # More devices that bring nothing are of use in another stage.
                if seconds >= LEAST_GAIN * soonest.get(run.start, inf):
                    continue
                soonest[run.start] = seconds
                if run.start == 0:
                    best[stop][size].append(_Pipeline(seconds, seconds, size, seconds))
                for used in range(1, devices - size + 1):
                    best[stop][used + size] += [
                        _Pipeline(
                            max(before.period, seconds), before.latency + seconds,
                            size, seconds, before,
                        )
                        for before in best[run.start][used]
                    ]  # fmt: skip
        best[stop] = [_worth_it(found) for found in best[stop]]
    return _worth_it([pipeline for found in best[-1] for pipeline in found])


def _worth_it(pipelines: Sequence[_Pipeline]) -> list[_Pipeline]:
    """Those that no other betters, or nearly equals, in both period and latency."""
    kept: list[_Pipeline] = []
    for pipeline in sorted(pipelines, key=lambda each: (each.period, each.latency)):
        if not kept or pipeline.latency < LEAST_GAIN * kept[-1].latency:
            kept.append(pipeline)
    return kept


def _groups(
    stages: AverageStages, pipeline: _Pipeline, names: Sequence[str]
) -> list[tuple[str, ...]]:
    """Real devices in the places of a pipeline's average ones: the fastest first, each to the stage
    that still lacks most for each of its free places."""
    members: dict[_Pipeline, list[str]] = {stage: [] for stage in pipeline.stages}
    free = {stage: stage.size for stage in members}
    lacking = {stage: stage.seconds * stage.size for stage in members}
    for name in sorted(names, key=lambda name: -stages.speed[name])[: sum(free.values())]:
        stage = max((s for s in members if free[s]), key=lambda s: lacking[s] / free[s])
        members[stage].append(name)
        free[stage] -= 1
        lacking[stage] -= pipeline.period * stages.speed[name]
    return [tuple(name for name in names if name in group) for group in members.values()]


def _segments(
    problem: Problem, stages: AverageStages, groups: Sequence[tuple[str, ...]]
) -> list[Segment]:
    """Stages of these groups in turn, cut so that the slowest takes as little as can be."""
    best: dict[int, tuple[float, tuple[int, ...]]] = {0: (0.0, (0,))}
    for group in groups:
        speed = fmean(stages.speed[name] for name in group)
        further: dict[int, tuple[float, tuple[int, ...]]] = {}
        for stop in range(1, len(stages.cuts)):
            ways = [
                (max(best[run.start][0], run.seconds(speed)), (*best[run.start][1], stop))
                for run in stages.ending(stop, len(group))
                if run.start in best
            ]
            if ways:
                further[stop] = min(ways)
        best = further
    cuts = [stages.cuts[place] for place in best[len(stages.cuts) - 1][1]]
    return [
        Segment(start, stop, Split("rows", group, tuple(map(problem.costs.sustained, group))))
        for (start, stop), group in zip(pairwise(cuts), groups, strict=True)
    ]
