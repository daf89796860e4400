"""What came of requests, in figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from swath.workload.serving import Served


@dataclass(frozen=True, slots=True)
class Figures:
    """Of the requests of one service, or of all. Milliseconds; one that was not served counts with
    what it waits at most. ``missed``: share of those that were late or not served, ``throughput``:
    requests served per second."""

    requests: int
    mean: float
    p50: float
    p95: float
    p99: float
    missed: float
    throughput: float


@dataclass(frozen=True, slots=True)
class Utilisation:
    """Share of devices' sustained FLOP/s that went into the unsplit models' FLOPs (what halos
    compute twice does not count), in all and by device, and the share of its time for which each
    was busy."""

    total: float
    useful: tuple[float, ...]
    busy: tuple[float, ...]


def figures(served: Served, service: int | None = None) -> Figures:
    """Of all requests, or of one service's. All are 0 where there are none."""
    chosen = slice(None) if service is None else served.services == service
    latencies = served.latencies[chosen] * 1e3
    if not len(latencies):
        return Figures(0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    p50, p95, p99 = np.percentile(latencies, (50, 95, 99)).tolist()
    return Figures(
        requests=len(latencies),
        mean=float(latencies.mean()),
        p50=p50,
        p95=p95,
        p99=p99,
        missed=float(served.late[chosen].mean()),
        throughput=float(served.served[chosen].sum() / served.seconds),
    )


def utilisation(served: Served, speeds: Sequence[float]) -> Utilisation:
    """``speeds``: sustained FLOP/s by device, 0 for one that does not compute."""
    possible = np.asarray(speeds) * served.seconds
    useful = np.divide(served.useful, possible, out=np.zeros(len(possible)), where=possible > 0)
    return Utilisation(
        total=float(served.useful.sum() / possible.sum()),
        useful=tuple(useful.tolist()),
        busy=tuple((served.busy / served.seconds).tolist()),
    )
