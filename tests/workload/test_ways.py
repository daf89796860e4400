"""Ways to carry out requests: which groups are planned for, what one takes, what is worthwhile."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

import swath
from swath.cluster import Cluster, Device, Link
from swath.cost import Costs, Quota, nominal_costs
from swath.errors import PlanError, WorkloadError
from swath.planners import Problem, make_planner
from swath.workload.ways import groups, menus, way_of
from swath.workload.workload import Service, Workload

MODEL = "zoo:squeezenet@64x64"


@dataclass(frozen=True)
class Rationed(Costs):
    """Devices that may use a quarter of a CPU."""

    def quota(self, device: str) -> Quota:
        return Quota(0.25, 4e-3, 1e-3)


def cluster(*gflops: float) -> Cluster:
    devices = tuple(
        Device(name, gflops=speed) for name, speed in zip("abcdefgh", gflops, strict=False)
    )
    return Cluster(devices, "a", default_link=Link(125e6, 1e-4))


@pytest.fixture(scope="module")
def graph():
    return swath.load(MODEL)


def whole(graph, costs):
    return way_of(make_planner("whole").plan(Problem(graph, costs)), costs)


def test_groups_go_from_the_fastest_to_the_slowest():
    assert groups(nominal_costs(cluster(1, 3, 2))) == [
        ("b",), ("c",), ("a",), ("b", "c"), ("b", "c", "a"),
    ]  # fmt: skip
    assert groups(nominal_costs(cluster(1))) == [("a",)]
    six = groups(nominal_costs(cluster(6, 5, 4, 3, 2, 1)))
    assert ("a", "b") in six and ("e", "f") in six and ("d", "e", "f") in six
    assert six[-1] == tuple("abcdef")


def test_a_way_is_busy_for_what_it_computes_and_useful_for_the_model(graph):
    costs = nominal_costs(cluster(2.0))
    way = whole(graph, costs)
    assert way.useful == (pytest.approx(graph.flops),)
    assert 0.9 * way.seconds < way.busy[0] <= way.seconds
    split = way_of(
        make_planner("even").plan(Problem(graph, nominal_costs(cluster(2, 2)))),
        nominal_costs(cluster(2, 2)),
    )
    assert sum(split.useful) == pytest.approx(graph.flops)
    assert split.devices == 0b11
    assert split.work > way.work, "halos are computed twice"


def test_a_quota_takes_a_device_s_time(graph):
    """Four times as long, in which nobody else has the device."""
    alone = whole(graph, nominal_costs(cluster(2.0)))
    rationed = whole(graph, Rationed(cluster(2.0)))
    assert rationed.seconds == pytest.approx(4 * alone.seconds, rel=0.05)
    assert rationed.busy[0] == pytest.approx(4 * alone.busy[0], rel=1e-3)
    ((device, share),) = rationed.shares
    assert device == 0
    assert share == pytest.approx(1.0, abs=0.05)


def test_menus_begin_with_the_soonest_and_leave_out_what_is_not_worth_it(graph):
    workload = Workload([Service("one", MODEL, 1.0), Service("other", MODEL, 1.0)])
    # The link between them is so slow that both together take longer than one.
    slow = cluster(2, 1).devices
    apart = Cluster(slow, "a", default_link=Link(1e4, 0.1))
    one, other = menus(workload, lambda model: graph, nominal_costs(apart), "even")
    assert [way.devices for way in one.ways] == [0b01, 0b10]
    assert one.ways == other.ways
    near = menus(workload, lambda model: graph, nominal_costs(cluster(2, 2)), "even")[0]
    assert near.ways[0].devices == 0b11
    assert [way.seconds for way in near.ways] == sorted(way.seconds for way in near.ways)


def test_what_cannot_be_planned_is_refused_with_the_service_s_name(graph):
    costs = nominal_costs(cluster(1))
    workload = Workload([Service("doors", "zoo:nothing", 1.0)])
    with pytest.raises(WorkloadError, match=r"^service 'doors': no zoo model is called 'nothing'"):
        menus(workload, swath.load, costs, "even")
    with pytest.raises(PlanError, match="'unheard'"):
        menus(workload, swath.load, costs, "unheard")
    tiny = Cluster((Device("a", memory=1000),), "a")
    with pytest.raises(WorkloadError, match=r"^service 'doors': .*memory|^service 'doors': .*MiB"):
        menus(Workload([Service("doors", MODEL, 1.0)]), swath.load, nominal_costs(tiny), "even")
