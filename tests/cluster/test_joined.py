"""Who is joined to whom in a cluster file: stars, devices left alone, links that lead nowhere."""

from __future__ import annotations

import pytest

from swath.cluster import Link
from swath.cluster.file import parse_cluster
from swath.errors import ClusterError

FAST, SLOW = {"bandwidth": "80Mbps"}, {"bandwidth": "8Mbps", "latency": "1ms"}


def data(links=None, **fields):
    devices = [{"name": name} for name in "abc"]
    return {"source": "a", "devices": devices, "links": links or {}, **fields}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (data({"a b": FAST}), "device 'c' is not connected; add 'a c', or 'default'"),
        (data({"a b": FAST, "a c": FAST}), "'b' and 'c' are not connected; add 'b c'"),
        (data({"a b": FAST}, network="star", hub="b"), "device 'c' is not connected; add 'b c'"),
        (
            data({"default": FAST, "a b": SLOW}, network="star", hub="c"),
            "'a b' does not end at the hub 'c' of the star",
        ),
        (data({"default": FAST, "a b": SLOW, "b a": FAST}), "'b a' is there twice"),
        (data(hub="b"), "hub: a switch network has none; drop it"),
        (data(network="star", hub="z"), "hub: a star needs 'hub: NAME'"),
    ],
)
def test_mistakes_are_named_in_one_line(content, message):
    with pytest.raises(ClusterError) as error:
        parse_cluster(content, "cluster.yaml")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_star_without_a_default():
    cluster = parse_cluster(data({"a b": FAST, "c b": SLOW}, network="star", hub="b"))
    fast, slow = Link(1e7, 0.0), Link(1e6, 1e-3)
    assert cluster.path("a", "c") == (fast, slow)
    assert cluster.path("c", "a") == (slow, fast)
    assert cluster.path("a", "b") == (fast,)
    assert cluster.path("b", "c") == (slow,)


def test_a_switch_is_one_hop():
    cluster = parse_cluster(data({"default": SLOW}))
    assert cluster.path("a", "c") == (Link(1e6, 1e-3),)
