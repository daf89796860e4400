"""A link whose shaping changes between requests: the rate is followed, and the plan with it."""

from __future__ import annotations

import contextlib
import subprocess
import sys

import pytest

import swath
from swath.cluster import Cluster, Device, Link
from swath.cost import nominal_costs
from swath.fabric.zenoh import Endpoints, ZenohFabric
from swath.planners import Problem
from swath.planners.rate_table import plan_by_rate, ranges_about
from swath.runtime.clusters import ClusterSession
from swath.runtime.coordinator import Coordinator
from swath.runtime.lab.lab import Lab
from swath.runtime.uplink_rate import UplinkRate
from tests.runtime.lab.clusters import cluster
from tests.runtime.lab.conftest import needs_root

pytestmark = [pytest.mark.slow, needs_root, pytest.mark.usefixtures("no_lab_left")]

GRAPH = swath.load("zoo:squeezenet@64x64")
NAMES = ("a", "b")
DEVICES = (Device("a", gflops=1), Device("b", gflops=4))
TABLE = plan_by_rate(
    Problem(GRAPH, nominal_costs(Cluster(DEVICES, "a", default_link=Link(12.5e6, 1e-3)))),
    ranges_about(12.5e6),
    "neurosurgeon",
)


@contextlib.contextmanager
def session_in(lab):
    """Workers on the lab's two devices, and a coordinator in the namespace of the first."""
    meeting = f"tcp/{lab.address('a')}:7557"
    processes = []

    def join(land):
        return ZenohFabric("here", "coordinator", land, Endpoints(listen=(meeting,)), "aware")

    # All the time: connections to workers are made with the first plan.
    with lab.enter("a"), Coordinator(join) as coordinator:
        for name in NAMES:
            command = [*lab.command_prefix(name), sys.executable, "-m", "swath.runtime.serve"]
            command += ["--attached", "--name", name, "--cluster-name", "aware"]
            command += ["--listen", f"tcp/{lab.address(name)}:7447", "--connect", meeting]
            processes.append(
                subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
            )
        try:
            coordinator.wait_for(NAMES, 30.0)
            yield ClusterSession(coordinator, lab.cluster)
        finally:
            for process in processes:
                process.stdin.close()
            for process in processes:
                process.wait(10.0)


def test_a_link_that_becomes_slow_and_fast_again_changes_the_plan(monkeypatch):
    monkeypatch.setattr("swath.runtime.uplink_rate.LOOK_SHARE", 1e9)  # Look each time.
    with Lab(cluster("a b", {"default": 8})) as lab, session_in(lab) as session:
        session.deploy_by_rate(GRAPH, TABLE)
        measured = UplinkRate(session.coordinator, session.costs().cluster)
        requests = iter(range(12))

        def rate():
            number = next(requests)
            if number == 4:
                lab.shape()
            elif number == 8:
                lab.unshape()
            return measured()

        report, channel = session.run_by_rate(GRAPH, TABLE, rate=rate, repeat=12)
    assert report.bit_exact
    # How fast the link is where nothing shapes it is the machine's affair: the bands tell apart.
    assert 2 < channel.taken[7].rate * 8e-6 < 9
    bands = [each.band for each in channel.taken]
    fast = len(TABLE.bands) - 1
    assert TABLE.bands[fast].low * 8e-6 > 9
    assert bands[2:4] == [fast, fast]
    assert bands[7] == fast - 1
    assert bands[11] == fast
    assert channel.changes == 2
