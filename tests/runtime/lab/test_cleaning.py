"""Whatever ends a lab, nothing of it stays; and nothing of it was ever outside its namespaces."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from swath.cluster import Cluster, Device
from swath.errors import ClusterError
from swath.runtime.lab.lab import Lab
from swath.runtime.lab.remains import clean_up, remains
from tests.runtime.lab.clusters import cluster
from tests.runtime.lab.conftest import needs_root, traces

pytestmark = [needs_root, pytest.mark.usefixtures("no_lab_left")]

# Says its name, and lives until it is ended, with a process on each of two devices.
_OWNER = """
import signal, subprocess, sys, time
from swath.runtime.lab.lab import Lab
from tests.runtime.lab.clusters import cluster
# Not ignored, as it is where tests run in the background.
signal.signal(signal.SIGINT, signal.default_int_handler)
with Lab(cluster("a b", {"default": 40})) as lab:
    lab.shape()
    lab.ration()
    inside = subprocess.Popen([*lab.command_prefix("a"), "sleep", "60"], process_group=0)
    rationed = subprocess.Popen(["sleep", "60"], process_group=0)
    lab.assign("b", rationed.pid)
    print(lab.name, inside.pid, rationed.pid, flush=True)
    time.sleep(60)
"""


@contextmanager
def owner() -> Iterator[tuple[subprocess.Popen[str], str, set[int]]]:
    """A process that owns a lab, the lab's name, and the processes on its devices."""
    command = [sys.executable, "-c", _OWNER]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            assert process.stdout is not None
            name, *pids = process.stdout.readline().split()
            yield process, name, {int(pid) for pid in pids}
        finally:
            process.kill()


def root_network() -> list[str]:
    """Interfaces and queues that everybody sees."""
    commands = (["ip", "-o", "-br", "link"], ["ip", "-o", "-br", "addr"], ["tc", "qdisc"])
    return [subprocess.check_output(command, text=True) for command in commands]


@pytest.mark.parametrize("network", ["switch", "star", "shared"])
def test_a_lab_comes_and_goes(network):
    outside = root_network()
    with Lab(cluster("a b c", {"default": 40}, network)) as lab:
        lab.shape()
        lab.ration()
        assert len(traces(lab.name)) > 8
        assert root_network() == outside
        assert not [left for left in remains() if left.lab == lab.name]
    lab.close()
    assert not traces(lab.name)
    assert root_network() == outside


def test_two_labs_at_once_do_not_meet():
    described = cluster("a b", {"default": 40})
    with Lab(described) as one, Lab(described) as other:
        assert one.name != other.name
        one.close()
        other.shape()
        other.check_rates()


def test_a_lab_that_fails_half_way_leaves_nothing():
    names = ("a", "b/c")
    with pytest.raises(ClusterError, match=r"'ip' failed: .*swath-.*-b/c"):
        Lab(Cluster(tuple(Device(name, cores=0.2) for name in names), source="a"))


def test_processes_on_devices_end_with_the_lab():
    with Lab(cluster("a b", {})) as lab:
        inside = subprocess.Popen([*lab.command_prefix("a"), "sleep", "60"])
        rationed = subprocess.Popen(["sleep", "60"])
        lab.assign("b", rationed.pid)
    assert inside.wait() == rationed.wait() == -signal.SIGKILL


def test_this_process_survives_a_lab_that_it_is_inside_of():
    lab = Lab(cluster("a b", {}))
    with lab.enter("a"):
        lab.assign("a", os.getpid())
        lab.close()


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGTERM, 128 + signal.SIGTERM), (signal.SIGINT, -signal.SIGINT)]
)
def test_a_lab_that_is_told_to_end_leaves_nothing(number, status):
    with owner() as (process, name, pids):
        assert pids
        process.send_signal(number)
        assert process.wait(10) == status
        assert not traces(name)
        assert not [pid for pid in pids if _is_alive(pid)]


def test_what_a_killed_lab_leaves_is_found_and_removed():
    with owner() as (process, name, pids):
        assert not [left for left in remains() if left.lab == name]
        process.kill()
        # Not waited for yet: an owner that is a zombie has ended too.
        while _is_alive(process.pid):
            pass
        (left,) = (left for left in remains() if left.lab == name)
        assert left.namespaces == (name, f"{name}-a", f"{name}-b")
        assert left.control_groups == (name, f"{name}-awake")
        assert set(left.processes) >= pids
        removed = clean_up()
        assert {f"process {pid}" for pid in pids} <= set(removed)
        assert {f"network namespace {name}-a", f"control group {name}"} <= set(removed)
        assert not [pid for pid in pids if _is_alive(pid)]
        assert not traces(name)


def test_signals_are_as_they_were():
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    with Lab(cluster("a b", {})):
        assert signal.getsignal(signal.SIGTERM) != before[0]
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False
