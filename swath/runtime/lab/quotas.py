"""How much CPU each device of a lab has, on which cores, and the quotas that give it that."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping

from swath.cluster import Cluster
from swath.errors import ClusterError

DEFAULT_SHARE = 1.0
"""Cores of a device that does not say."""

FREE_CORES = 0.4
"""What all devices together leave of this machine: for the kernel, the network and the rest."""

SHORTEST_QUOTA = 1000
"""Microseconds: the kernel grants none that is shorter."""

TICK = 4000
"""Microseconds between the kernel's looks at who has used up what: on most 250 a second."""

TICKS = 2
"""That end within every period, at least, or refills are lost. Measured with one thread on a core
that is kept awake, of the share that was meant: 0.67 at a period of 2 ms, 0.78 to 0.94 at 4 to 6
ms, all from 8 ms on (on a core that may sleep: 0.85 at 2 ms, all from 4 ms on)."""

CROWDING = 0.5
"""Cores of a device above which it wants a core to itself: on one that it shares it waits for
others, where its quota would have it wait for nobody. Those below are stopped most of the time, and
come past each other best where any of them may use any core."""

BUSY, BUSY_TICKS = 0.8, 7
"""A thread whose share of its core is larger than this gets little rest in which to make up for a
refill that came before the last one was seen to be used up; so many ticks a period, and it gets all
but a hundredth of its share (at two: 0.95 of 0.9, and of a whole core)."""

PHASES = 10
"""Grants fall into so many places between two ticks, in turn. If a period were a tick, or a simple
fraction of some, a device would be stopped ever in the same places, and how often would be up to
chance (measured at a period of 4 ms: every 1.3 to 3.9 ms of CPU, from one lab to the next)."""

LONGEST_PERIOD = 1_000_000
"""Microseconds: what the kernel takes at most."""


def shares(cluster: Cluster) -> dict[str, float]:
    """Cores of each device, by name. Raises ClusterError where this machine has too few."""
    wanted = {device.name: device.cores or DEFAULT_SHARE for device in cluster.devices}
    for name, share in wanted.items():
        if share * LONGEST_PERIOD < SHORTEST_QUOTA:
            raise ClusterError(
                f"device {name!r}: {share:g} cores are less than the kernel can grant; "
                f"give it at least {SHORTEST_QUOTA / LONGEST_PERIOD:g}"
            )
    refuse_crowd(wanted, len(os.sched_getaffinity(0)))
    return wanted


def refuse_crowd(wanted: Mapping[str, float], cores: int) -> None:
    """Raises ClusterError where shares do not leave `FREE_CORES` of this many cores."""
    total = sum(wanted.values())
    if total > cores - FREE_CORES + 1e-9:
        raise ClusterError(
            f"the devices want {total:g} cores together, and this machine can lend "
            f"{cores - FREE_CORES:g} of its {cores}; give them smaller 'cores' "
            f"(without, a device has {DEFAULT_SHARE:g})"
        )


def seats(shares: Mapping[str, float], cores: Iterable[int]) -> dict[str, frozenset[int]]:
    """The cores of each device, by name: the strongest have one to themselves as long as there is
    enough for the others, who share the rest.

    The kernel lets a stopped process go on where it was, though somebody else is at work there and
    the next core is idle, and sees it ticks later: a tile of 5 ms took 9 on a device of a whole
    core, beside one of a tenth.
    """
    free, rest = sorted(cores), sum(shares.values())
    found: dict[str, frozenset[int]] = {}
    wanting = [name for name, share in shares.items() if CROWDING < share <= 1]
    for name in sorted(wanting, key=lambda name: -shares[name]):
        rest -= shares[name]
        if rest > len(free) - 1 + 1e-9:
            break
        found[name] = frozenset({free.pop()})
    return {name: found.get(name, frozenset(free)) for name in shares}


def quota_and_period(share: float) -> tuple[int, int]:
    """Microseconds of CPU, and of the period in which they are granted: the shortest period whose
    quota the kernel takes, in which no refill is lost, and which is out of step with ticks."""
    step = TICK // PHASES
    ticks = TICKS if share / math.ceil(share) <= BUSY else BUSY_TICKS
    steps = max(ticks * PHASES + 1, math.ceil(SHORTEST_QUOTA / share / step - 1e-9))
    while math.gcd(steps, PHASES) > 1:
        steps += 1
    period = min(steps * step, LONGEST_PERIOD)
    return max(SHORTEST_QUOTA, round(share * period)), period
