"""How soon ways to offload can be over: no machine is done before all that is its own.

A machine is the source, a link or a server. No way is over sooner than the sum of what its paths
take on any machine, and so on any weighted mean of machines; and for each mean the best choice of
every path can be told by itself. That is so because somebody waits for every path that the source
has begun: ways where a path brings nothing that was not sent before are not looked for.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from itertools import combinations_with_replacement

import numpy as np

from swath.planners.methods.offload.parties import SOURCE
from swath.planners.methods.offload.timing.places import side_by_side
from swath.planners.methods.offload.timing.timing import Timing
from swath.planners.methods.offload.ways import Ways

_STEPS = 4
_MOST_WEIGHTED = 6
"""Machines; of more than that, the weights are all or nothing."""


@dataclass(frozen=True, slots=True)
class Least:
    """What paths take at least, whatever their order and wherever others are cut, by row and path.

    Seconds of the source (``local``; the last of them ``writing`` what leaves meanwhile), of their
    link (``uplink``), of their server (``remote``); what neighbours need too is counted once. Of a
    path that is sent last: until it is ``there`` after it was written, ``served``, and ``back``
    with who computes the rest. The server they go ``to`` (-1: none), and
    whether the source has begun them (``is_begun``).
    """

    local: np.ndarray
    writing: np.ndarray
    uplink: np.ndarray
    remote: np.ndarray
    there: np.ndarray
    served: np.ndarray
    back: np.ndarray
    to: np.ndarray
    is_begun: np.ndarray

    def of(self, row: np.ndarray, path: np.ndarray) -> Least:
        """Some of them."""
        return Least(*(getattr(self, each.name)[row, path] for each in fields(self)))

    def machines(self, servers: int, is_radio: bool) -> np.ndarray:
        """Seconds of each machine by row, path and machine: the source, the links (on a radio
        channel all links are one), the servers."""
        there = [self.to == server for server in range(servers)]
        links = [np.ones_like(self.to, dtype=bool)] if is_radio else there
        return np.stack(
            [
                self.local,
                *(np.where(is_there, self.uplink, 0.0) for is_there in links),
                *(np.where(is_there, self.remote, 0.0) for is_there in there),
            ],
            axis=-1,
        )


def least_of(timing: Timing, ways: Ways) -> Least:
    """What the paths of ways take at least."""
    parties, loads = timing.parties, timing.loads
    places = side_by_side(timing.paths.blocks, ways)
    to, rest = places.goes_to, ways.rest[:, None]
    is_last = (timing.paths.blocks.ends[ways.block] == timing.paths.blocks.last)[:, None]
    returns = places.is_finished & (~places.for_rest | is_last)
    whole = loads.whole.take(places.at)
    nbytes = loads.sent(loads.carried, places)
    alone = loads.received(loads.alone, places)
    written = parties.sending.per_byte
    writing = np.where(places.is_raw, 0.0, nbytes) * written[SOURCE]
    served = loads.remote(parties, places) + np.where(
        returns, parties.sending.seconds(to, whole), 0.0
    )
    return Least(
        loads.local(places) + writing,
        writing,
        nbytes / parties.uplinks[to],
        served + parties.receiving.per_byte[to] * nbytes,
        np.where(to >= 0, alone * _longer(parties.uplinks[to], written[SOURCE]), 0.0),
        served,
        np.where(
            returns,
            whole * _longer(parties.rates[to, rest], written[to]) + parties.latency[to, rest],
            0.0,
        ),
        to,
        places.is_begun,
    )


def _longer(rate: np.ndarray, written: np.ndarray) -> np.ndarray:
    """Seconds that a byte leaves after it was written, at so many bytes/s, where writing one takes
    so many seconds."""
    return np.asarray(np.maximum(1 / rate - written, 0.0))


def besides(timing: Timing, ways: Ways) -> np.ndarray:
    """Seconds before the first and behind the last path, at least, by row."""
    parties, rest = timing.parties, ways.rest
    begins = parties.request + parties.sending.least
    ends = parties.receiving.least + parties.request
    behind = parties.tile[rest] + timing.rest[rest, ways.block]
    behind += parties.sending.seconds(rest, 0, rest == SOURCE)
    behind += timing.result / parties.rates[rest, SOURCE] + parties.latency[rest, SOURCE]
    is_last = timing.paths.blocks.ends[ways.block] == timing.paths.blocks.last
    return np.asarray(begins + np.where(is_last, 0.0, behind) + ends)


def soonest_ends(timing: Timing, ways: Ways) -> np.ndarray:
    """Seconds before which no order of their paths is over, by row."""
    least = least_of(timing, ways)
    return np.asarray(bounds_of(least, timing.parties.servers) + besides(timing, ways))


def bounds_of(least: Least, servers: int) -> np.ndarray:
    """Seconds that ways take at least, by row, besides what is before and behind all paths: until
    the last path has left the source, a link and a server, the first one having come there."""
    # By path and row: so NumPy takes the least, and adds up, row beside row.
    local, writing, uplink, remote, there, served, back, to, is_begun = (
        np.ascontiguousarray(getattr(least, each.name).T) for each in fields(least)
    )
    ends = served + back
    last = np.where(is_begun, np.where((to >= 0) & (there > 0), there + ends, 0.0), np.inf).min(0)
    bound = local.sum(0) + np.where(np.isfinite(last), last, 0.0)
    for server in range(servers):
        is_there = to == server
        far = np.where(is_there, 0.0, np.inf)
        on_link = (far + local - writing).min(0) + (uplink * is_there).sum(0) + (far + ends).min(0)
        arrives = (far + local + np.maximum(uplink - writing, 0.0)).min(0)
        on_server = arrives + (remote * is_there).sum(0) + (far + back).min(0)
        later = np.where(is_there.any(0), np.maximum(on_link, on_server), 0.0)
        bound = np.maximum(bound, later)
    return np.asarray(bound)


def means(machines: int, steps: int = _STEPS) -> np.ndarray:
    """Weights of weighted means of so many machines, by row: multiples of one in so many steps."""
    if machines > _MOST_WEIGHTED:
        return np.concatenate([np.eye(machines), np.full((1, machines), 1 / machines)])
    rows = [
        np.bincount(drawn, minlength=machines)
        for drawn in combinations_with_replacement(range(machines), steps)
    ]
    return np.array(rows) / steps
