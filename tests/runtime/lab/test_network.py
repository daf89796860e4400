"""Which traffic is shaped where, for each kind of network, and how that is said to the kernel."""

from __future__ import annotations

from dataclasses import replace

import pytest

from swath.cluster import Link
from swath.cluster.file import parse_cluster
from swath.errors import ClusterError
from swath.runtime.lab.network import FRAME, LARGEST_UNIT, burst, packets_per_unit, ports
from swath.runtime.lab.rate_check import rate_checks
from swath.runtime.lab.shaping import shaping_lines
from tests.runtime.lab.clusters import cluster

ADDRESSES = {"a": "10.0.0.2", "b": "10.0.0.3", "c": "10.0.0.4"}


def summary(made):
    """By port, its rate and its lanes' in Mbit/s."""
    return {
        (port.place, port.device): (
            round(port.rate * 8e-6),
            {lane.peer: round(lane.rate * 8e-6) for lane in port.lanes},
        )
        for port in made
    }


def test_a_port_of_a_switch_is_as_fast_as_its_fastest_link():
    made = ports(cluster("a b c", {"default": 100, "a b": (20, 40)}), delays=False)
    assert summary(made) == {
        ("sends", "a"): (100, {"b": 20}),
        ("is sent", "a"): (100, {"b": 100, "c": 100}),
        ("sends", "b"): (100, {"a": 40}),
        ("is sent", "b"): (100, {"a": 100, "c": 100}),
        ("sends", "c"): (100, {}),
        ("is sent", "c"): (100, {"a": 100, "b": 100}),
    }


def test_spokes_of_a_star_are_limited_and_its_hub_is_not():
    made = ports(cluster("a b c", {"default": 50, "b a": (5, 40)}, "star"), delays=False)
    assert summary(made) == {
        ("sends", "b"): (5, {}),
        ("is sent", "b"): (40, {"a": 40, "c": 40}),
        ("sends", "c"): (50, {}),
        ("is sent", "c"): (50, {"a": 50, "b": 50}),
    }


def test_everything_passes_a_shared_channel():
    made = ports(cluster("a b c", {"default": 30}, "shared"), delays=False)
    assert summary(made) == {("channel", ""): (30, {"a": 30, "b": 30, "c": 30})}


@pytest.mark.parametrize("network", ["switch", "star", "shared"])
def test_a_device_alone_has_no_links(network):
    assert ports(cluster("a", {}, network), delays=False) == ()


def test_a_shared_channel_has_one_rate():
    with pytest.raises(ClusterError, match=r"link a c differs from a b, .*links.default alone"):
        ports(cluster("a b c", {"default": 30, "a c": 20}, "shared"), delays=False)


@pytest.mark.parametrize(("ends", "named"), [("default", "default"), ("a b", "a b")])
def test_links_that_vary_are_for_the_simulator(ends, named):
    data = {"bandwidth": "30Mbps", "channel": "gaussian(std=3Mbps)"}
    described = parse_cluster(
        {"source": "a", "devices": [{"name": "a"}, {"name": "b"}], "links": {ends: data}}
    )
    with pytest.raises(ClusterError, match=f"link {named}: a lab cannot imitate .*drop its"):
        ports(described, delays=False)


def test_latencies_count_where_the_kernel_can_delay():
    slow = replace(
        cluster("a b c", {}), links={("a", "b"): Link(125e6, 5e-3), ("a", "c"): Link(125e6, 2e-3)}
    )
    port = ports(slow, delays=True)[0]
    assert port.latency == 2e-3
    assert [(lane.peer, lane.latency) for lane in port.lanes] == [("b", 5e-3)]
    assert not ports(slow, delays=False)[0].lanes
    lines = shaping_lines(port, "eth0", ADDRESSES)
    assert "qdisc add dev eth0 parent 2:1 netem limit 1000000 delay 2000us" in lines
    assert "qdisc add dev eth0 parent 2:2 netem limit 1000000 delay 5000us" in lines


@pytest.mark.parametrize(("network", "total"), [("switch", 3e-3), ("star", 6e-3), ("shared", 3e-3)])
def test_each_link_on_the_way_delays_once(network, total):
    described = replace(cluster("a b c", {}, network), default_link=Link(1e6, 3e-3))
    passed = {("sends", "b"), ("is sent", "c"), ("channel", "")}
    delays = [
        port.lanes[0].latency if port.lanes else port.latency
        for port in ports(described, delays=True)
        if (port.place, port.device) in passed
    ]
    assert sum(delays) == total


@pytest.mark.parametrize(
    ("rate", "nbytes", "packets"),
    [(1e5, 3028, 1), (12.5e6, 12500, 4), (125e6, 125_000, 41), (12.5e9, 12_500_000, LARGEST_UNIT)],
)
def test_little_passes_at_once(rate, nbytes, packets):
    assert burst(rate) == nbytes
    made = ports(cluster("a b", {"a b": rate * 8e-6}), delays=False)
    assert packets_per_unit("a", made) == packets
    assert packets * FRAME <= burst(rate)


def test_the_slowest_lane_says_how_much_is_handed_on_as_one():
    made = ports(cluster("a b c", {"default": 1000, "a b": 20}), delays=False)
    assert packets_per_unit("a", made) == 1
    assert packets_per_unit("c", made) == 41


def test_every_rate_is_checked_by_flows_that_only_it_limits():
    described = cluster("a b c", {"default": 100, "a b": (20, 40)})
    checks = rate_checks(described, ports(described, delays=False))
    found = {check.what: (round(check.rate * 8e-6), check.flows) for check in checks}
    assert found == {
        "what 'a' sends": (100, (("a", "c"), ("a", "b"))),
        "link a b": (20, (("a", "b"),)),
        "what 'a' is sent": (100, (("c", "a"), ("b", "a"))),
        "what 'b' sends": (100, (("b", "c"), ("b", "a"))),
        "link b a": (40, (("b", "a"),)),
        "what 'b' is sent": (100, (("c", "b"), ("a", "b"))),
        "what 'c' sends": (100, (("c", "a"), ("c", "b"))),
        "what 'c' is sent": (100, (("a", "c"), ("b", "c"))),
    }
