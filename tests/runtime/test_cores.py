"""Workers of one machine each get cores of their own, where there are enough."""

from __future__ import annotations

import os

import psutil
import pytest

from swath.runtime.cores import assign_cores, one_per_core_first, parse_cpu_list
from swath.runtime.local import LocalWorkers


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        ([{0, 1}, {2, 3}], [3, 1, 2, 0]),
        ([{0, 2}, {1, 3}], [3, 2, 1, 0]),
        ([{0}, {1}, {2}], [2, 1, 0]),
    ],
)
def test_physical_cores_come_before_second_threads(pairs, expected):
    cpus = sorted(set().union(*pairs))
    order = one_per_core_first(cpus, lambda cpu: frozenset(next(p for p in pairs if cpu in p)))
    assert order == expected


@pytest.mark.parametrize(
    ("text", "cpus"), [("0", {0}), ("0-2\n", {0, 1, 2}), ("0,4", {0, 4}), ("0-1,8-9", {0, 1, 8, 9})]
)
def test_cpu_lists(text, cpus):
    assert parse_cpu_list(text) == cpus


def test_nobody_shares_a_core():
    count = len(os.sched_getaffinity(0))
    cores = assign_cores(count, 1)
    assert len(set().union(*cores)) == count
    assert assign_cores(count + 1, 1) == [set()] * (count + 1)
    assert assign_cores(1, count) == [os.sched_getaffinity(0)]


def test_workers_stay_on_their_cores():
    with LocalWorkers(["a"]) as workers:
        pid = workers.processes["a"].pid
        assert os.sched_getscheduler(pid) == os.SCHED_BATCH
        affinity = psutil.Process(pid).cpu_affinity()
        assert affinity == sorted(assign_cores(1, 1)[0])
