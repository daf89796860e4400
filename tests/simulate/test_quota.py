"""CPU rations: the share in the long run, full speed after a pause, debts paid."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swath.cost import Quota
from swath.simulate.quota import Ration

PERIODS = st.sampled_from([0.004, 0.01, 0.02, 0.1])
PHASE = st.floats(0, 1, exclude_max=True)


@settings(max_examples=60)
@given(
    share=st.floats(0.1, 0.5),
    period=PERIODS,
    ticks=st.sampled_from([1, 2, 4, 10]),
    period_phase=PHASE,
    tick_phase=PHASE,
    piece=st.floats(1e-4, 0.3),
)
def test_a_busy_device_gets_its_share(share, period, ticks, period_phase, tick_phase, piece):
    """Whatever the pieces that its work comes in, the tick included."""
    tick = period / ticks
    ration = Ration(Quota(share, period, tick), period_phase * period, tick_phase * tick)
    wall, done = 60 * period, 0.0
    while ration.time < wall:
        ration.run(ration.time, ration.time, piece)
        done += piece
    # What was granted up to now, the credit of the beginning, and at most a tick of debt.
    granted = share * ration.time
    assert granted - share * period - 1e-9 <= done <= granted + 2 * share * period + tick + 1e-9


@settings(max_examples=60)
@given(share=st.floats(0.1, 0.9), period_phase=PHASE, work=st.floats(1e-6, 0.99))
def test_work_shorter_than_a_tick_runs_at_full_speed_after_a_pause(share, period_phase, work):
    quota = Quota(share, 0.02, 0.004)
    ration = Ration(quota, period_phase * quota.period, 0.001)
    ration.run(0.0, 0.0, 0.05)
    start = ration.time + 1.0
    start += 0.001 + 0.004 - math.fmod(start, 0.004)  # A tick has just been.
    assert ration.run(start, start, work * 0.004) == pytest.approx(start + work * 0.004)


def test_what_was_overdrawn_is_paid_back():
    # Granted 1 ms every 4 ms; noticed at 4, 8, 12 ms.
    ration = Ration(Quota(0.25, 0.004, 0.004))
    # Runs 4 ms: balance 1 - 4 + 1 (at 4 ms) = -2; grants at 8 and 12 bring 0, at 16 ms 1 ms.
    assert ration.run(0.0, 0.0, 0.0045) == pytest.approx(0.0165)
    assert ration.balance == pytest.approx(0.0005)


def test_a_device_in_debt_cannot_begin():
    ration = Ration(Quota(0.25, 0.004, 0.004))
    assert ration.run(0.0, 0.0, 0.0035) == pytest.approx(0.0035)  # Overdrawn by 2.5 ms, unnoticed.
    # Grants at 4, 8 and 12 ms: -1.5, -0.5, 0.5.
    assert ration.run(0.005, 0.005, 0.0001) == pytest.approx(0.0121)


def test_nothing_is_saved_up():
    ration = Ration(Quota(0.25, 0.004, 0.001))
    start = 100.0005
    # 1 ms of credit and no more: noticed at 100.002, where 1.5 ms were used; 100.004 grants 1 ms.
    assert ration.run(start, start, 0.0016) == pytest.approx(100.0041)


def test_when_a_part_of_the_work_is_done():
    """Of 3 ms that run from 0 to 1.6, from 4 to 4.8 and from 8 ms on."""
    ration = Ration(Quota(0.25, 0.004, 0.0008))
    assert ration.run(0.0, 0.0, 0.003) == pytest.approx(0.0086)
    assert ration.after(0.0005, 0.001) == pytest.approx(0.0015)
    assert ration.after(0.0, 0.002) == pytest.approx(0.0044)
    assert ration.after(0.002, 0.0) == pytest.approx(0.004)
    assert ration.after(0.0, 0.003) == pytest.approx(ration.time)
