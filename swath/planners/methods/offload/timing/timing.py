"""What ways to offload take: the flow shop by the simulator's own rules, many ways at once.

The source's coordinator hands out the picture, all that one device needs of it in one message; the
source computes its parts path by path and sends each what the server lacks; servers compute in the
same order; what they make goes to who computes the rest, and the result home. Every message takes
CPU time at both ends, what comes in pieces is copied together. What is not looked at: CPU quotas
in less than the long run, caches that go cold, rates that vary, the maps that an engine reorders at
the edges of a tile, the coordinator's work while tiles run, results that share a radio channel, or
the port of another server, with paths still on their way.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from swath.cluster.cluster import LOOPBACK
from swath.planners.methods.offload.parties import SOURCE, Parties
from swath.planners.methods.offload.paths import Paths
from swath.planners.methods.offload.timing.ending import computed_rest, finished, gathered
from swath.planners.methods.offload.timing.loads import Loads
from swath.planners.methods.offload.timing.picture import hand_out, source_begins
from swath.planners.methods.offload.timing.places import side_by_side
from swath.planners.methods.offload.timing.serving import arrivals, come_back, serve
from swath.planners.methods.offload.timing.turns import turns_of
from swath.planners.methods.offload.ways import Ways


@dataclass(frozen=True, slots=True)
class Timing:
    """``rest``: seconds by the clock of what is behind each block, by party and block; ``result``:
    bytes of the model's outputs."""

    paths: Paths
    loads: Loads
    parties: Parties
    rest: np.ndarray
    result: int

    def seconds(self, ways: Ways) -> np.ndarray:
        """Until the result is there, by row; infinite where the source computes in vain."""
        parties = self.parties
        turns = turns_of(self.paths, self.loads, parties, ways)
        handed = hand_out(parties, turns)
        computed = source_begins(parties, handed)[:, None] + np.cumsum(turns.here, axis=1)
        arrived = arrivals(parties, turns, handed, computed)
        free, done = serve(parties, turns, handed, arrived)
        free[:, SOURCE] = computed[:, -1]
        back = come_back(parties, turns, ways, done)
        came = np.where(turns.returns, back, arrived)
        there = finished(parties, turns, ways, free, came)
        home = np.where(turns.is_home, computed + LOOPBACK.latency, back)
        seconds = np.where(
            turns.is_last,
            gathered(parties, turns, ways, home, self.result),
            computed_rest(parties, ways, there, self.rest, self.result),
        )
        return np.where(turns.is_vain, np.inf, seconds)

    def jobs(self, ways: Ways) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Seconds of computing here, of sending and of computing there, by row and path, each path
        taken for itself: the jobs of the flow shop."""
        parties, loads = self.parties, self.loads
        places = side_by_side(self.paths.blocks, ways)
        to = places.goes_to
        nbytes = loads.sent(loads.needs, places)
        sending, there = (
            np.where(to >= 0, each, 0.0)
            for each in (
                parties.sending.seconds(SOURCE, nbytes),
                parties.receiving.seconds(to, nbytes),
            )
        )
        return (
            loads.local(places) + sending,
            nbytes / parties.uplinks[to],
            loads.remote(parties, places) + there,
        )
