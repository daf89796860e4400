"""When requests come: at the rate that was asked for, in the pattern that was asked for."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swath.workload.arrivals import arrival_times, offer
from swath.workload.workload import Bursty, Diurnal, Poisson, Recorded, Workload
from tests.workload.grounds import service

KINDS = (
    Poisson(),
    Bursty(on=0.5, off=1.0),
    Diurnal(period=20.0, low=0.2),
    Recorded((0.0, 0.1, 0.2, 1.0), 2.0),
)
SECONDS = 20_000.0


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: type(kind).__name__)
def test_every_kind_has_the_rate_that_was_asked_for(kind):
    """Within five standard errors of what is the burstiest of them."""
    times = arrival_times(service(rate=2.0, arrivals=kind), SECONDS, seed=3)
    assert len(times) / SECONDS == pytest.approx(2.0, rel=0.04)


@settings(max_examples=60)
@given(
    kind=st.sampled_from(KINDS),
    rate=st.floats(0, 50),
    seconds=st.floats(0.01, 100),
    scale=st.floats(0, 4),
    seed=st.integers(0, 10**6),
)
def test_times_ascend_and_stay_within(kind, rate, seconds, scale, seed):
    times = arrival_times(service(rate=rate, arrivals=kind), seconds, seed, scale)
    assert (np.diff(times) >= 0).all()
    assert ((times >= 0) & (times < seconds)).all() or (times == seconds).any()
    assert rate * scale or not len(times)


def test_poisson_gaps_are_memoryless():
    """Their standard deviation is their mean."""
    gaps = np.diff(arrival_times(service(rate=5.0), SECONDS))
    assert gaps.std() == pytest.approx(gaps.mean(), rel=0.03)


def test_bursts_come_when_they_are_on_and_only_then():
    """On a third of the time, at three times the rate: counts over a second vary by far more than a
    Poisson process's, whose variance is its mean."""
    times = arrival_times(service(rate=3.0, arrivals=Bursty(on=5.0, off=10.0)), SECONDS)
    counts = np.histogram(times, np.arange(0, SECONDS + 1))[0]
    assert counts.var() > 4 * counts.mean()
    quiet = (counts == 0).mean()
    assert 0.5 < quiet < 0.75, "off for two thirds of the time, each turn cut by whole seconds"


def test_a_day_has_its_night():
    times = arrival_times(service(rate=10.0, arrivals=Diurnal(100.0, low=0.25)), SECONDS)
    hours = np.histogram(times % 100.0, 10, (0, 100))[0]
    assert hours.argmin() in (0, 9)
    assert hours.argmax() in (4, 5)
    assert hours.min() / hours.max() == pytest.approx(0.27, abs=0.04), "0.25 at the very ends"


def test_what_was_recorded_is_played_faster_for_a_higher_rate():
    recorded = Recorded((0.0, 0.5, 3.0), 4.0)
    as_it_was = arrival_times(service(rate=0.75, arrivals=recorded), 8.0)
    assert as_it_was == pytest.approx([0.0, 0.5, 3.0, 4.0, 4.5, 7.0])
    assert arrival_times(service(rate=1.5, arrivals=recorded), 4.0) == pytest.approx(as_it_was / 2)


def test_the_seed_decides_and_services_do_not_disturb_each_other():
    first, second = service("a", 2.0), service("b", 3.0)
    both = offer(Workload([first, second]), 50.0, seed=7)
    assert (both.times[both.services == 0] == arrival_times(first, 50.0, seed=7)).all()
    alone = offer(Workload([second]), 50.0, seed=7)
    assert (both.times[both.services == 1] == alone.times).all()
    assert (np.diff(both.times) >= 0).all()
    assert len(offer(Workload([first, second]), 50.0, seed=8).times) != len(both.times)


def test_nobody_comes_at_no_rate():
    assert not len(offer(Workload([service(rate=0.0)]), 10.0).times)
