"""Rates that are drawn: their means against closed forms, their blocks, and the seed."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swath.cluster.channel import Gaussian, GilbertElliott, Rayleigh, Recorded
from swath.simulate.channels import draw_rates

BANDWIDTH = 1e6


def pieces(channel, until: float, seed: int = 0, name: str = "a b") -> list[tuple[float, float]]:
    """(rate, for how long) from the beginning on."""
    rates = draw_rates(channel, BANDWIDTH, seed, name)
    found, time = [], 0.0
    while time < until:
        rate, end = rates.at(time)
        assert end > time
        found.append((rate, end - time))
        time = end
    return found


def mean(found: list[tuple[float, float]]) -> float:
    return math.fsum(r * t for r, t in found) / math.fsum(t for _, t in found)


@pytest.mark.parametrize("snr", [0.1, 10.0, 1000.0])
def test_rayleigh_has_the_links_bandwidth_as_its_mean(snr):
    found = pieces(Rayleigh(snr, block=0.5), 10_000)
    assert {length for _, length in found} == {0.5}
    # Five standard errors.
    error = 5 * np.std([rate for rate, _ in found]) / math.sqrt(len(found))
    assert mean(found) == pytest.approx(BANDWIDTH, abs=error)


@pytest.mark.parametrize(("std", "least"), [(1e5, None), (1e6, 5e5), (1e6, 1e6)])
def test_gaussian_is_cut_off_below(std, least):
    found = pieces(Gaussian(std, block=1.0, least=least), 20_000)
    rates = [rate for rate, _ in found]
    bound = 1e4 if least is None else least
    assert min(rates) >= bound
    # The mean of a normal distribution truncated at `bound`.
    a = (bound - BANDWIDTH) / std
    tail = math.erfc(a / math.sqrt(2)) / 2
    expected = BANDWIDTH + std * math.exp(-a * a / 2) / math.sqrt(2 * math.pi) / tail
    assert mean(found) == pytest.approx(expected, abs=5 * np.std(rates) / math.sqrt(len(rates)))


@pytest.mark.parametrize("block", [None, 0.05])
def test_gilbert_elliott_stays_as_long_as_said(block):
    found = pieces(GilbertElliott(1e5, 2.0, 0.5, block=block), 20_000)
    assert all(one != other for (one, _), (other, _) in itertools.pairwise(found))
    for rate, stay in ((BANDWIDTH, 2.0), (1e5, 0.5)):
        stays = [length for r, length in found if r == rate]
        assert np.mean(stays) == pytest.approx(stay, abs=5 * stay / math.sqrt(len(stays)))
        if block is not None:
            blocks = np.array(stays) / block
            assert np.allclose(blocks, np.round(blocks), atol=1e-6)


def test_a_recording_repeats():
    found = pieces(Recorded((0.0, 1.0, 3.0), (10.0, 20.0, 30.0)), 9.0)
    assert found == [(10.0, 1.0), (20.0, 2.0), (30.0, 1.5)] * 2


CHANNELS = [
    Gaussian(1e5, block=0.1),
    Rayleigh(10.0, block=0.03),
    GilbertElliott(1e5, 0.2, 0.1),
    GilbertElliott(1e5, 0.2, 0.1, block=0.01),
    Recorded((0.0, 0.1, 0.3), (10.0, 20.0, 30.0)),
]


@settings(max_examples=60)
@given(
    channel=st.sampled_from(CHANNELS),
    times=st.lists(st.floats(0, 500), min_size=1, max_size=20).map(sorted),
)
def test_what_is_skipped_does_not_matter(channel, times):
    """A link that is looked at seldom has the rates of one that is looked at all the time."""
    seldom = draw_rates(channel, BANDWIDTH, 3, "a b")
    often = draw_rates(channel, BANDWIDTH, 3, "a b")
    for time in np.linspace(0, times[0], 50):
        often.at(float(time))
    for time in times:
        assert seldom.at(time) == often.at(time)


@pytest.mark.parametrize("channel", CHANNELS[:4])
def test_each_link_and_seed_has_rates_of_its_own(channel):
    assert pieces(channel, 5.0) == pieces(channel, 5.0)
    assert pieces(channel, 5.0) != pieces(channel, 5.0, seed=1)
    assert pieces(channel, 5.0) != pieces(channel, 5.0, name="b a")
