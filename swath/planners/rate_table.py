"""Plans made beforehand for whatever rate the source's uplink may have: what is taken anew while
requests run, when its channel has become better or worse.

A rate belongs to a band. A band is an octave wide, or several, with the plan that is made for the
middle (the geometric mean of both ends) of each; neighbours with the same plan are one.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, replace
from math import inf, sqrt
from typing import Any

from swath.cluster.uplink import with_channel_rate
from swath.errors import PlanError
from swath.plan.compile import compile_plan
from swath.plan.plan import Plan
from swath.planners.choosing import choose
from swath.planners.objective import predicted_seconds
from swath.planners.registry import Problem

OCTAVES = 10

LOWEST = 125e3
HIGHEST = LOWEST * 2**OCTAVES
"""Bytes/s between which plans are made, at least: 1 and 1024 Mbit/s."""

MARGIN = 0.15
"""How far, as a share of the edge, a rate must lie beyond its band before the plan is changed."""

Range = tuple[float, float]
"""From, to: bytes/s."""


@dataclass(frozen=True, slots=True)
class Band:
    """The plan for uplinks of ``low`` to ``high`` bytes/s (``low`` included; 0 and infinite at the
    ends of a table). ``rate``: the middle of what it was made for; ``predicted``: seconds of an
    inference there."""

    low: float
    high: float
    rate: float
    plan: Plan
    predicted: float


@dataclass(frozen=True, slots=True)
class RateTable:
    """Bands for all rates, ascending, without gaps."""

    bands: tuple[Band, ...]
    margin: float = MARGIN

    def choose(self, rate: float, present: Band | None = None) -> Band:
        """The band to take at an uplink of ``rate`` bytes/s: ``present`` unless the rate lies
        clearly beyond it, so that one that trembles about an edge changes nothing."""
        if present is not None:
            leeway = 1 + self.margin
            if present.low / leeway <= rate <= present.high * leeway:
                return present
        return self.bands[bisect_right(self.bands, rate, key=_low) - 1]


def _low(band: Band) -> float:
    return band.low


def ranges_about(rate: float) -> tuple[Range, ...]:
    """Octaves, ascending from `LOWEST` to `HIGHEST`, and where ``rate`` lies beyond these one more,
    whose middle it is."""
    found = [(LOWEST * 2**octave, LOWEST * 2 ** (octave + 1)) for octave in range(OCTAVES)]
    if rate < LOWEST:
        return (rate**2 / LOWEST, LOWEST), *found
    if rate > HIGHEST:
        return *found, (HIGHEST, rate**2 / HIGHEST)
    return tuple(found)


def plan_by_rate(
    problem: Problem, ranges: Iterable[Range], planner: str | None = None, **options: Any
) -> RateTable:
    """A table of what `choose` chooses for an uplink in each of these ranges, which ascend without
    gaps; the first is taken to begin at 0, the last never to end.

    A range for which there is no plan (too slow for the deadline, say) gets that of the nearest
    faster one. Raises PlanError, the last one's, where there is none for any.
    """
    made: list[tuple[Range, Plan | None]] = []
    refusal: PlanError | None = None
    for low, high in ranges:
        try:
            choice = choose(_at(problem, sqrt(low * high)), planner, **options)
            made.append(((low, high), choice.plan))
        except PlanError as error:
            refusal = error
            made.append(((low, high), None))
    merged = _merged(made)
    if not merged:
        assert refusal is not None
        raise refusal
    bands = [_band(problem, its, plan) for its, plan in merged]
    bands[0] = replace(bands[0], low=0.0)
    bands[-1] = replace(bands[-1], high=inf)
    return RateTable(tuple(bands))


def _at(problem: Problem, rate: float) -> Problem:
    cluster = with_channel_rate(problem.costs.cluster, rate)
    return replace(problem, costs=replace(problem.costs, cluster=cluster))


def _merged(made: list[tuple[Range, Plan | None]]) -> list[tuple[Range, Plan]]:
    """Every range with a plan, the same ones of neighbours together."""
    merged: list[tuple[Range, Plan]] = []
    lowest: float | None = None
    for (low, high), plan in made:
        lowest = low if lowest is None else lowest
        if plan is None:
            continue
        if merged and _same(merged[-1][1], plan):
            lowest = merged.pop()[0][0]
        merged.append(((lowest, high), plan))
        lowest = None
    if merged and lowest is not None:  # There is none for the fastest: the next slower has to do.
        (low, _), plan = merged.pop()
        merged.append(((low, made[-1][0][1]), plan))
    return merged


def _same(one: Plan, other: Plan) -> bool:
    return compile_plan(one).version == compile_plan(other).version


def _band(problem: Problem, its: Range, plan: Plan) -> Band:
    low, high = its
    rate = sqrt(low * high)
    predicted = predicted_seconds(plan, compile_plan(plan), _at(problem, rate).costs)
    return Band(low, high, rate, plan, predicted)
