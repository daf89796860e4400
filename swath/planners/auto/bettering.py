"""Plans as a search sees them, judged by simulation and bettered change by change."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import islice, pairwise
from math import inf

from swath.errors import PlanError
from swath.graph.reductions import ReductionSplit, split_reductions
from swath.plan.compile import compile_plan, sketch_plan
from swath.plan.plan import Plan
from swath.plan.program import Programs
from swath.plan.validate import validate_memory
from swath.planners.building.assembling import assemble
from swath.planners.building.borders import borders_first
from swath.planners.building.fusing import Segment, candidate_cuts
from swath.planners.building.layouts import MODES, Layouts, Split
from swath.planners.building.strips import Strips
from swath.planners.building.tables import Tables
from swath.planners.objective import score
from swath.planners.registry import Problem

_KEPT = 64
"""Candidates whose plans and programs are kept."""

_SEARCHES = 4
"""Sets of splits whose strips are kept."""

_MOST = 600
_WORK = 3_000
"""Changes are tried until their number times that of all tiles' nodes comes to this, but not more
than `_MOST`: judging them takes some tenths of a second."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A plan in a few words. ``with_borders``: tiles that others wait for are cut, their borders
    computed first; ``leader``: as in `assemble`."""

    segments: tuple[Segment, ...]
    reductions: tuple[ReductionSplit, ...] = ()
    with_borders: bool = False
    leader: str | None = None


class Judge:
    """Candidates for one problem: their plans, and how good those are. ``is_cramped``: some of them
    took more memory than there is, so that what fits may be far from good."""

    def __init__(self, planner: str, problem: Problem) -> None:
        self.problem = problem
        self.refusal: PlanError | None = None
        self.is_cramped = False
        self._planner = planner
        self._layouts = lru_cache(maxsize=None)(
            lambda reductions: Layouts(split_reductions(problem.graph, reductions))
        )
        self.tables = lru_cache(maxsize=None)(
            lambda reductions: Tables(self._layouts(reductions), problem.costs)
        )
        self.strips = lru_cache(maxsize=_SEARCHES)(
            lambda reductions, splits: Strips(self.tables(reductions), splits)
        )
        self.made = lru_cache(maxsize=_KEPT)(self._made)
        self.score = lru_cache(maxsize=None)(self._score)

    def plan(self, candidate: Candidate) -> Plan:
        """A candidate's plan."""
        return self.made(candidate)[0]

    def _made(self, candidate: Candidate) -> tuple[Plan, Programs]:
        plan = self._assembled(candidate)
        return plan, self.compiled(plan)

    def _assembled(self, candidate: Candidate) -> Plan:
        layouts = self._layouts(candidate.reductions)
        plan = assemble(
            self._planner, self.problem, layouts, candidate.segments, candidate.reductions,
            candidate.leader,
        )  # fmt: skip
        return (
            borders_first(plan, layouts.graph, self.problem.costs)
            if candidate.with_borders
            else plan
        )

    def compiled(self, plan: Plan) -> Programs:
        """All that is looked at of a plan's programs: who has memory enough tells no sketch."""
        is_limited = any(device.memory is not None for device in plan.devices)
        return compile_plan(plan) if is_limited else sketch_plan(plan)

    def _score(self, candidate: Candidate) -> float:
        return self.score_of(*self.made(candidate))

    def score_of(self, plan: Plan, programs: Programs) -> float:
        """As `objective.score`; infinite where a device has too little memory (`refusal` says which
        and how much it lacks)."""
        try:
            validate_memory(plan, programs)
        except PlanError as error:
            self.refusal = error
            return inf
        return score(self.problem, plan, programs)

    def graph_cuts(self, candidate: Candidate) -> tuple[int, ...]:
        """Where its stages may begin."""
        return candidate_cuts(self._layouts(candidate.reductions).graph)


