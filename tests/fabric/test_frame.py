"""Headers: what they say comes back, and what no header of ours says is refused."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swath.fabric.frame import (
    FRAME_BYTES,
    LEAST_WEIGHT,
    MOST_WEIGHT,
    Frame,
    Kind,
    Turn,
    unpack_frame,
)

VERSION = "0123456789abcdef" * 2


@given(st.sampled_from(Kind), st.integers(0, 255), st.floats(LEAST_WEIGHT, MOST_WEIGHT))
def test_weights_come_back_to_three_digits(kind, flow, weight):
    head = Frame(kind, 7, 8, VERSION, 9, Turn(flow, weight)).pack(3)
    assert len(head) == FRAME_BYTES
    frame, place = unpack_frame(head)
    assert frame._replace(turn=Turn()) == Frame(kind, 7, 8, VERSION, 9)
    assert place == 3
    assert frame.turn.flow == flow
    assert frame.turn.weight == pytest.approx(weight, rel=2e-3)


@pytest.mark.parametrize("weight", [0.0, -1.0, math.inf, math.nan])
def test_weights_that_are_none_are_refused(weight):
    head = Frame(Kind.DATA, 7, 8, VERSION, 9, Turn(0, weight)).pack()
    with pytest.raises(ValueError, match="foreign"):
        unpack_frame(head)
