"""What a machine's host takes of it: counted, and not taken for the devices' own."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence

import pytest

from swath.cli.report import machine_facts
from swath.runtime.lab.conditions import (
    ATTEMPTS,
    MOST_STOLEN,
    Conditions,
    Stolen,
    least_stolen,
    stolen_seconds,
)

CORES = os.cpu_count() or 1
LENGTH = 0.02


def measuring(shares: Sequence[float]) -> tuple[Callable[[], int], Callable[[], float]]:
    """Something that takes a while, and what a host has taken: such a share of the machine at each
    attempt."""
    attempts: list[int] = []
    taken = 0.0

    def take() -> int:
        nonlocal taken
        began = time.monotonic()
        time.sleep(LENGTH)
        attempts.append(len(attempts))
        taken += shares[attempts[-1]] * (time.monotonic() - began) * CORES
        return attempts[-1]

    return take, lambda: taken


@pytest.mark.parametrize(
    ("shares", "expected"),
    [
        ([0.0], 0),
        ([MOST_STOLEN * 0.9], 0),
        ([0.8, 0.3, 0.0], 2),
        ([0.8, 0.3, 0.5, 0.6], 1),  # Never little: the one that least was taken of.
    ],
)
def test_what_much_was_stolen_of_is_measured_again(shares, expected):
    found, share = least_stolen(*measuring(shares))
    assert found == expected
    # The clock is looked at a little later than the work began.
    assert shares[expected] * 0.5 <= share <= shares[expected]


def test_it_is_given_up_after_some_attempts():
    take, seconds = measuring([0.9] * ATTEMPTS)
    assert least_stolen(take, seconds)[0] in range(ATTEMPTS)
    with pytest.raises(IndexError):
        take()  # All have been used up.


def test_the_kernel_counts_it():
    before = stolen_seconds()
    stolen = Stolen()
    time.sleep(LENGTH)
    assert 0 <= stolen.share() <= 1
    assert 0 <= before <= stolen_seconds()


def test_people_are_told_of_what_spoils_figures():
    assert machine_facts(Conditions()) == {}
    assert machine_facts(Conditions(1.02, 0.05)) == {}
    assert list(machine_facts(Conditions(1.5, 0.4))) == ["machine", "stolen"]
    assert "40% of this machine" in machine_facts(Conditions(stolen=0.4))["stolen"]
