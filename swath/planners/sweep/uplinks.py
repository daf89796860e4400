"""What planners of `swath.planners.methods.offload` offer, and how that changes with the uplink."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import sqrt
from typing import Any

import numpy as np

from swath.cluster.uplink import with_uplink_rate
from swath.errors import PlanError
from swath.plan.plan import Plan
from swath.planners.choosing import choose
from swath.planners.comparing import Refusal
from swath.planners.methods.offload.reading import OffloadedWay, way_of
from swath.planners.registry import Problem

Asked = Mapping[str, Mapping[str, Any]]
"""Planners by name, and the options of each."""


@dataclass(frozen=True, slots=True)
class Offer:
    """A plan, the way that it goes, and the seconds of an inference that are predicted of it."""

    plan: Plan
    way: OffloadedWay
    predicted: float


Offers = Mapping[str, Offer | Refusal]
"""By planner, in the order in which they were asked."""


@dataclass(frozen=True, slots=True)
class UplinkPoint:
    """``rate``: bytes/s of the uplink."""

    rate: float
    offers: Offers


@dataclass(frozen=True, slots=True)
class Change:
    """A planner goes another ``way`` from about ``rate`` (bytes/s) on, the middle of two that were
    tried. ``is_small``: the block, how many paths and who computes the rest are as before."""

    rate: float
    way: OffloadedWay
    is_small: bool


def offer(problem: Problem, planner: str, **options: Any) -> Offer:
    """What a planner makes of a problem; raises PlanError."""
    choice = choose(problem, planner, **options)
    return Offer(choice.plan, way_of(choice.plan), choice.predicted)


def offers(problem: Problem, asked: Asked) -> Offers:
    """What each planner makes of a problem."""
    found: dict[str, Offer | Refusal] = {}
    for planner, options in asked.items():
        try:
            found[planner] = offer(problem, planner, **options)
        except PlanError as error:
            found[planner] = Refusal(str(error))
    return found


def log_spaced(least: float, most: float, count: int) -> list[float]:
    """So many rates from the least to the most, each the same number of times the one before."""
    return [float(rate) for rate in np.geomspace(least, most, count)]


def over_uplinks(problem: Problem, rates: Sequence[float], asked: Asked) -> Iterator[UplinkPoint]:
    """Every planner at every rate (bytes/s) of the uplink, rate by rate."""
    costs = problem.costs
    for rate in rates:
        there = replace(costs, cluster=with_uplink_rate(costs.cluster, rate))
        yield UplinkPoint(rate, offers(replace(problem, costs=there), asked))


def changes(points: Sequence[UplinkPoint], planner: str) -> list[Change]:
    """Where the planner changes its way, from the lowest rate on."""
    ways = [
        (point.rate, found.way)
        for point in points
        if isinstance(found := point.offers[planner], Offer)
    ]
    return [
        Change(sqrt(rate * next_rate), after, _kind(before) == _kind(after))
        for (rate, before), (next_rate, after) in pairwise(ways)
        if before != after
    ]


def _kind(way: OffloadedWay) -> tuple[str, int, str | None]:
    return way.block, len(way.paths), way.rest
