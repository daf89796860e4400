"""Shares become quotas that the kernel takes, and a machine lends no more than it has."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swath.errors import ClusterError
from swath.runtime.lab.quota_check import TICK_RATES, tick_rate
from swath.runtime.lab.quotas import (
    PHASES,
    TICK,
    quota_and_period,
    refuse_crowd,
    seats,
    shares,
)
from tests.runtime.lab.clusters import cluster


@pytest.mark.parametrize(
    ("share", "expected"),
    [
        (1.0, (28400, 28400)),
        (0.9, (25560, 28400)),
        (0.8, (6720, 8400)),
        (0.5, (4200, 8400)),
        (0.25, (2100, 8400)),
        (0.15, (1260, 8400)),
        (0.1, (1080, 10800)),
        (0.001, (1000, 1_000_000)),
        (2.5, (71000, 28400)),
        (1.5, (12600, 8400)),
    ],
)
def test_the_shortest_period_that_loses_no_refill(share, expected):
    assert quota_and_period(share) == expected


@pytest.mark.parametrize("share", [0.05, 0.1, 0.15, 0.2, 0.25, 0.4, 0.8, 1.0])
def test_grants_fall_everywhere_between_two_ticks(share):
    _, period = quota_and_period(share)
    assert {number * period % TICK for number in range(PHASES)} == set(range(0, TICK, 400))


@given(st.floats(0.001, 64.0))
def test_a_quota_is_the_share_and_long_enough(share):
    quota, period = quota_and_period(share)
    assert quota >= 1000
    assert 8400 <= period <= 1_000_000
    assert quota / period == pytest.approx(share, rel=1e-3)


@pytest.mark.parametrize(
    ("shares", "expected"),
    [
        ({"a": 0.1, "b": 1.0}, {"a": {0}, "b": {1}}),
        ({"a": 0.8, "b": 0.8}, {"a": {1}, "b": {0}}),
        ({"a": 0.25, "b": 0.25, "c": 0.5}, {name: {0, 1} for name in "abc"}),
        ({"a": 0.6, "b": 0.6, "c": 0.4}, {"a": {1}, "b": {0}, "c": {0}}),
        ({"a": 0.6, "b": 0.6, "c": 0.3, "d": 0.1}, {"a": {1}, "b": {0}, "c": {0}, "d": {0}}),
        ({"a": 1.5, "b": 0.1}, {name: {0, 1} for name in "ab"}),
    ],
)
def test_the_strongest_have_cores_to_themselves(shares, expected):
    assert seats(shares, {0, 1}) == expected


def test_devices_must_leave_something_of_the_machine():
    refuse_crowd({"a": 0.8, "b": 0.8}, 2)
    refuse_crowd({str(n): 0.2 for n in range(8)}, 2)
    with pytest.raises(ClusterError, match=r"want 1.61 cores together, .* lend 1.6 of its 2"):
        refuse_crowd({"a": 0.81, "b": 0.8}, 2)


def test_a_share_that_the_kernel_cannot_grant():
    with pytest.raises(ClusterError, match=r"device 'a': 0.0005 cores .* at least 0.001"):
        shares(cluster("a", {}, cores=0.0005))


@pytest.mark.parametrize("rate", TICK_RATES)
def test_a_tick_shows_in_when_a_process_is_stopped(rate):
    dice = random.Random(rate)
    stops, now = [], 0
    for _ in range(60):
        now += dice.choice([1, 2, 2, 3, 5])
        stops.append(now / rate + dice.uniform(0, 20e-6))
    for number in range(0, 60, 10):  # For some other reason.
        stops[number] += dice.uniform(0, 1 / rate)
    assert tick_rate(stops) == rate


def test_stops_of_no_tick_are_not_taken_for_one():
    dice = random.Random(0)
    assert tick_rate([n * 0.004 + dice.uniform(0, 0.004) for n in range(60)]) is None
    assert tick_rate([n * 0.004 for n in range(3)]) is None
