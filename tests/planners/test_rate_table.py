"""Plans by rate band: made for each rate, merged where they are the same, and chosen from without
flapping."""

from __future__ import annotations

from itertools import pairwise
from math import inf, sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

import swath
import swath.api
from swath.cluster import Cluster, Device, Link
from swath.cluster.uplink import uplink_rate, with_channel_rate
from swath.cost import nominal_costs
from swath.errors import PlanError
from swath.plan.compile import compile_plan
from swath.planners import Problem, make_planner
from swath.planners.choosing import choose
from swath.planners.objective import predicted_seconds
from swath.planners.rate_table import (
    HIGHEST,
    LOWEST,
    MARGIN,
    Band,
    RateTable,
    plan_by_rate,
    ranges_about,
)
from swath.planners.registry import _REGISTRY, PlannerInfo, register_planner

GRAPH = swath.load("zoo:squeezenet@64x64")
CLUSTER = Cluster(
    (Device("a", gflops=1), Device("b", gflops=4)), "a", default_link=Link(12.5e6, 1e-3)
)
COSTS = nominal_costs(CLUSTER)
PROBLEM = Problem(GRAPH, COSTS)
PLAN = make_planner("whole").plan(PROBLEM)

RATES = st.floats(1e3, 1e10)
LEEWAY = 1 + MARGIN


@st.composite
def tables(draw):
    """Of one to six bands, some so narrow that their dead bands overlap."""
    inner = sorted(draw(st.lists(RATES, max_size=5, unique=True)))
    edges = [0.0, *inner, inf]
    return RateTable(tuple(Band(low, high, 1.0, PLAN, 1.0) for low, high in pairwise(edges)))


def holds(band, rate):
    return band.low <= rate < band.high


@given(tables(), RATES)
def test_every_rate_has_one_band(table, rate):
    assert holds(table.choose(rate), rate)
    assert sum(holds(band, rate) for band in table.bands) == 1


@given(tables(), st.lists(RATES, max_size=5), RATES)
def test_a_constant_rate_ends_in_its_band_at_once(table, before, rate):
    """Whatever was before: in that of the rate, or in one whose dead band it is in; and there it
    stays."""
    present = None
    for each in before:
        present = table.choose(each, present)
    first = table.choose(rate, present)
    assert holds(first, rate) or (
        first is present and first.low / LEEWAY <= rate <= first.high * LEEWAY
    )
    assert table.choose(rate, first) is first


@given(tables(), RATES, st.data())
def test_rates_about_an_edge_never_flap(table, start, data):
    """However a rate moves inside the dead band: the plan is not changed."""
    present = table.choose(start)
    least, most = max(present.low, 1e3) / LEEWAY, min(present.high, 1e10) * LEEWAY
    for rate in data.draw(st.lists(st.floats(least, most), max_size=20)):
        assert table.choose(rate, present) is present


@given(tables(), st.data())
def test_a_rate_that_trembles_by_less_than_the_margin_changes_the_plan_once(table, data):
    centre = data.draw(RATES)
    present = table.choose(data.draw(RATES))
    taken = [present]
    for factor in data.draw(st.lists(st.floats(LEEWAY**-0.5, LEEWAY**0.5), max_size=20)):
        present = table.choose(centre * factor, present)
        taken.append(present)
    assert sum(one is not other for one, other in pairwise(taken)) <= 1


@given(tables(), RATES)
def test_a_rate_clearly_beyond_its_band_changes_the_plan(table, rate):
    for present in table.bands:
        chosen = table.choose(rate, present)
        if rate > present.high * LEEWAY or rate < present.low / LEEWAY:
            assert chosen is not present and holds(chosen, rate)


