"""Ours: the best cuts, splits, subsets and shares that are found, chosen by simulation.

A dynamic program weighs all cuts with very many splits (`swath.planners.auto.searching`). Its
result is balanced: devices that others wait for get less, and the program runs again. What it finds
is simulated, with borders first and without, with reductions split and whole, and bettered change
by change (`swath.planners.auto.bettering`) for as long as that is cheap. Where memory is limited,
the program follows what every device has taken up, and looks for other ways where it is full.

Reliability is another matter: see `swath.planners.auto.reliable`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import inf

import numpy as np

from swath.cost import Costs
from swath.errors import PlanError
from swath.graph.reductions import ReductionSplit
from swath.plan.compile import compile_plan
from swath.plan.memory import peak_memory
from swath.plan.plan import Plan
from swath.planners.auto.bettering import Candidate, Judge, bettered
from swath.planners.auto.reliable import most_reliable
from swath.planners.auto.searching import Result, Rooms, Search
from swath.planners.auto.subsets import FEW_NODES, candidate_splits
from swath.planners.building.assembling import reduction_splits
from swath.planners.building.fusing import Segment
from swath.planners.building.layouts import Split
from swath.planners.building.strips import Strips
from swath.planners.building.survey import must_be_whole
from swath.planners.methods.whole import Whole
from swath.planners.objective import check_deadline, predicted_seconds
from swath.planners.registry import Problem, known_planners, make_planner

_ROUNDS = 2
"""How often shares are balanced."""

_WORTH = 0.998
"""What splitting reductions must at least come to, estimated, to be simulated."""

_FEW, _SHORT = 6, 200
"""So many devices, and so many nodes, are few (see `_is_asked`)."""

_LEFT_OUT = (
    "auto", "brute-force", "offload-brute-force", "psomw", "mw", "nfl-local", "nfl-remote",
    "nfl-bestcut",
)  # fmt: skip
"""Never asked: the referees, and who takes long on many devices to find what one server is for."""

_HIDING = (0.0, 1.0)
"""How much of borders' travel a search takes to be hidden: nothing, and all that can be. Plans of
both are simulated, for which is nearer to the truth depends on the network."""

_TRIES = 6
"""How often a search is asked for plans that fit, each time told of less memory by what its last
one lacked."""


class Auto:
    """No options."""

    def plan(self, problem: Problem) -> Plan:
        if problem.objective == "reliability":
            return replace(most_reliable(problem), planner="auto")
        if must_be_whole(problem.graph, problem.costs):
            return replace(Whole().plan(problem), planner="auto")
        judge = Judge("auto", problem)
        splits = candidate_splits(problem.graph, problem.costs)
        results = _searched(judge, splits, ())
        if not any(_is_shared(each) for each in results):
            # Shares that are still to be moved may make it better than one device.
            several = tuple(split for split in splits if len(split.devices) > 1)
            results += _searched(judge, several, ())
        found = [_candidate(each) for each in results] + _with_reductions(judge, results)
        return _best_of(judge, bettered(judge, found, splits))


def _best_of(judge: Judge, found: Candidate) -> Plan:
    """What was found, or what another planner found better. Raises PlanError where none of it can
    be."""
    best, least = judge.plan(found), judge.score(found)
    for plan in _others(judge.problem, judge.is_cramped or least == inf):
        score = judge.score_of(plan, judge.compiled(plan))
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


def _others(problem: Problem, asks_all: bool) -> Iterator[Plan]:
    """Other planners' plans: of those that are worth asking, or of all; of all, too, for other
    objectives than latency, which the search does not know."""
    asks_all = asks_all or problem.objective != "latency"
    for info in known_planners():
        is_asked = asks_all or _is_asked(info.name, problem)
        if is_asked and problem.objective in info.objectives and info.name not in _LEFT_OUT:
            with contextlib.suppress(PlanError):
                yield make_planner(info.name).plan(problem)


def _is_asked(planner: str, problem: Problem) -> bool:
    """Whether another planner may soon find a better plan for latency."""
    workers, nodes = problem.costs.cluster.workers, len(problem.graph.nodes)
    # Of few devices one that waits costs most, so what the search estimates matters most.
    is_among_few = len(workers) <= _FEW
    # In a short network it may decide which number of devices divides the rows.
    is_soon_done = nodes <= FEW_NODES
    # An auction goes by who has memory left, equal shares suit those who have equally little; split
    # by input channels, not even the second of two operators needs weights that others have too.
    is_limited = any(device.memory is not None for device in workers)
    return {
        "whole": True,
        "even": is_among_few or is_soon_done,
        "deepslicing": is_soon_done,
        "edgeci": is_among_few or is_limited,
        "dpfl": is_limited,
        "iop": (is_among_few or is_limited) and nodes <= _SHORT,  # It takes long for others.
    }.get(planner, False)


def _is_shared(result: Result) -> bool:
    return any(len(segment.split.devices) > 1 for segment in result.segments)


def _candidate(result: Result, reductions: tuple[ReductionSplit, ...] = ()) -> Candidate:
    return Candidate(result.segments, reductions, with_borders=result.hiding > 0)


def _with_reductions(judge: Judge, results: Sequence[Result]) -> list[Candidate]:
    """The best of what was found with its reductions split as its stages are, if that seems to make
    it better."""
    best = min(results, key=lambda each: judge.score(_candidate(each)))
    reductions = _reductions(judge.problem, best.segments)
    if not reductions:
        return []
    # Their shares are balanced already.
    split = _searched(judge, _splits_of([best]), reductions, rounds=0)
    return [_candidate(each, reductions) for each in split if each.seconds < _WORTH * best.seconds]


def _searched(
    judge: Judge,
    splits: tuple[Split, ...],
    reductions: tuple[ReductionSplit, ...],
    rounds: int = _ROUNDS,
) -> list[Result]:
    """What the dynamic program finds, its shares balanced, that fits into memory if it can."""
    devices = judge.tables(reductions).devices
    limits = _limits(judge.problem.costs, devices)
    anyhow = dict.fromkeys(_HIDING)
    if limits is None:
        return _balanced(judge, splits, reductions, anyhow, rounds)
    fitting: list[Result] = []
    rooms = dict.fromkeys(_HIDING, limits)
    for attempt in range(_TRIES):
        found = _balanced(judge, splits, reductions, rooms, rounds)
        if attempt == 0:
            # With less room much the same shares are good; balancing them again takes long.
            splits, rounds = tuple(dict.fromkeys((*splits, *_splits_of(found)))), 0
        rooms = {each.hiding: rooms[each.hiding] for each in found}
        for result in found:
            over = _peaks(judge, _candidate(result, reductions), devices) - limits
            if (over <= 0).all():
                fitting.append(result)
                del rooms[result.hiding]
            else:
                # What was estimated is to become less by what it was short of, and no more.
                less = np.minimum(rooms[result.hiding], result.peak - over)
                rooms[result.hiding] = np.where(over > 0, less, rooms[result.hiding])
        if not rooms:
            break
    if not fitting:
        judge.is_cramped = True
        return _balanced(judge, splits, reductions, anyhow, rounds)
    return fitting


def _balanced(
    judge: Judge,
    splits: tuple[Split, ...],
    reductions: tuple[ReductionSplit, ...],
    rooms: Rooms,
    rounds: int,
) -> list[Result]:
    """The best under these splits, and under others that give less to whom the others wait for."""
    costs = judge.problem.costs
    search = Search(judge.strips(reductions, splits), costs)
    results = {result.hiding: result for result in search.best(rooms)}
    for _ in range(rounds):
        shifted = [
            split for each in results.values() for split in _shifted(search.seconds_of(each))
        ]
        if not shifted:
            break
        several = tuple(dict.fromkeys((*_splits_of([*results.values()]), *shifted)))
        search = Search(Strips(judge.tables(reductions), several), costs)
        better = [
            result
            for result in search.best({hiding: rooms[hiding] for hiding in results})
            if result.seconds < results[result.hiding].seconds
        ]
        if not better:
            break
        results |= {result.hiding: result for result in better}
    return [*results.values()]


def _splits_of(results: Sequence[Result]) -> tuple[Split, ...]:
    return tuple(dict.fromkeys(seg.split for each in results for seg in each.segments))


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


def _limits(costs: Costs, devices: Sequence[str]) -> np.ndarray | None:
    """Bytes of memory by device; None where nobody says."""
    memory = [costs.cluster.device(name).memory for name in devices]
    if all(limit is None for limit in memory):
        return None
    return np.array([inf if limit is None else limit for limit in memory])


def _peaks(judge: Judge, candidate: Candidate, devices: Sequence[str]) -> np.ndarray:
    """Bytes of memory that a candidate takes, by device."""
    peaks = peak_memory(judge.made(candidate)[1])
    return np.array([peaks.get(name, 0) for name in devices])


def _reductions(problem: Problem, segments: Sequence[Segment]) -> tuple[ReductionSplit, ...]:
    """Reductions split as most of the stages are that split the axes reduced over."""
    nodes: dict[Split, int] = {}
    for segment in segments:
        if segment.split.mode != "channels" and len(segment.split.devices) > 1:
            nodes[segment.split] = nodes.get(segment.split, 0) + segment.stop - segment.start
    if not nodes:
        return ()
    return reduction_splits(problem.graph, max(nodes, key=lambda split: nodes[split]))
