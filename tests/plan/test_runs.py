"""The runs of memory of a part of an array: its own bytes in their order, and few, or none."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from swath.ops import Region
from swath.plan.runs import MOST_RUNS, contiguous_runs


@st.composite
def parts(draw: st.DrawFn) -> tuple[Region, Region]:
    """(a part, the region that holds it)."""
    held = [
        (low, low + size)
        for low, size in draw(
            st.lists(st.tuples(st.integers(0, 3), st.integers(1, 6)), min_size=1, max_size=4)
        )
    ]
    part = []
    for low, high in held:
        begin = draw(st.integers(low, high - 1))
        part.append((begin, draw(st.integers(begin + 1, high))))
    return Region(part), Region(held)


@given(parts())
def test_runs_are_contiguous_and_make_up_the_part(case):
    part, held = case
    array = np.arange(held.size).reshape(held.shape)
    wanted = array[part.relative_to(held).slices()].ravel()
    runs = contiguous_runs(part, held)
    if runs is None:
        # One break at the end of each run, at least: neighbours that are not adjacent in memory.
        assert np.count_nonzero(np.diff(wanted) != 1) + 1 > MOST_RUNS
        return
    assert len(runs) <= MOST_RUNS
    assert all(array[run].flags.c_contiguous for run in runs)
    assert np.concatenate([array[run].ravel() for run in runs]).tolist() == wanted.tolist()


def test_the_rows_of_a_picture_are_one_run_per_colour():
    picture = Region([(0, 1), (0, 3), (0, 224), (0, 224)])
    assert len(contiguous_runs(picture.replace(2, (10, 50)), picture) or ()) == 3
    assert len(contiguous_runs(picture, picture) or ()) == 1
    assert contiguous_runs(picture.replace(3, (10, 50)), picture) is None
