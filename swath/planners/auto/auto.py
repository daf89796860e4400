"""Ours: the best cuts, splits, subsets and shares that are found, chosen by simulation.

A dynamic program weighs all cuts with very many splits (`swath.planners.auto.searching`). Its
result is balanced: devices that others wait for get less, and the program runs again. What it finds
is simulated, with borders first and without, with reductions split and whole, and bettered change
by change (`swath.planners.auto.bettering`) for as long as that is cheap. Where memory is scarce,
weights are given a price that rises until the plan fits.

Reliability is another matter: see `swath.planners.auto.reliable`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import inf

import numpy as np

from swath.errors import PlanError
from swath.graph.reductions import ReductionSplit, split_reductions
from swath.plan.compile import compile_plan
from swath.plan.memory import peak_memory
from swath.plan.plan import Plan
from swath.plan.program import Programs
from swath.planners.auto.bettering import Candidate, Judge, bettered
from swath.planners.auto.reliable import most_reliable
from swath.planners.auto.searching import Search
from swath.planners.auto.subsets import candidate_splits
from swath.planners.building.assembling import reduction_splits
from swath.planners.building.fusing import Segment
from swath.planners.building.layouts import Layouts, Split
from swath.planners.building.strips import Strips
from swath.planners.building.survey import must_be_whole
from swath.planners.building.tables import Tables
from swath.planners.methods.whole import Whole
from swath.planners.objective import check_deadline, predicted_seconds
from swath.planners.registry import Problem, known_planners, make_planner

_ROUNDS = 2
"""How often shares are balanced."""

_WORTH = 0.998
"""What splitting reductions must at least come to, estimated, to be simulated."""

_ALWAYS = ("whole", "even")
"""Planners whose plans are looked at whatever is asked; others only for other objectives than
latency, which the search does not know."""

_LEFT_OUT = ("auto", "brute-force")

_STARTS = 2
"""From how many plans on changes are tried."""

_RAISES = 12
"""How often the price of memory is raised before it is given up."""


class Auto:
    """No options."""

    def plan(self, problem: Problem) -> Plan:
        if problem.objective == "reliability":
            return replace(most_reliable(problem), planner="auto")
        if must_be_whole(problem.graph, problem.costs):
            return replace(Whole().plan(problem), planner="auto")
        judge = Judge("auto", problem)
        splits = candidate_splits(problem.graph, problem.costs)
        first, found = _searched(judge, splits, ())
        tried = [found]
        if not _is_shared(found):
            # Shares that are still to be moved may make it better than one device.
            several = [split for split in splits if len(split.devices) > 1]
            tried.append(_searched(judge, several, ())[1])
        reductions = _reductions(problem, tried[-1].segments)
        if reductions:
            used = tuple(dict.fromkeys(segment.split for segment in tried[-1].segments))
            seconds, split = _searched(judge, used, reductions)
            if seconds < _WORTH * first:
                tried.append(split)
        bordered = [replace(each, with_borders=True) for each in tried if _is_shared(each)]
        tried += [each for each in bordered if judge.plan(each) != judge.plan(_plain(each))]
        tried.sort(key=judge.score)
        best = min((bettered(judge, each, splits) for each in tried[:_STARTS]), key=judge.score)
        return _best_of(judge, best)


def _best_of(judge: Judge, found: Candidate) -> Plan:
    """What was found, or what another planner found better. Raises PlanError where none of it can
    be."""
    best, least = judge.plan(found), judge.score(found)
    for plan in _others(judge.problem):
        score = judge.score_of(plan, compile_plan(plan))
        if score < least:
            best, least = plan, score
    if least < inf:
        return replace(best, planner="auto")
    if judge.refusal is not None:
        raise judge.refusal
    # It is the deadline that none of them meets.
    soonest = Auto().plan(replace(judge.problem, objective="latency", deadline=None))
    seconds = predicted_seconds(soonest, compile_plan(soonest), judge.problem.costs)
    check_deadline(judge.problem, seconds)
    return soonest


def _others(problem: Problem) -> Iterator[Plan]:
    for info in known_planners():
        is_asked = info.name in _ALWAYS or problem.objective != "latency"
        if is_asked and problem.objective in info.objectives and info.name not in _LEFT_OUT:
            with contextlib.suppress(PlanError):
                yield make_planner(info.name).plan(problem)


def _plain(candidate: Candidate) -> Candidate:
    return replace(candidate, with_borders=False)


def _is_shared(candidate: Candidate) -> bool:
    return any(len(segment.split.devices) > 1 for segment in candidate.segments)


def _searched(
    judge: Judge, splits: Sequence[Split], reductions: Sequence[ReductionSplit]
) -> tuple[float, Candidate]:
    """What the dynamic program finds, its shares balanced, that fits into memory if it can; and the
    seconds that it estimates."""
    costs = judge.problem.costs
    tables = Tables(Layouts(split_reductions(judge.problem.graph, reductions)), costs)
    price = np.zeros(len(tables.devices))
    for _ in range(_RAISES):
        seconds, segments = _balanced(tables, splits, judge, price)
        candidate = Candidate(segments, tuple(reductions))
        lacking = _lacking(*judge.made(candidate), tables.devices)
        if not lacking.any():
            break
        # At first a byte costs as much as reading it; what is asked is only the order of plans.
        price = np.where(lacking, np.maximum(price * 3, 1e-11), price)
    return seconds, candidate


def _balanced(
    tables: Tables, splits: Sequence[Split], judge: Judge, price: np.ndarray
) -> tuple[float, tuple[Segment, ...]]:
    """(estimated seconds, stages): the best under these splits, and under others that give less to
    whom the others wait for."""
    search = Search(Strips(tables, splits), judge.problem.costs)
    best, segments = search.best(price)
    for _ in range(_ROUNDS):
        used = tuple(dict.fromkeys(segment.split for segment in segments))
        shifted = _shifted(search.seconds_of(segments))
        if not shifted:
            break
        search = Search(
            Strips(tables, tuple(dict.fromkeys((*used, *shifted)))), judge.problem.costs
        )
        seconds, found = search.best(price)
        if seconds >= best:
            break
        best, segments = seconds, found
    return best, segments


def _shifted(taken: Sequence[tuple[Split, np.ndarray]]) -> list[Split]:
    """Every split with its weights such that all devices would have been done at the same time, and
    half way to that. ``taken``: by stage its split and the seconds of the split's devices."""
    total: dict[Split, np.ndarray] = {}
    for split, seconds in taken:
        if len(split.devices) > 1:
            total[split] = total.get(split, 0.0) + seconds
    found = []
    for split, seconds in total.items():
        weights = np.array(split.weights)
        if (seconds > 0).all():
            for power in (0.5, 1.0):
                better = weights * (seconds.mean() / seconds) ** power
                found.append(replace(split, weights=tuple((better / better.sum()).tolist())))
    return found


def _lacking(plan: Plan, programs: Programs, devices: Sequence[str]) -> np.ndarray:
    """Which devices have too little memory for a plan."""
    limits = {device.name: device.memory for device in plan.devices if device.memory is not None}
    if not limits:
        return np.zeros(len(devices), dtype=bool)
    peaks = peak_memory(programs)
    return np.array([peaks.get(name, 0) > limits.get(name, inf) for name in devices])


def _reductions(problem: Problem, segments: Sequence[Segment]) -> tuple[ReductionSplit, ...]:
    """Reductions split as most of the stages are that split the axes reduced over."""
    nodes: dict[Split, int] = {}
    for segment in segments:
        if segment.split.mode != "channels" and len(segment.split.devices) > 1:
            nodes[segment.split] = nodes.get(segment.split, 0) + segment.stop - segment.start
    if not nodes:
        return ()
    return reduction_splits(problem.graph, max(nodes, key=lambda split: nodes[split]))
