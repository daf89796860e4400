"""Which links are the uplink, which change with it, and that no others do."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from swath.cluster import Cluster, Device, Link
from swath.cluster.channel import Gaussian
from swath.cluster.uplink import uplink, uplink_rate, with_channel_rate, with_uplink_rate
from swath.errors import ClusterError

SWITCH = Cluster(
    tuple(Device(name) for name in "abc"),
    "a",
    default_link=Link(1e6, 1e-3),
    links={("a", "b"): Link(2e6, 2e-3, Gaussian(1e5)), ("b", "a"): Link(3e6, 3e-3)},
)
HUB = replace(SWITCH, network="star", hub="b")


@pytest.mark.parametrize(
    ("cluster", "links"),
    [
        (SWITCH, {"ab": 7e6, "ac": 3.5e6}),
        (HUB, {"ab": 7e6}),
        (replace(HUB, hub="a"), {"ab": 7e6, "ac": 3.5e6}),
        (
            replace(SWITCH, network="shared"),
            {"ab": 7e6, "ac": 3.5e6, "ba": 10.5e6, "bc": 3.5e6, "ca": 3.5e6, "cb": 3.5e6},
        ),
    ],
)
def test_the_uplinks_change_and_nothing_else(cluster, links):
    made = with_uplink_rate(cluster, 7e6)
    for sender, receiver in itertools.permutations("abc", 2):
        before, after = cluster.link(sender, receiver), made.link(sender, receiver)
        if sender + receiver in links:
            assert after.bandwidth == pytest.approx(links[sender + receiver])
            assert (after.latency, after.channel) == (before.latency, None)
        else:
            assert after == before
    assert (made.devices, made.source, made.network, made.hub) == (
        cluster.devices, cluster.source, cluster.network, cluster.hub
    )  # fmt: skip


NAMES = ("a", "b", "c")
LINKS = {
    ("a", "b"): Link(10.0, 1e-3),
    ("b", "a"): Link(40.0, 1e-3),
    ("a", "c"): Link(20.0, 2e-3),
    ("b", "c"): Link(1000.0, 1e-4),
}


def cluster(network="switch", hub=None, silent=(), links=LINKS):
    devices = tuple(Device(name, compute=name not in silent) for name in NAMES)
    return Cluster(devices, "a", network, Link(80.0, 5e-3), links, hub)


@pytest.mark.parametrize(
    ("made", "ends", "rate"),
    [
        (cluster(), ("a", "c"), 20.0),
        (cluster(silent=("c",)), ("a", "b"), 10.0),
        (cluster(silent=("a",)), ("a", "c"), 20.0),
        (cluster("star", "b"), ("a", "b"), 10.0),
        (cluster("star", "a"), ("a", "c"), 20.0),
        (cluster(links={}), ("a", "b"), 80.0),
    ],
)
def test_the_uplink_is_the_fastest_on_which_the_source_sends(made, ends, rate):
    assert uplink(made) == ends
    assert uplink_rate(made) == rate


def test_a_source_that_computes_alone_has_none():
    with pytest.raises(ClusterError, match="no device but the source 'a' computes"):
        uplink(cluster(silent=("b", "c")))


def test_all_links_of_the_source_change_with_its_uplink():
    made = with_channel_rate(cluster(), 5.0)
    assert uplink_rate(made) == 5.0
    assert made.link("a", "b") == Link(2.5, 1e-3)
    assert made.link("b", "a") == Link(10.0, 1e-3)
    assert made.link("c", "a") == Link(20.0, 5e-3), "which was the default"
    assert made.link("b", "c") == LINKS["b", "c"], "which is no link of the source"
    assert made.link("c", "b") == Link(80.0, 5e-3)


def test_all_links_of_a_shared_channel_change_with_it():
    made = with_channel_rate(cluster("shared"), 5.0)
    assert made.link("b", "c").bandwidth == 250.0
    assert made.link("c", "b").bandwidth == 20.0


def test_at_its_own_rate_a_cluster_is_what_it_is():
    for network, hub in (("switch", None), ("shared", None), ("star", "b")):
        made = cluster(network, hub)
        same = with_channel_rate(made, uplink_rate(made))
        for one in NAMES:
            for other in NAMES:
                assert same.link(one, other) == made.link(one, other)