def bettered(judge: Judge, found: Sequence[Candidate], splits: Sequence[Split]) -> Candidate:
    """The best that changes make of what was found: the best of it with every change that made it
    better, until none of those that are tried does; then the next, for as long as simulating all
    these has not taken too long."""
    best, *others = sorted(dict.fromkeys(found), key=judge.score)
    others += [replace(each, with_borders=not each.with_borders) for each in (best, *others)]
    plan = judge.plan(best)
    nodes = {stage.name: len(stage.nodes) for stage in plan.stages}
    left = min(_MOST, _WORK // max(1, sum(nodes[tile.stage] for tile in plan.tiles)))
    best, left = _bettered(judge, best, splits, left)
    for other in others:
        if left:
            changed, left = _bettered(judge, other, splits, left)
            best = min(best, changed, key=judge.score)
    return best


def _bettered(
    judge: Judge, candidate: Candidate, splits: Sequence[Split], left: int
) -> tuple[Candidate, int]:
    """A candidate with so many changes tried at most, and how many are left to be tried."""
    place, helped = 0, False
    while left:
        # What comes after a change that helped is tried of the changed one: then all over again.
        changed = next(islice(_changes(judge, candidate, splits), place, None), None)
        if changed is None:
            if not helped:
                break
            place, helped = 0, False
            continue
        left -= 1
        place += 1
        if judge.score(changed) < judge.score(candidate):
            candidate, helped = changed, True
    return candidate, left


def _changes(judge: Judge, candidate: Candidate, splits: Sequence[Split]) -> Iterator[Candidate]:
    """All candidates that are one change away: the most promising first."""
    segments = candidate.segments
    yield replace(candidate, with_borders=not candidate.with_borders)

    def put(start: int, stop: int, *new: Segment) -> Candidate:
        return replace(candidate, segments=(*segments[:start], *new, *segments[stop:]))

    for place, (one, other) in enumerate(pairwise(segments)):
        for split in dict.fromkeys((one.split, other.split)):
            yield put(place, place + 2, Segment(one.start, other.stop, split))
    cuts = judge.graph_cuts(candidate)
    for place, (one, other) in enumerate(pairwise(segments)):
        at = cuts.index(other.start)
        for cut in (cuts[at - 1], cuts[at + 1]):
            if one.start < cut < other.stop:
                yield put(place, place + 2, replace(one, stop=cut), replace(other, start=cut))
    for common in dict.fromkeys(segment.split for segment in segments):
        for split in (*_moved_shares(common, 0.1), *_moved_shares(common, 0.03)):
            moved = (replace(s, split=split) if s.split == common else s for s in segments)
            yield replace(candidate, segments=tuple(moved))
    for place, segment in enumerate(segments):
        for split in (*_moved_shares(segment.split, 0.1), *_swapped(segment.split)):
            yield put(place, place + 1, replace(segment, split=split))
    for place, segment in enumerate(segments):
        others = (replace(segment.split, mode=mode) for mode in MODES)
        for split in dict.fromkeys((*others, *splits)):
            if split != segment.split and (len(split.devices) > 1 or split in splits):
                yield put(place, place + 1, replace(segment, split=split))
    for place, segment in enumerate(segments):
        for cut in cuts:
            if segment.start < cut < segment.stop:
                parts = replace(segment, stop=cut), replace(segment, start=cut)
                yield put(place, place + 1, *parts)
    for place, segment in enumerate(segments):
        for split in _moved_shares(segment.split, 0.03):
            yield put(place, place + 1, replace(segment, split=split))
    for place, segment in enumerate(segments):
        if len(segment.split.devices) == 2:
            # Who is served first can do more: neither change alone may be any better.
            for swapped in _swapped(segment.split):
                for split in _moved_shares(swapped, 0.1):
                    yield put(place, place + 1, replace(segment, split=split))
    if len(judge.plan(candidate).devices_used) > 2:
        leader = judge.problem.costs.cluster.source if candidate.leader is None else None
        if leader is None or leader in judge.plan(candidate).devices_used:
            yield replace(candidate, leader=leader)


def _moved_shares(split: Split, part: float) -> Iterator[Split]:
    """The split with a part of one device's share given to another."""
    weights = split.weights
    for giver in range(len(weights)):
        for taker in range(len(weights)):
            if giver != taker:
                moved = weights[giver] * part
                changed = list(weights)
                changed[giver] -= moved
                changed[taker] += moved
                yield replace(split, weights=tuple(changed))


def _swapped(split: Split) -> Iterator[Split]:
    """The split with two neighbours in each other's place."""
    for place in range(len(split.devices) - 1):
        order = [*range(len(split.devices))]
        order[place : place + 2] = place + 1, place
        yield replace(
            split,
            devices=tuple(split.devices[each] for each in order),
            weights=tuple(split.weights[each] for each in order),
        )
