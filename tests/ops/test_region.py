"""The algebra of boxes, against sets of index tuples."""

from __future__ import annotations

from itertools import pairwise, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swath.ops import Region, is_covered, split_by_shares, split_evenly, subtract_all

RANK = st.shared(st.integers(0, 3), key="rank")


@st.composite
def regions(draw: st.DrawFn) -> Region:
    bounds = st.tuples(st.integers(0, 5), st.integers(0, 5))
    rank = draw(RANK)
    return Region(
        (min(pair), max(pair)) for pair in draw(st.lists(bounds, min_size=rank, max_size=rank))
    )


def entries(region: Region) -> set[tuple[int, ...]]:
    return set(product(*(range(lo, hi) for lo, hi in region)))


@given(regions(), regions())
def test_subtract_leaves_disjoint_boxes_that_cover_the_difference(a: Region, b: Region) -> None:
    left = a.subtract(b)
    assert sum(box.size for box in left) == len(entries(a) - entries(b))
    assert set().union(*map(entries, left)) == entries(a) - entries(b)
    assert len(left) <= max(1, 2 * len(a))
    assert not any(box.is_empty() for box in left)


@given(regions(), regions())
def test_intersect_holds_what_both_hold(a: Region, b: Region) -> None:
    common = a.intersect(b)
    assert (set() if common is None else entries(common)) == entries(a) & entries(b)


@given(regions(), regions())
def test_hull_is_the_smallest_box_around_both(a: Region, b: Region) -> None:
    hull = a.hull(b)
    assert hull.contains(a)
    assert hull.contains(b)
    for axis, (lo, hi) in enumerate(hull):
        assert {lo, hi} == {min(a[axis][0], b[axis][0]), max(a[axis][1], b[axis][1])}


@given(regions(), regions())
def test_contains_agrees_with_the_entries(a: Region, b: Region) -> None:
    if not b.is_empty():
        assert a.contains(b) == (entries(b) <= entries(a))


@given(regions(), st.lists(regions(), max_size=4))
def test_covered_when_nothing_is_left(whole: Region, parts: list[Region]) -> None:
    left = subtract_all(whole, parts)
    taken = set().union(*map(entries, parts))
    assert sum(box.size for box in left) == len(entries(whole) - taken)
    assert is_covered(whole, parts) == (entries(whole) <= taken)


@given(regions(), regions())
def test_relative_boxes_move_back(a: Region, container: Region) -> None:
    relative = a.relative_to(container)
    assert relative.shape == a.shape
    moved = tuple(lo + base for lo, base in zip(relative.origin, container.origin, strict=True))
    assert moved == a.origin


@given(
    st.integers(1, 40),
    st.lists(st.floats(0, 10), min_size=1, max_size=6).filter(lambda shares: sum(shares) > 1e-3),
    st.integers(1, 4),
)
def test_shares_cut_everything_in_order(extent: int, shares: list[float], granularity: int) -> None:
    intervals = split_by_shares(extent, shares, granularity)
    assert len(intervals) == len(shares)
    assert intervals[0][0] == 0
    assert intervals[-1][1] == extent
    for (_, hi), (lo, _) in pairwise(intervals):
        assert hi == lo
    units = -(-extent // granularity)
    for (lo, hi), share in zip(intervals, shares, strict=True):
        assert lo <= hi
        assert lo % granularity == 0 or lo == extent
        exact = units * share / sum(shares)
        assert abs(-(-hi // granularity) - -(-lo // granularity) - exact) < 1 + 1e-6


def test_even_parts_differ_by_at_most_one() -> None:
    assert split_evenly(10, 3) == ((0, 4), (4, 7), (7, 10))
    assert split_evenly(2, 4) == ((0, 1), (1, 2), (2, 2), (2, 2))


@pytest.mark.parametrize("shares", [[0.0, 0.0], [1.0, -1.0]])
def test_impossible_shares_are_refused(shares: list[float]) -> None:
    with pytest.raises(ValueError, match="positive"):
        split_by_shares(10, shares)


def test_a_scalar_has_one_region() -> None:
    scalar = Region()
    assert scalar.size == 1
    assert not scalar.is_empty()
    assert scalar.subtract(scalar) == ()
    assert scalar.intersect(scalar) == scalar
