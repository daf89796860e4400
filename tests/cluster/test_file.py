"""Cluster files: what a person writes, and what is said where it is wrong."""

from __future__ import annotations

import pytest

from swath.cluster import Link, load_cluster, parse_bandwidth, parse_latency, parse_memory
from swath.errors import ClusterError

GOOD = """
source: pi-a
network: switch
devices:
  - {name: pi-a, gflops: 5, memory: 1GiB, cores: 0.25}
  - {name: pi-b, gflops: 5, memory: 1GiB, cores: 0.25, watts: {idle: 2, busy: 5}}
  - {name: camera, compute: false}
  - {name: server, gflops: 50, memory: 16GiB, address: "tcp/10.0.0.9:7447", profile: server.json}
links:
  default: {bandwidth: 100Mbps, latency: 1ms}
  pi-a server: {bandwidth: 20Mbps, latency: 5ms}
  pi-b server: {up: 5Mbps, down: 40Mbps}
"""


def write(tmp_path, text):
    path = tmp_path / "cluster.yaml"
    path.write_text(text)
    return path


def test_the_file_of_the_design_page(tmp_path):
    cluster = load_cluster(write(tmp_path, GOOD))
    assert [device.name for device in cluster.workers] == ["pi-a", "pi-b", "server"]
    assert cluster.source == "pi-a"
    assert cluster.device("pi-a").memory == 2**30
    assert cluster.device("pi-b").watts.busy == 5
    assert cluster.link("pi-a", "pi-b") == Link(12.5e6, 1e-3)
    assert cluster.link("server", "pi-a") == cluster.link("pi-a", "server") == Link(2.5e6, 5e-3)
    assert cluster.link("pi-b", "server").bandwidth == 625e3
    assert cluster.link("server", "pi-b").bandwidth == 5e6


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            ("gflops: 50", "gigaflops: 50"),
            "device 'server': gigaflops: Extra inputs are not permitted",
        ),
        (("gflops: 50", "gflops: -1"), "device 'server': gflops: -1 is no speed; give more, or"),
        (("gflops: 50", "gflops: .inf"), "device 'server': gflops: Input should be a finite"),
        (("idle: 2", "idle: -2"), "device 'pi-b': watts.idle: Input should be greater than or"),
        (("100Mbps", "-100Mbps"), "links.default.bandwidth: bandwidth '-100Mbps'"),
        (("100Mbps", "100 parsec"), "unknown unit"),
        (("100Mbps", "0"), "links.default.bandwidth: 0 carries nothing; give a rate"),
        (("latency: 1ms", "latency: soon"), "latency 'soon' is not a quantity"),
        (("16GiB", "16 apples"), "memory '16 apples' has an unknown unit"),
        (("16GiB", "1e999GB"), "memory '1e999GB' is not a quantity"),
        (("pi-b server", "pi-b sever"), "'pi-b sever' names 'sever', which is no device"),
        (("pi-b server", "pi-b"), "'pi-b' must be 'default' or two device names"),
        (("source: pi-a", "source: pi-z"), "source: 'pi-z' is no device; name one of pi-a"),
        (("network: switch", "network: star"), "hub: a star needs 'hub: NAME'"),
        (("network: switch", "network: ring"), "network: Input should be"),
        (("name: pi-b", "name: pi-a"), "'pi-a' is there twice"),
        (("{up: 5Mbps, down: 40Mbps}", "{up: 5Mbps}"), "needs 'bandwidth', or both"),
        (("name: camera", "name: the camera"), "devices.2.name: String should match"),
    ],
)
def test_mistakes_are_named_in_one_line(tmp_path, change, message):
    path = write(tmp_path, GOOD.replace(*change))
    with pytest.raises(ClusterError) as error:
        load_cluster(path)
    assert message in str(error.value)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not a YAML file"),
        ("", "not a cluster file; it needs 'source' and 'devices'"),
        ("source: a\ndevices: []", "devices: List should have at least 1 item"),
        ("source: a\ndevices: [{name: a, compute: false}]", "none of them computes"),
    ],
)
def test_what_is_no_cluster_file(tmp_path, text, message):
    with pytest.raises(ClusterError, match=r"cluster\.yaml"):
        load_cluster(write(tmp_path, text))
    with pytest.raises(ClusterError) as error:
        load_cluster(write(tmp_path, text))
    assert message in str(error.value)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(ClusterError, match="No such file"):
        load_cluster(tmp_path / "none.yaml")


@pytest.mark.parametrize(
    ("parse", "text", "value"),
    [
        (parse_memory, "1GiB", 2**30),
        (parse_memory, "512MB", 512e6),
        (parse_memory, 1024, 1024),
        (parse_bandwidth, "100Mbps", 12.5e6),
        (parse_bandwidth, "1Gbit/s", 125e6),
        (parse_bandwidth, "12MB/s", 12e6),
        (parse_bandwidth, 8000, 1000),
        (parse_latency, "1ms", 1e-3),
        (parse_latency, "200us", 200e-6),
        (parse_latency, 0.5, 0.5),
    ],
)
def test_quantities(parse, text, value):
    assert parse(text) == pytest.approx(value)
