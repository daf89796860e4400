"""The auction finds the best assignment, within its tolerance, whatever the values are."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from swath.planners.methods.edgeci.auctions import auctioned


def squares(values):
    return st.integers(1, 7).flatmap(
        lambda count: st.lists(
            st.lists(values, min_size=count, max_size=count), min_size=count, max_size=count
        )
    )


def total(values, items):
    return sum(of_bidder[item] for of_bidder, item in zip(values, items, strict=True))


def most(values):
    bidders, items = linear_sum_assignment(np.array(values), maximize=True)
    return float(np.array(values)[bidders, items].sum())


@given(squares(st.integers(-50, 50)))
def test_of_whole_numbers_it_is_the_optimum(values):
    items = auctioned(values, 0.5)
    assert sorted(items) == list(range(len(values)))
    assert total(values, items) == most(values)


@given(squares(st.floats(-1e3, 1e3)), st.sampled_from([1e-3, 1.0, 100.0]))
def test_of_any_numbers_it_is_within_the_tolerance(values, tolerance):
    items = auctioned(values, tolerance)
    assert sorted(items) == list(range(len(values)))
    assert total(values, items) >= most(values) - tolerance - 1e-9


@pytest.mark.parametrize("count", [0, 1, 2, 30])
def test_whoever_wants_the_same_things_equally_still_gets_one_each(count):
    values = np.tile(np.arange(count), (count, 1))
    assert sorted(auctioned(values, 1e-3)) == list(range(count))


@pytest.mark.parametrize(
    ("values", "tolerance"),
    [([[1.0, 2.0]], 0.1), ([[1.0], [2.0]], 0.1), ([[np.inf]], 0.1), ([[1.0]], 0.0)],
)
def test_what_is_no_auction_is_refused(values, tolerance):
    with pytest.raises(ValueError, match="an auction"):
        auctioned(values, tolerance)
