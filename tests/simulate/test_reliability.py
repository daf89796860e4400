"""How often a deadline is met: intervals that hold, rates in closed form, trials that agree."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from swath.cluster import Cluster, Link
from swath.cluster.channel import Channel, Gaussian, GilbertElliott, Rayleigh, Recorded
from swath.cost import Quota
from swath.errors import PlanError
from swath.simulate import Script
from swath.simulate.channels import draw_rates
from swath.simulate.distributions import chance_of_rate, rate_of_chance
from swath.simulate.reliability import (
    CONFIDENCE,
    LEVELS,
    latency_quantiles,
    reliability_curve,
    reliability_of,
    transfer_reliability,
    wilson_interval,
)
from swath.simulate.trials import TRIALS, run_trials, together, trial
from tests.simulate.worlds import Fixed, cluster, script

BANDWIDTH = 100.0
LONG = 1e6
"""Seconds that a rate holds: far longer than any transfer here."""

REST = 0.5
"""Seconds that computing takes after the transfer."""

CHANNELS = {
    "gaussian": Gaussian(30.0, LONG),
    "far truncated": Gaussian(50.0, LONG, mean=20.0, least=40.0),
    "rayleigh": Rayleigh(10.0, LONG),
    "gilbert": GilbertElliott(20.0, 3 * LONG, LONG),
    "recorded": Recorded((0.0, LONG, 3 * LONG, 4 * LONG), (60.0, 100.0, 30.0, 150.0)),
}


def offloading(nbytes: int = 1000) -> Script:
    """The coordinator on a sends so much to b, which computes and says so."""
    return script(
        {"b": [(REST, -1), (0.0, 1)]}, [("@", "b", nbytes, 0), ("b", "@", 0, 0)], source="a"
    )


def varying(channel: Channel | None) -> Cluster:
    made = cluster("ab", bandwidth=BANDWIDTH)
    return replace(made, default_link=Link(BANDWIDTH, 0.0, channel))


def latencies(
    channel: Channel | None, count: int, seed: int = 0, made: Script | None = None
) -> list[float]:
    trials = run_trials([made or offloading()], Fixed(varying(channel)), count, seed)
    return [found.latencies[0] for found in trials]


# Intervals


@pytest.mark.parametrize(("met", "trials"), [(8, 10), (0, 10), (10, 10), (1, 1), (990, 1000)])
def test_wilsons_interval_as_others_compute_it(met, trials):
    found = wilson_interval(np.array(met), trials)
    expected = binomtest(met, trials).proportion_ci(CONFIDENCE, method="wilson")
    assert [float(bound) for bound in found] == pytest.approx([expected.low, expected.high])


@pytest.mark.parametrize("chance", [0.5, 0.9, 0.99])
def test_intervals_hold_the_truth_as_often_as_they_promise(chance):
    met = np.random.default_rng(0).binomial(200, chance, 20_000)
    low, high = wilson_interval(met, 200)
    assert np.mean((low <= chance) & (chance <= high)) == pytest.approx(0.95, abs=0.03)


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_an_interval_holds_what_was_seen(case):
    met, trials = case
    low, high = wilson_interval(np.array(met), trials)
    assert 0.0 <= low <= met / trials <= high <= 1.0
    # Seen from the other side it is the same.
    other = wilson_interval(np.array(trials - met), trials)
    assert (1 - other[1], 1 - other[0]) == pytest.approx((float(low), float(high)))


def test_a_curve_is_the_reliability_of_every_deadline():
    times = [3.0, 1.0, 2.0, 2.0]
    curve = reliability_curve(times)
    assert curve.deadlines.tolist() == [1.0, 2.0, 3.0]
    for place, deadline in enumerate(curve.deadlines.tolist()):
        found = reliability_of(times, deadline)
        assert found.probability == curve.probabilities[place]
        assert (found.low, found.high) == (curve.lows[place], curve.highs[place])
        assert reliability_of(times, deadline - 1e-9).probability < found.probability
    assert reliability_of(times, 0.5).probability == 0.0
    assert reliability_of(times, 2.0).trials == 4


def test_quantiles_are_latencies_within_which_that_share_lies():
    times = [float(number) for number in range(1000, 0, -1)]
    found = latency_quantiles(times)
    assert list(found) == list(LEVELS)
    assert (found[0.5], found[0.99], found[0.999]) == (500.0, 990.0, 999.0)
    for level, time in found.items():
        assert reliability_of(times, time).probability >= level


# Rates


@pytest.mark.parametrize("name", CHANNELS)
@pytest.mark.parametrize("chance", [0.01, 0.3, 0.5, 0.9, 0.999])
def test_a_rate_has_its_chance(name, chance):
    channel = CHANNELS[name]
    rate = rate_of_chance(channel, BANDWIDTH, chance)
    assert chance_of_rate(channel, BANDWIDTH, rate) >= chance * (1 - 1e-9)
    assert chance_of_rate(channel, BANDWIDTH, rate * (1 + 1e-6)) < chance + 1e-9
    assert chance_of_rate(channel, BANDWIDTH, 0.0) == 1.0
    assert chance_of_rate(channel, BANDWIDTH, 1e9) == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("name", CHANNELS)
def test_rates_that_are_drawn_are_distributed_so(name):
    """At a moment that has nothing to do with the channel, over many links."""
    channel, count = CHANNELS[name], 2000
    moments = np.random.default_rng(1).uniform(0, 16 * LONG, count)
    drawn = np.array(
        [
            draw_rates(channel, BANDWIDTH, number, "a b").at(float(moment))[0]
            for number, moment in enumerate(moments)
        ]
    )
    for rate in (35.0, 60.0, 95.0, 120.0):
        expected = chance_of_rate(channel, BANDWIDTH, rate)
        error = 4 * math.sqrt(max(expected * (1 - expected), 1e-3) / count)
        assert np.mean(drawn >= rate) == pytest.approx(expected, abs=error)


# Trials


@pytest.mark.parametrize("name", CHANNELS)
def test_trials_agree_with_the_closed_form(name):
    """One transfer and a fixed time, the rate being steady meanwhile: P(bytes / rate + rest <= D)
    lies in the interval that the trials give."""
    found = latencies(CHANNELS[name], TRIALS)
    for deadline in (8.0, 11.5, 15.0, 22.0, 40.0):
        said = reliability_of(found, deadline)
        expected = transfer_reliability(CHANNELS[name], BANDWIDTH, 1000, REST, deadline)
        # Of so many intervals at 95 % some would miss it by chance, but none by so much.
        slack = (said.high - said.low) / 2
        assert said.low - slack <= expected <= said.high + slack, (deadline, said, expected)


def test_the_closed_form_where_there_is_nothing_to_wait_for():
    channel = CHANNELS["gaussian"]
    assert transfer_reliability(channel, BANDWIDTH, 0, REST, REST) == 1.0
    assert transfer_reliability(channel, BANDWIDTH, 0, REST, REST / 2) == 0.0
    assert transfer_reliability(channel, BANDWIDTH, 10, REST, REST) == 0.0
    # Half of the rates of a normal distribution are above its mean.
    mean = transfer_reliability(Gaussian(10.0, LONG), BANDWIDTH, 1000, REST, 10.0 + REST)
    assert mean == pytest.approx(0.5, abs=1e-6)


def test_a_seed_gives_the_same_trials_however_many():
    channel = Rayleigh(10.0, 2.0)
    found = latencies(channel, 30, seed=5)
    assert latencies(channel, 30, seed=5) == found
    assert latencies(channel, 10, seed=5) == found[:10]
    assert latencies(channel, 30, seed=6) != found
    assert len(set(found)) == 30, "each is on a channel of its own"


def test_plans_are_tried_at_the_same_moments():
    channel = GilbertElliott(10.0, 5.0, 5.0)
    more, less = (latencies(channel, 100, made=offloading(n)) for n in (1000, 900))
    assert all(one < other for one, other in zip(less, more, strict=True))


def test_a_recording_is_met_anywhere():
    """A transfer of an instant sees a rate for its share of the time."""
    channel = Recorded((0.0, 30.0, 35.0, 60.0), (100.0, 10.0, 100.0, 100.0))
    found = latencies(channel, 1000, made=offloading(1))
    share = np.mean(np.array(found) > REST + 0.05)
    assert share == pytest.approx(5 / 80, abs=5 * math.sqrt(5 / 80 / 1000))


def test_what_is_certain_is_the_same_in_every_trial():
    found = list(run_trials([offloading()], Fixed(varying(None)), 50))
    assert len(found) == 50
    assert {each.latencies for each in found} == {(10.0 + REST,)}


def test_phases_of_a_quota_are_chance_too():
    costs = Fixed(varying(None), quotas={"b": Quota(0.5, 0.1, 0.004)})
    found = [each.latencies[0] for each in run_trials([offloading()], costs, 50)]
    assert len(set(found)) > 10
    assert 10.0 + REST < min(found) <= max(found) < 10.0 + 2 * REST + 0.2


def test_of_several_plans_each_trial_takes_one():
    small, large = offloading(100), offloading(1000)
    costs = Fixed(varying(None))
    found = [each.latencies[0] for each in run_trials([small, large], costs, 400)]
    counts = [found.count(1.0 + REST), found.count(10.0 + REST)]
    assert sum(counts) == 400
    assert min(counts) > 150


def test_trials_together_are_as_if_one_came_after_the_other():
    costs = Fixed(varying(Rayleigh(10.0, 2.0)))
    parts = [trial(offloading(), costs, number) for number in range(3)]
    whole = together(iter(parts))
    assert whole.latencies == tuple(part.latencies[0] for part in parts)
    assert whole.makespan == pytest.approx(sum(whole.latencies))
    assert whole.ends == pytest.approx(tuple(itertools.accumulate(whole.latencies)))
    assert whole.busy == pytest.approx({"a": 0.0, "b": 3 * REST})
    assert whole.energy["a"] == pytest.approx(2.0 * whole.makespan)
    assert whole.energy["b"] == pytest.approx(2.0 * whole.makespan + 3.0 * 3 * REST)
    assert whole.bytes_moved == 3000


def test_a_recording_that_is_shorter_than_a_trial_is_refused():
    short = Recorded((0.0, 1.0, 2.0), (100.0, 50.0, 100.0))
    with pytest.raises(PlanError) as error:
        latencies(short, 5)
    said = str(error.value)
    assert "the recorded channel from 'a' to 'b' lasts 3 s" in said
    assert "give a longer recording" in said
    # Who does not use it does not mind.
    alone = script({"a": [(5.0, -1), (0.0, 1)]}, [("@", "a", 10, 0), ("a", "@", 0, 0)])
    assert len(latencies(short, 5, made=alone)) == 5
