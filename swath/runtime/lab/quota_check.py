"""Proof that quotas hold, and when the kernel looks: measured, not believed."""

from __future__ import annotations

import cmath
import math
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from swath.errors import ClusterError
from swath.runtime.cores import keep_on
from swath.runtime.lab.control_groups import ControlGroups
from swath.runtime.lab.quotas import quota_and_period

TOLERANCE = 0.05

CREDIT_SECONDS = 0.5
"""Not counted: what a quota lends after idling is spent by then."""

SHORTEST_SECONDS = 0.6

PERIODS = 20

TICKS_OF_CPU = 80
"""What is used up is seen a tick late, so a figure over this many is good to some percent."""

ATTEMPTS = 8
"""Somebody else's work on this machine may take from a share, for some seconds."""

EXCESSES = 3
"""In so many attempts, and it is no chance: where a host stops the whole virtual machine for a
moment, that counts as CPU of whoever ran."""

FEWEST_STOPS = 20

TICK_RATES = (100, 250, 300, 1000)
"""Ticks per second that Linux can be built with."""

PROBE_QUOTA, PROBE_PERIOD = 1200, 4700
"""Microseconds. No multiple of a tick, or stops would always be as far apart as the periods."""

ALIKE = 0.6
"""How much stops must have the phase of a tick in common (1: all of it)."""

_SPIN = "ulimit -t {limit}; while :; do :; done"
"""The limit ends it also where nobody else does."""

# Notes when it last ran before each pause, in nanoseconds.
_NOTE_PAUSES = """
import time
clock = time.perf_counter_ns
start = last = clock()
while last - start < 1_000_000_000:
    now = clock()
    if now - last > 500_000 and last - start > 200_000_000:
        print(last)
    last = now
"""


@dataclass(frozen=True, slots=True)
class Rationed:
    """A control group, the cores that its quota should give it, and those that it may use."""

    group: str
    share: float
    seat: frozenset[int]


def check_shares(
    groups: ControlGroups, devices: Mapping[str, Rationed], tick: float
) -> dict[str, float]:
    """Cores that each device gets while all devices want all they can have, by name; ``tick`` in
    seconds. Raises ClusterError where one of them is off by more than `TOLERANCE`."""
    excesses = 0
    for _ in range(ATTEMPTS):
        found = _shares_under_load(groups, devices, tick)
        excess = {name: found[name] / device.share - 1 for name, device in devices.items()}
        # Whoever takes more than its share makes others get less: it is the one to name.
        worst = max(excess, key=excess.__getitem__)
        if excess[worst] > TOLERANCE:
            excesses += 1
            if excesses < EXCESSES:
                continue
            raise ClusterError(
                f"device {worst!r} gets {found[worst]:.3f} cores where its quota is "
                f"{devices[worst].share:g}; was the quota changed from outside?"
            )
        worst = min(excess, key=excess.__getitem__)
        if excess[worst] >= -TOLERANCE:
            return found
    raise ClusterError(
        f"device {worst!r} gets {found[worst]:.3f} cores where its quota is "
        f"{devices[worst].share:g}; is this machine busy with something else?"
    )


def find_tick(groups: ControlGroups, group: str) -> float:
    """Seconds between two looks of the kernel at who has used up what, found with a process in a
    group of this name that is made for it.

    A process that uses up its quota is stopped at ticks alone. Raises ClusterError where its stops
    are of no tick that is known.
    """
    groups.make(group)
    try:
        groups.limit(group, PROBE_QUOTA, PROBE_PERIOD)
        for _ in range(ATTEMPTS):
            rate = tick_rate(_stops(groups, group))
            if rate is not None:
                return 1 / rate
    finally:
        groups.remove(group)
    raise ClusterError(
        "the kernel stops a process that has used up its quota at irregular times; is this "
        "machine busy with something else?"
    )


def tick_rate(stops: Sequence[float]) -> int | None:
    """The slowest of `TICK_RATES` at whose ticks a process stopped at these times, in seconds; None
    where there is none. Some stops may have other reasons."""
    if len(stops) < FEWEST_STOPS:
        return None
    for rate in TICK_RATES:
        # As hands of a clock that goes round once a tick, stops at ticks all point one way.
        hands = sum(cmath.exp(2j * cmath.pi * rate * (stop - stops[0])) for stop in stops)
        if abs(hands) >= ALIKE * len(stops):
            return rate
    return None


def _stops(groups: ControlGroups, group: str) -> list[float]:
    command = [sys.executable, "-I", "-S", "-c", _NOTE_PAUSES]
    with subprocess.Popen(command, stdout=subprocess.PIPE, process_group=0) as process:
        try:
            groups.move(process.pid, group)
            output, _ = process.communicate()
        finally:
            process.kill()
    return [int(line) * 1e-9 for line in output.split()]


def _shares_under_load(
    groups: ControlGroups, devices: Mapping[str, Rationed], tick: float
) -> dict[str, float]:
    seconds = max(_seconds(device.share, tick) for device in devices.values())
    spinners: list[subprocess.Popen[bytes]] = []
    try:
        for device in devices.values():
            limit = math.ceil((CREDIT_SECONDS + seconds) * device.share) + 5
            # One thread a core, as a worker has: more of them find what one cannot get.
            for _ in range(math.ceil(device.share)):
                command = ["/bin/sh", "-c", _SPIN.format(limit=limit)]
                spinners.append(subprocess.Popen(command, process_group=0))
                groups.move(spinners[-1].pid, device.group)
                keep_on(spinners[-1].pid, device.seat)
        time.sleep(CREDIT_SECONDS)
        before = _accounts(groups, devices)
        time.sleep(seconds)
        after = _accounts(groups, devices)
    finally:
        for spinner in spinners:
            spinner.kill()
        for spinner in spinners:
            spinner.wait()
    return {
        name: (after[name][1] - before[name][1]) / (after[name][0] - before[name][0])
        for name in devices
    }


def _seconds(share: float, tick: float) -> float:
    _, period = quota_and_period(share)
    return max(SHORTEST_SECONDS, PERIODS * period * 1e-6, TICKS_OF_CPU * tick / share)


def _accounts(
    groups: ControlGroups, devices: Mapping[str, Rationed]
) -> dict[str, tuple[float, float]]:
    """Seconds of the clock and of CPU."""
    return {
        name: (time.perf_counter(), groups.used(device.group)) for name, device in devices.items()
    }