@pytest.mark.parametrize("rate", [1e3, LOWEST, 12.5e6, HIGHEST, 2e9])
def test_ranges_reach_from_the_lowest_to_the_highest_and_to_the_rate(rate):
    ranges = ranges_about(rate)
    assert ranges[0][0] <= min(LOWEST, rate) and ranges[-1][1] >= max(HIGHEST, rate)
    assert all(one[1] == other[0] for one, other in pairwise(ranges))
    inside = [(low, high) for low, high in ranges if low >= LOWEST and high <= HIGHEST]
    assert len(inside) == 10
    assert all(high == 2 * low for low, high in inside)
    if len(ranges) > 10:
        (beyond,) = set(ranges) - set(inside)
        assert sqrt(beyond[0] * beyond[1]) == pytest.approx(rate)


def at(rate, deadline=None):
    return Problem(GRAPH, nominal_costs(with_channel_rate(CLUSTER, rate)), deadline=deadline)


def same(one, other):
    return compile_plan(one).version == compile_plan(other).version


def test_each_band_has_the_plan_of_its_rate_and_neighbours_differ():
    ranges = ranges_about(12.5e6)
    bands = plan_by_rate(PROBLEM, ranges, "neurosurgeon").bands
    assert (bands[0].low, bands[-1].high) == (0.0, inf)
    assert all(one.high == other.low for one, other in pairwise(bands))
    assert not any(same(one.plan, other.plan) for one, other in pairwise(bands))
    assert 2 < len(bands) < len(ranges)
    for middle in (sqrt(low * high) for low, high in ranges):
        found = RateTable(bands).choose(middle)
        assert same(found.plan, choose(at(middle), "neurosurgeon").plan)
    predicted = [band.predicted for band in bands]
    assert predicted == sorted(predicted, reverse=True), "a faster channel is no worse"
    for band in bands:
        programs = compile_plan(band.plan)
        assert band.predicted == predicted_seconds(band.plan, programs, at(band.rate).costs)


def test_one_plan_for_all_rates_is_one_band():
    (band,) = plan_by_rate(PROBLEM, ranges_about(12.5e6), "modnn").bands
    assert (band.low, band.high) == (0.0, inf)


def test_rates_without_a_plan_take_that_of_the_nearest_faster_one():
    ranges = ranges_about(12.5e6)
    first, second, *_ = plan_by_rate(PROBLEM, ranges, "neurosurgeon").bands
    slow, quick = sqrt(LOWEST * 2 * LOWEST), second.high / 2**0.5
    deadline = 1.001 * choose(at(quick), "neurosurgeon").predicted
    with pytest.raises(PlanError, match="deadline"):
        choose(at(slow, deadline), "neurosurgeon")
    late = Problem(GRAPH, COSTS, deadline=deadline)
    band = plan_by_rate(late, ranges, "neurosurgeon").bands[0]
    assert (band.low, band.high) == (0.0, second.high)
    assert same(band.plan, second.plan) and not same(band.plan, first.plan)


def test_rates_that_are_too_fast_for_a_plan_take_that_of_the_nearest_slower_one():
    class Slow:
        """Has a plan only below 8 Mbit/s."""

        def plan(self, problem):
            if uplink_rate(problem.costs.cluster) > 1e6:
                raise PlanError("too fast")
            return PLAN

    register_planner(PlannerInfo("slow", f"{__name__}:slow", ""))
    globals()["slow"] = Slow
    try:
        (band,) = plan_by_rate(PROBLEM, ranges_about(12.5e6), "slow").bands
    finally:
        del _REGISTRY["slow"]
    assert (band.low, band.high, band.plan) == (0.0, inf, PLAN)


def test_no_plan_at_any_rate_is_refused_with_the_reason():
    with pytest.raises(PlanError, match=r"deadline of 0\.001 ms is not met"):
        plan_by_rate(Problem(GRAPH, COSTS, deadline=1e-6), ranges_about(12.5e6), "neurosurgeon")


def test_progress_is_told_range_by_range():
    seen = []

    def each(ranges):
        for its in ranges:
            seen.append(its)
            yield its

    swath.api.choose_by_rate(GRAPH, COSTS, "whole", each=each)
    assert tuple(seen) == ranges_about(12.5e6)
