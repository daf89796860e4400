"""What the source's uplink carries just now, while requests run: looked at between them.

A request's own messages do not tell it: their sender hands them to the kernel, which takes them at
once; a receiver that computes finds them there, at the speed of memory; and a plan for a bad
channel sends nothing that could tell that it has become better. So a few small messages of known
sizes go to a worker while nothing else is under way, as when links are measured before planning.
"""

from __future__ import annotations

import time
from collections import deque
from statistics import median_low

from swath.cluster import Cluster
from swath.cluster.uplink import uplink, uplink_rate
from swath.errors import ClusterError
from swath.runtime.coordinator import Coordinator
from swath.runtime.profiling.asking import Asker
from swath.runtime.profiling.echo import SIZES
from swath.runtime.profiling.links import one_way_rate

LOOK_SHARE = 0.05
"""Of all time, what looking at the link may take, so that it is in nobody's way."""

MESSAGE_SECONDS = 4e-3
"""What the larger message of a look takes, at least, at the rate that is known."""

SMALLEST, LARGEST = 16 << 10, 1 << 20
"""Bytes of the larger message of a look."""

ROUNDS = 2
"""Messages of each size in a look, besides a first one; the faster one counts."""

REMEMBERED = 3
"""Looks of which the median counts: one that met somebody else's traffic changes nothing."""


class UplinkRate:
    """The rate of the link from this coordinator to the worker at the uplink's other end.

    ``cluster``: links as they were when planning began. Raises ClusterError where that end has no
    worker to send to.
    """

    def __init__(self, coordinator: Coordinator, cluster: Cluster) -> None:
        _, self._receiver = uplink(cluster)
        if not cluster.device(self._receiver).compute:
            raise ClusterError(
                f"the uplink ends at {self._receiver!r}, which has no worker to measure it with; "
                "leave --channel-aware away, or let it compute"
            )
        self._asker = Asker(coordinator)
        self._found = deque([uplink_rate(cluster)], REMEMBERED)
        self._due = 0.0

    def __call__(self) -> float:
        """Bytes/s; of a look at the link now, where the last one was long enough ago, and those
        before it. Raises WorkerError and FabricError."""
        begin = time.monotonic()
        if begin >= self._due:
            self._found.append(self._look())
            end = time.monotonic()
            self._due = end + (end - begin) / LOOK_SHARE
        return median_low(self._found)

    def _look(self) -> float:
        sizes = message_sizes(median_low(self._found))
        exchanged = self._asker.sent_here(self._receiver, sizes, ROUNDS)
        return one_way_rate(exchanged.trips, exchanged.answering)


def message_sizes(rate: float) -> tuple[int, int]:
    """Bytes of the messages of a look at a link of about this rate (bytes/s)."""
    wanted = rate * MESSAGE_SECONDS
    large = next((size for size in SIZES if size >= max(SMALLEST, wanted)), LARGEST)
    return min(large, LARGEST) // 4, min(large, LARGEST)
