"""Cluster files that are written are read back as the same cluster."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest

from swath.cluster import Cluster, Device, Link, Watts, load_cluster
from swath.cluster.write import cluster_text, write_cluster

PLAIN = Cluster((Device("pi-a"),), "pi-a", default_link=Link(125e6, 1e-3))
RICH = Cluster(
    devices=(
        Device("pi-a", gflops=5.5, memory=2**30, cores=0.25, watts=Watts(2.0, 5.0)),
        Device("pi-b", memory=1000, address="tcp/10.0.0.9:7447", profile="/profiles/pi-b.json"),
        Device("camera", compute=False),
    ),
    source="camera",
    network="star",
    default_link=Link(125e6, 1e-3),
    links={
        ("pi-a", "pi-b"): Link(12.5e6, 1e-3),
        ("pi-b", "pi-a"): Link(12.5e6, 1e-3),
        ("camera", "pi-a"): Link(2.5e6, 8e-6),
        ("pi-a", "camera"): Link(20e9, 8e-6),
    },
    hub="pi-a",
)
WORDS_OF_YAML = Cluster(
    tuple(map(Device, ("yes", "1.5", "null", "0x10", "1e3"))),
    "1.5",
    default_link=Link(125e6, 1e-3),
    links={(one, other): Link(1e6, 0.0) for one in ("yes", "1.5", "null", "0x10", "1e3")
           for other in ("yes", "1.5", "null", "0x10", "1e3") if one != other},
)  # fmt: skip


@pytest.mark.parametrize("cluster", [PLAIN, RICH, WORDS_OF_YAML], ids=["plain", "rich", "words"])
def test_what_is_written_is_read(tmp_path, cluster):
    path = tmp_path / "cluster.yaml"
    write_cluster(cluster, path)
    found = load_cluster(path)
    devices = tuple(
        replace(device, profile=device.profile and os.path.realpath(device.profile))
        for device in found.devices
    )
    assert replace(found, devices=devices) == cluster


def test_each_block_is_explained():
    text = cluster_text(RICH)
    for block in ("source:", "devices:", "links:"):
        lines = text.splitlines()
        assert lines[lines.index(next(li for li in lines if li.startswith(block))) - 1][0] == "#"
    assert "memory: 1024MiB" in text
    assert "{up: 20Mbps, down: 160000Mbps, latency: 0.008ms}" in text
