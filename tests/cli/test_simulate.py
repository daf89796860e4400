"""`swath simulate`: what a plan will take, checked by hand where the case is simple enough."""

from __future__ import annotations

from pathlib import Path

import pytest

import swath as library
from swath.cluster.file import parse_cluster
from swath.plan.program import COORDINATOR
from swath.trace.chrome import read_chrome

MODEL = "zoo:squeezenet@64x64"
KEYS = {"latency_ms", "utilisation", "bytes_moved", "redundant_flops_share"}
WAYS = 2 * 0.1
"""Milliseconds from the coordinator to a worker of the same device and back."""

TILE = 0.06
"""Milliseconds that every tile takes besides computing, whatever the device's speed."""


def cluster_text(gflops: float = 1.0, bandwidth: str = "100Mbps", names: str = "ab") -> str:
    devices = "\n".join(
        f"  - {{name: {name}, gflops: {gflops}, watts: {{idle: 2, busy: 5}}}}" for name in names
    )
    return (
        f"source: {names[0]}\ndevices:\n{devices}\n"
        f"links:\n  default: {{bandwidth: {bandwidth}, latency: 1ms}}\n"
    )


@pytest.fixture(scope="module")
def plans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``split.json`` for devices a and b, and ``whole.json`` for a alone."""
    folder = tmp_path_factory.mktemp("plans")
    graph = library.load(MODEL)
    devices = [{"name": name, "gflops": 1.0} for name in "ab"]
    cluster = parse_cluster({"source": "a", "devices": devices})
    for name, planner in (("split", "even"), ("whole", "whole")):
        library.save_plan(library.plan(graph, cluster, planner), folder / f"{name}.json")
    return folder


@pytest.fixture
def report(swath, plans, tmp_path):
    """Runs it with ``--json``: the report."""

    def run(plan: str, text: str, *options: object) -> dict:
        (tmp_path / "cluster.yaml").write_text(text)
        path = plans / f"{plan}.json"
        outcome = swath("simulate", path, "--cluster", "cluster.yaml", "--json", *options)
        assert outcome.status == 0, outcome
        assert set(outcome.json) >= KEYS
        return outcome.json

    return run


def test_one_device_alone_takes_its_computing(report):
    one, half = (report("whole", cluster_text(gflops, names="a")) for gflops in (10, 5))
    computing = one["latency_ms"] - WAYS - TILE
    assert half["latency_ms"] == pytest.approx(WAYS + TILE + 2 * computing)
    busy = one["utilisation"]["a"] * one["latency_ms"]
    assert busy == pytest.approx(one["latency_ms"] - WAYS)
    assert one["redundant_flops_share"] == 0


def test_bandwidth_is_felt_as_it_must_be(report):
    fast, slow, slower = (
        report("split", cluster_text(bandwidth=f"{rate}kbps")) for rate in (100_000, 400, 200)
    )
    assert fast["latency_ms"] < slow["latency_ms"] < slower["latency_ms"]
    assert fast["bytes_moved"] == slow["bytes_moved"] == slower["bytes_moved"]
    # So slow a link is all there is to it: half the rate, twice the time.
    assert slower["latency_ms"] == pytest.approx(2 * slow["latency_ms"], rel=0.1)
    # What crosses the link in one direction is at most all that is moved.
    assert slower["latency_ms"] < slower["bytes_moved"] * 8 / 200 + fast["latency_ms"]
    assert fast["redundant_flops_share"] > 0


def test_requests_at_intervals_and_what_they_cost(report):
    one = report("split", cluster_text())
    five = report("split", cluster_text(), "--requests", 5, "--every", 10 * one["latency_ms"])
    assert five["requests"] == 5
    assert five["latency_ms"] == pytest.approx(one["latency_ms"])
    assert five["bytes_moved"] == one["bytes_moved"]
    assert five["makespan_ms"] == pytest.approx(41 * one["latency_ms"])
    for device, share in one["utilisation"].items():
        watts = 2 + 3 * share
        assert one["energy_joules"][device] == pytest.approx(watts * one["makespan_ms"] / 1e3)


def test_a_seed_decides_what_changes_by_chance(report, plans):
    text = cluster_text().replace(
        "1ms}", "1ms, channel: 'rayleigh(snr=10dB, width=20MHz, block=1ms)'}"
    )
    first, again, other = (report("split", text, "--seed", seed) for seed in (1, 1, 2))
    assert first == again
    assert first["latency_ms"] != other["latency_ms"]


def test_a_table_and_a_trace(swath, plans, tmp_path):
    (tmp_path / "cluster.yaml").write_text(cluster_text())
    outcome = swath("simulate", plans / "split.json", "--cluster", "cluster.yaml",
                    "--requests", 2, "--trace", "t.json")  # fmt: skip
    assert outcome.status == 0
    for words in ("latency", "mean of 2", "inferences a second", "energy per inference", "t.json"):
        assert words in outcome.stdout
    (trace,) = read_chrome(tmp_path / "t.json")
    assert trace.origin == "predicted"
    assert trace.devices == (COORDINATOR, "a", "b")
    assert {span.request for span in trace.spans} == {0, 1}


def test_the_same_in_python(plans, tmp_path, report):
    said = report("split", cluster_text())
    cluster = library.load_cluster(tmp_path / "cluster.yaml")
    found = library.simulate(library.load_plan(plans / "split.json"), cluster)
    assert isinstance(found, library.Simulation)
    assert found.latencies == (pytest.approx(said["latency_ms"] / 1e3),)


def test_what_does_not_fit_is_refused_in_one_line(refusal, plans, tmp_path):
    def line(text: str, plan: str = "split.json", *options: object) -> str:
        (tmp_path / "c.yaml").write_text(text)
        return refusal("simulate", plans / plan, "--cluster", "c.yaml", *options)

    assert "uses device 'b', which this cluster lacks; plan again" in line(cluster_text(names="a"))
    assert "no such" in line(cluster_text(), "nowhere.json").lower()
    assert "--trace" in line(cluster_text(), "split.json", "--trace", "t.txt")
    gap = cluster_text().replace("1ms}", "1ms, channel: trace.csv}")
    assert "trace.csv" in line(gap)
