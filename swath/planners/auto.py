"""Ours: the best cuts, splits, subsets and shares that are found, chosen by simulation.

A dynamic program weighs all cuts with very many splits (`swath.planners.searching`). Its result is
balanced: devices that others wait for get less, and the program runs again. What it finds is
simulated, with borders first and without, with reductions split and whole, and bettered change by
change (`swath.planners.bettering`) for as long as that is cheap. Where memory is scarce, weights
are given a price that rises until the plan fits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import inf

import numpy as np

from swath.graph.reductions import ReductionSplit, split_reductions
from swath.plan.compile import compile_plan
from swath.plan.memory import peak_memory
from swath.plan.plan import Plan
from swath.planners.assembling import reduction_splits
from swath.planners.bettering import Candidate, Judge, bettered
from swath.planners.fusing import Segment
from swath.planners.layouts import Layouts, Split
from swath.planners.registry import Problem
from swath.planners.searching import Search
from swath.planners.strips import Strips
from swath.planners.subsets import candidate_splits
from swath.planners.survey import must_be_whole
from swath.planners.tables import Tables
from swath.planners.whole import Whole

_ROUNDS = 2
"""How often shares are balanced."""

_RAISES = 12
"""How often the price of memory is raised before it is given up."""


class Auto:
    """No options."""

    def plan(self, problem: Problem) -> Plan:
        whole = replace(Whole().plan(problem), planner="auto")
        if must_be_whole(problem.graph, problem.costs):
            return whole
        judge = Judge("auto", problem)
        splits = candidate_splits(problem.graph, problem.costs)
        found = [_searched(judge, splits, ())]
        reductions = _reductions(problem, found[0].segments)
        if reductions:
            found.append(_searched(judge, splits, reductions))
        best = min(found, key=judge.score)
        best = min((best, replace(best, with_borders=True)), key=judge.score)
        best = bettered(judge, best, splits)
        if judge.score_of(whole) <= judge.score(best):
            if judge.score(best) == inf and judge.score_of(whole) == inf and judge.refusal:
                raise judge.refusal
            return whole
        return judge.plan(best)


def _searched(
    judge: Judge, splits: Sequence[Split], reductions: Sequence[ReductionSplit]
) -> Candidate:
    """What the dynamic program finds, its shares balanced, that fits into memory if it can."""
    costs = judge.problem.costs
    tables = Tables(Layouts(split_reductions(judge.problem.graph, reductions)), costs)
    price = np.zeros(len(tables.devices))
    for _ in range(_RAISES):
        candidate = Candidate(_balanced(tables, splits, judge, price), tuple(reductions))
        lacking = _lacking(judge.plan(candidate), tables.devices)
        if not lacking.any():
            break
        # At first a byte costs as much as reading it; what is asked is only the order of plans.
        price = np.where(lacking, np.maximum(price * 3, 1e-11), price)
    return candidate


def _balanced(
    tables: Tables, splits: Sequence[Split], judge: Judge, price: np.ndarray
) -> tuple[Segment, ...]:
    """The best stages under these splits, and under others that give less to whom the others wait
    for."""
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
    return segments


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


def _lacking(plan: Plan, devices: Sequence[str]) -> np.ndarray:
    """Which devices have too little memory for a plan."""
    limits = {device.name: device.memory for device in plan.devices if device.memory is not None}
    if not limits:
        return np.zeros(len(devices), dtype=bool)
    peaks = peak_memory(compile_plan(plan))
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
