"""The flow shop: jobs pass the same machines one after the other, each machine does one at a time.

Every offloaded path is such a job: computed here, sent, computed on a server. Jobs of one sort are
not begun here, their server is shown what there is: all of that is sent in one message, from the
first moment on, and shares the link with what other jobs send. Arrays are of seconds, by row (many
schedules at once) and by job.

Johnson: Optimal two- and three-stage production schedules with setup times included (1954), for two
machines. *Minimising waiting* is the order of Li, Wang, Zhou, Duan, Wu (GLOBECOM 2022), of which
only the name and the aim are known. Reconstructed: job after job, the one is appended that lets the
busiest machine wait least, Johnson's rule on the sums of neighbouring stages deciding between
equals. Where that rule by itself, on the sums or on two of the stages, is sooner, it is taken. What
is shown takes its turn when it has come.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def makespan(
    local: np.ndarray, uplink: np.ndarray, server: np.ndarray, is_shown: np.ndarray
) -> np.ndarray:
    """Seconds until the last job has left the last machine, by row: jobs go through all machines
    in the order in which they stand."""
    return _served(_arrived(local, uplink, is_shown), server)


def johnson(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The order of jobs (their places, by row) that is soonest through two machines: those that
    are shorter on the first one by ascending times there, then the others by descending times on
    the second."""
    is_early = first <= second
    return np.lexsort((np.where(is_early, first, -second), ~is_early))


def minimising_waiting(
    local: np.ndarray, uplink: np.ndarray, server: np.ndarray, is_shown: np.ndarray,
    jobs: np.ndarray,
) -> np.ndarray:  # fmt: skip
    """The order of each row's first ``jobs`` jobs through three machines; the others come last.
    With nothing to do on the first or on the last machine it is Johnson's, and so the best."""
    rows, most = local.shape
    is_absent = np.arange(most) >= jobs[:, None]
    stages = [np.where(is_absent, 0.0, seconds) for seconds in (local, uplink, server)]
    local, uplink, server = stages
    pairs = ((local, uplink), (uplink, server), (local + uplink, uplink + server))
    orders = [_absent_last(johnson(*pair), is_absent) for pair in pairs]
    ranks = np.argsort(orders[-1], axis=1)
    orders.append(_least_waiting(stages, ranks, is_absent))
    every = np.concatenate(orders)
    local, uplink, server, shown = (
        np.take_along_axis(np.tile(values, (len(orders), 1)), every, 1)
        for values in (*stages, is_shown & ~is_absent)
    )
    arrived = _arrived(local, uplink, shown)
    turns = np.argsort(
        np.where(np.arange(most) < np.tile(jobs, len(orders))[:, None], arrived, np.inf),
        axis=1, kind="stable",
    )  # fmt: skip
    spans = _served(*(np.take_along_axis(values, turns, 1) for values in (arrived, server)))
    soonest = spans.reshape(len(orders), rows).argmin(0) * rows + np.arange(rows)
    return np.take_along_axis(every[soonest], turns[soonest], 1)


def _arrived(local: np.ndarray, uplink: np.ndarray, is_shown: np.ndarray) -> np.ndarray:
    """When each job has come to the last machine. What is shown has come when all of it has."""
    arrived = np.empty_like(local)
    rows, jobs = local.shape
    left = np.where(is_shown, uplink, 0.0).sum(1)
    come = np.where(left > 0, np.inf, 0.0)
    computed, sent = np.zeros(rows), np.zeros(rows)
    for job in range(jobs):
        is_sent = ~is_shown[:, job]
        computed = computed + np.where(is_sent, local[:, job], 0.0)
        begins = np.where(is_sent, np.maximum(sent, computed), sent)
        # What is shown has the link for itself until then, and half of it from then on.
        come = np.where(left <= begins - sent, np.minimum(come, sent + left), come)
        left = np.maximum(left - (begins - sent), 0.0)
        shared = np.where(is_sent, np.minimum(uplink[:, job], left), 0.0)
        come = np.where(is_sent & (left <= shared), np.minimum(come, begins + 2 * left), come)
        left = left - shared
        sent = np.where(is_sent, begins + uplink[:, job] + shared, sent)
        arrived[:, job] = sent
    come = np.minimum(come, sent + left)
    return np.where(is_shown, come[:, None], arrived)


def _served(arrived: np.ndarray, server: np.ndarray) -> np.ndarray:
    """When the last machine has done all jobs."""
    done = np.zeros(len(arrived))
    for job in range(arrived.shape[1]):
        done = np.maximum(done, arrived[:, job]) + server[:, job]
    return done


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
