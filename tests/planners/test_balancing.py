"""Shares with which all are done at the same time, or as nearly as whole entries allow."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from swath.planners.building.balancing import equal_finish, rebalanced

PACES = st.lists(st.floats(1e-4, 1e-1), min_size=1, max_size=6)


def test_who_is_twice_as_fast_gets_twice_as_much():
    assert equal_finish(30, [1.0, 0.5], [0.0, 0.0]) == (10, 20)


def test_what_is_lost_beforehand_is_made_up_for():
    assert equal_finish(30, [1.0, 1.0], [10.0, 0.0]) == (10, 20)


def test_who_takes_no_time_gets_all():
    assert equal_finish(7, [0.0, 1.0], [0.0, 0.0]) == (7, 0)


def test_who_could_not_even_finish_one_gets_none():
    assert equal_finish(10, [1.0, 1.0, 1.0], [0.0, 0.0, 50.0]) == (5, 5, 0)


@given(extent=st.integers(1, 300), paces=PACES, data=st.data())
def test_nobody_is_late_by_more_than_an_entry(extent, paces, data):
    fixed = [data.draw(st.floats(0, 0.1)) for _ in paces]
    counts = equal_finish(extent, paces, fixed)
    assert sum(counts) == extent
    ends = [f + p * n for f, p, n in zip(fixed, paces, counts, strict=True) if n]
    alone = min(f + p * extent for f, p in zip(fixed, paces, strict=True))
    assert max(ends) <= alone + max(paces) * 1.0001, "never worse than the best one alone"


@given(extent=st.integers(2, 60), paces=PACES)
def test_rebalancing_never_makes_the_slowest_slower(extent, paces):
    def seconds(counts):
        return [pace * count for pace, count in zip(paces, counts, strict=True)]

    first = tuple(extent if i == 0 else 0 for i in range(len(paces)))
    found = rebalanced(first, seconds)
    assert sum(found) == extent
    assert max(seconds(found)) <= max(seconds(first))


def test_rebalancing_ends_where_one_more_move_would_not_help():
    found = rebalanced((8, 0), lambda counts: [counts[0] * 1.0, counts[1] * 3.0])
    assert found == (6, 2)
