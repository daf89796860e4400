"""The rule by which the page on published headlines is written: what is reached, and if not, what
stands in the way; and that counting FLOPs alone counts nothing else."""

from __future__ import annotations

import pytest

from benchmarks.claims import (
    FLOPS,
    Cell,
    Claim,
    Setting,
    as_saved,
    graph_of,
    no_slower,
    of_saved,
    solved,
    verdict,
)

SMALL = Setting("squeezenet@64x64", (5.0, 5.0), 100.0, 1e-3, FLOPS)


def cell(planner: str, seconds: float, computing: float, bound: float) -> Cell:
    return Cell(SMALL, planner, seconds, computing, bound, 0.0, 0)


ALONE = cell("whole", 1.0, 1.0, 0.3)


@pytest.mark.parametrize(
    ("seconds", "computing", "bound", "told"),
    [
        (0.5, 0.4, 0.3, "is **reached** in 1 of 1 settings"),
        (0.7, 0.6, 0.55, "in 1 of 1 settings no plan of any method could"),
        (0.7, 0.6, 0.3, "in 1 of 1 settings its tiles alone take too long"),
        (0.7, 0.4, 0.3, "in 1 of 1 settings messages take what is missing"),
    ],
)
def test_what_stands_in_the_way_of_twice_as_fast(seconds, computing, bound, told):
    found = Claim(cell("dpfp", seconds, computing, bound), ALONE)
    assert told in verdict("dpfp", 2.0, [found], as_saved).sentence


def test_a_headline_is_reached_where_the_best_setting_reaches_it():
    found = [Claim(cell("dpfp", seconds, 0.2, 0.1), ALONE) for seconds in (0.6, 0.3, 0.4)]
    half = verdict("dpfp", of_saved(0.5), found, as_saved)
    assert (half.headline, half.best, half.reached) == ("50.0%", "70.0%", "2 of 3")
    assert verdict("dpfp", of_saved(0.75), found, as_saved).reached == "0 of 3"


def test_no_slower_names_the_worst():
    found = [Claim(cell("dpfp", seconds, 0.2, 0.1), ALONE) for seconds in (0.5, 1.0, 1.25)]
    told = no_slower(found)
    assert "`dpfp` is no slower than `whole` in 2 of 3 settings; least: 0.80×" in told


def test_flops_alone():
    """One device takes its FLOPs over its speed, and no plan is below the lower bound."""
    whole, split = (solved(SMALL, planner) for planner in ("whole", "dpfp"))
    assert isinstance(whole, Cell)
    assert isinstance(split, Cell)
    flops = graph_of(SMALL.model).flops
    assert whole.computing == pytest.approx(flops / 5e9)
    for each in (whole, split):
        assert 0 < each.bound <= each.seconds
        assert each.computing <= each.seconds
