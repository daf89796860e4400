"""The flow shop: jobs pass the same machines one after the other, each machine does one at a time.

Every offloaded path is such a job: computed here, sent, computed on a server. Arrays are of
seconds, by row (many schedules at once) and by job.

Johnson: Optimal two- and three-stage production schedules with setup times included (1954), for two
machines. *Minimising waiting* is the order of Li, Wang, Zhou, Duan, Wu (GLOBECOM 2022), of which
only the name and the aim are known. Reconstructed: job after job, the one is appended that lets the
busiest machine wait least, Johnson's rule on the sums of neighbouring stages deciding between
equals. Where that rule by itself, on the sums or on two of the stages, is sooner, it is taken.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def makespan(stages: Sequence[np.ndarray]) -> np.ndarray:
    """Seconds until the last job has left the last machine, by row: jobs go through all machines
    in the order in which they stand. ``stages``: seconds by row and job, machine by machine."""
    rows, jobs = stages[0].shape
    free = [np.zeros(rows) for _ in stages]
    for job in range(jobs):
        done = np.zeros(rows)
        for machine, seconds in enumerate(stages):
            free[machine] = done = np.maximum(free[machine], done) + seconds[:, job]
    return free[-1]


def johnson(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The order of jobs (their places, by row) that is soonest through two machines: those that
    are shorter on the first one by ascending times there, then the others by descending times on
    the second."""
    is_early = first <= second
    return np.lexsort((np.where(is_early, first, -second), ~is_early))


def minimising_waiting(
    local: np.ndarray, uplink: np.ndarray, server: np.ndarray, jobs: np.ndarray
) -> np.ndarray:
    """The order of each row's first ``jobs`` jobs through three machines; the others come last.
    With nothing to do on the first or on the last machine it is Johnson's, and so the best."""
    is_absent = np.arange(local.shape[1]) >= jobs[:, None]
    local, uplink, server = (
        np.where(is_absent, 0.0, seconds) for seconds in (local, uplink, server)
    )
    pairs = ((local, uplink), (uplink, server), (local + uplink, uplink + server))
    orders = [_absent_last(johnson(*pair), is_absent) for pair in pairs]
    ranks = np.argsort(orders[-1], axis=1)
    orders.append(_least_waiting((local, uplink, server), ranks, is_absent))
    every = np.array(orders)
    stages = [
        np.take_along_axis(seconds[None], every, 2).reshape(-1, local.shape[1])
        for seconds in (local, uplink, server)
    ]
    soonest = makespan(stages).reshape(len(orders), -1).argmin(0)
    return np.asarray(every[soonest, np.arange(len(local))])


def _absent_last(order: np.ndarray, is_absent: np.ndarray) -> np.ndarray:
    is_late = np.take_along_axis(is_absent, order, 1)
    return np.take_along_axis(order, np.argsort(is_late, axis=1, kind="stable"), 1)


def _least_waiting(
    stages: Sequence[np.ndarray], ranks: np.ndarray, is_absent: np.ndarray
) -> np.ndarray:
    """Job after job the one for which the busiest machine waits least, then whose rank is least."""
    local, uplink, server = stages
    rows, most = local.shape
    every = np.arange(rows)
    busiest = np.argmax([seconds.sum(1) for seconds in stages], axis=0)[:, None]
    computed, sent, served = np.zeros(rows), np.zeros(rows), np.zeros(rows)
    left = is_absent.astype(int)
    order = np.empty((rows, most), dtype=int)
    for place in range(most):
        there = computed[:, None] + local
        arrived = np.maximum(there, sent[:, None]) + uplink
        waiting = np.where(
            busiest == 1,
            np.maximum(there - sent[:, None], 0.0),
            np.where(busiest == 2, np.maximum(arrived - served[:, None], 0.0), 0.0),
        )
        job = np.lexsort((ranks, waiting, left))[:, 0]
        order[:, place] = job
        left[every, job] = 2
        computed, sent = there[every, job], arrived[every, job]
        served = np.maximum(served, sent) + server[every, job]
    return order
