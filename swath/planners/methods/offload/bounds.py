"""How soon ways to offload can be over: no machine is done before all that is its own.

A machine is the source, a link or a server. No way is over sooner than the sum of what its paths
take on any machine, and so on any weighted mean of machines; and for each mean the best choice of
every path can be told by itself.
"""

from __future__ import annotations

from itertools import combinations_with_replacement

import numpy as np

from swath.planners.methods.offload.timing import Least

_STEPS = 4
_MOST_WEIGHTED = 6
"""Machines; of more than that, the weights are all or nothing."""


def means(machines: int, steps: int = _STEPS) -> np.ndarray:
    """Weights of weighted means of so many machines, by row: multiples of one in so many steps."""
    if machines > _MOST_WEIGHTED:
        return np.concatenate([np.eye(machines), np.full((1, machines), 1 / machines)])
    rows = [
        np.bincount(drawn, minlength=machines)
        for drawn in combinations_with_replacement(range(machines), steps)
    ]
    return np.array(rows) / steps


def bounds_of(least: Least, servers: int) -> np.ndarray:
    """Seconds that ways take at least, by row, besides what is before and behind all paths: until
    the last path has left the source, a link and a server, the first one having come there."""
    behind = np.where((least.to >= 0) & least.is_sent, least.uplink + least.remote + least.back, 0)
    bounds = [least.local.sum(1) + behind.min(1)]
    for server in range(servers):
        is_there = least.to == server
        far = np.where(is_there, 0.0, np.inf)
        used = is_there.any(1)
        begins, ends = (far + least.local).min(1), (far + least.remote + least.back).min(1)
        spent = np.where(is_there, least.uplink, 0.0).sum(1)
        bounds.append(np.where(used, begins + spent + ends, 0.0))
        begins, ends = (far + least.local + least.uplink).min(1), (far + least.back).min(1)
        spent = np.where(is_there, least.remote, 0.0).sum(1)
        bounds.append(np.where(used, begins + spent + ends, 0.0))
    return np.asarray(np.max(bounds, axis=0))
