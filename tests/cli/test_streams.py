"""Several inferences in flight, simulated and for real, and what a live cluster is at just now."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest

import swath as library
from swath.cli.clusters import known_of
from swath.cli.streams import stream_keys
from swath.cluster.file import parse_cluster
from swath.plan.plan import PlanDevice
from swath.runtime.local import free_port
from tests.runtime.models import by_node

MODEL = "zoo:squeezenet@64x64"
STREAM_KEYS = {
    "in_flight", "stream_requests", "requests_per_second", "interval_ms",
    "predicted_interval_ms", "stream_latency_ms",
}  # fmt: skip
CLUSTER = """\
source: a
devices: [{name: a, gflops: 5}, {name: b, gflops: 5}]
links: {default: {bandwidth: 1Gbps, latency: 0.1ms}}
"""


@pytest.fixture
def pipeline(tmp_path):
    """A folder with a plan whose first half is on a, the second on b."""
    (tmp_path / "c.yaml").write_text(CLUSTER)
    graph = library.load(MODEL)
    half = len(graph.nodes) // 2
    names = ["a"] * half + ["b"] * (len(graph.nodes) - half)
    plan = replace(by_node(graph, names), devices=(PlanDevice("a"), PlanDevice("b")))
    library.save_plan(plan, tmp_path / "halves.json")
    return tmp_path


def simulated(swath, *options):
    outcome = swath("simulate", "halves.json", "--cluster", "c.yaml", "--json", *options)
    assert outcome.status == 0, outcome
    return outcome.json


def test_results_of_a_simulated_stream_follow_sooner_than_one_takes(swath, pipeline):
    alone = simulated(swath)
    assert alone["interval_ms"] is alone["requests_per_second"] is alone["in_flight"] is None
    one, four = (simulated(swath, "--stream", number) for number in (1, 4))
    assert (one["requests"], four["requests"]) == (3, 12)
    assert one["interval_ms"] == pytest.approx(alone["latency_ms"], rel=0.05)
    assert four["interval_ms"] < 0.8 * alone["latency_ms"]
    assert four["requests_per_second"] == pytest.approx(1e3 / four["interval_ms"])
    assert four["latency_ms"] > alone["latency_ms"], "they are in each other's way"
    said = swath("simulate", "halves.json", "--cluster", "c.yaml", "--stream", 4).stdout
    assert "4 in flight" in said and "one every" in said


def test_options_of_a_stream_that_do_not_go_together(refusal, pipeline):
    def line(*options):
        return refusal("simulate", "halves.json", "--cluster", "c.yaml", *options)

    assert "give one" in line("--stream", 2, "--every", 5)
    assert "--requests 8 is too few to see 4 in flight; give more than 8" in line(
        "--stream", 4, "--requests", 8
    )
    assert "--stream" in refusal("run", MODEL, "--stream", 0)


def test_a_stream_for_real_stands_beside_what_was_predicted(swath):
    outcome = swath("run", MODEL, "--planner", "even", "--repeat", 2, "--stream", 3, "--json")
    assert outcome.status == 0, outcome
    report = outcome.json
    assert set(report) >= STREAM_KEYS
    assert (report["in_flight"], report["stream_requests"]) == (3, 9)
    assert report["requests_per_second"] == pytest.approx(1e3 / report["interval_ms"])
    assert report["predicted_interval_ms"] > 0
    assert set(report["stream_latency_ms"]) == {"median", "p95", "min", "mean"}
    assert report["within_tolerance"]
    for entry in report["present"]:
        assert 0 <= entry["load"] <= 0.8
        assert entry["free_memory_bytes"] > 1 << 20
    assert [entry["name"] for entry in report["present"]] == ["worker-0", "worker-1"]


def test_without_a_stream_its_keys_are_there_all_the_same():
    assert stream_keys(None) == dict.fromkeys(STREAM_KEYS)


@pytest.mark.slow
def test_it_is_said_in_words_too(swath):
    said = swath("run", MODEL, "--planner", "even", "--repeat", 1, "--stream", 2).stdout
    for words in ("2 in flight", "requests a second", "predicted", "found just now",
                  "worker-0: load"):  # fmt: skip
        assert words in said


def test_an_objective_that_the_planner_does_not_know(refused):
    assert "objective" in refused("run", MODEL, "--planner", "even", "--objective", "energy")


# A cluster that a file describes


@pytest.fixture
def served(marked):
    """Starts a worker of a name; its endpoint."""
    processes = []

    def start(name):
        endpoint = f"tcp/127.0.0.1:{free_port()}"
        command = [sys.executable, "-m", "swath.runtime.serve", "--name", name]
        processes.append(
            subprocess.Popen(
                [*command, "--listen", endpoint, "--memory", "300MiB"],
                stdout=subprocess.PIPE,
                env=marked,
                text=True,
            )
        )
        assert processes[-1].stdout.readline().split() == ["ready", name]
        return endpoint

    yield start
    for process in processes:
        process.terminate()
        process.communicate(timeout=10.0)


def described(**addresses):
    devices = [
        {"name": name, "gflops": 5, "memory": "200MiB", **({"address": at} if at else {})}
        for name, at in addresses.items()
    ]
    links = {"default": {"bandwidth": "1Mbps", "latency": "50ms"}}
    return parse_cluster({"source": devices[0]["name"], "devices": devices, "links": links})


def test_a_cluster_that_is_up_is_known_as_it_is(served):
    said = []
    known = known_of(described(left=served("left"), right=served("right")), said.append)
    assert known.absence is None
    assert [state.device for state in known.present] == ["left", "right"]
    for state in known.present:
        assert 0 < state.free_memory <= 300 << 20
    assert known.costs.cluster.device("left").memory == min(200 << 20, known.present[0].free_memory)
    assert known.costs.path("left", "right").bandwidth > 1e6, "as measured, not as written"
    assert "looking at load and free memory" in said


def test_a_cluster_that_is_not_up_is_known_by_its_file(served, monkeypatch):
    monkeypatch.setattr("swath.cli.clusters.FIND_TIMEOUT", 1.0)
    known = known_of(described(left=f"tcp/127.0.0.1:{free_port()}"), lambda text: None)
    assert known.present == ()
    assert "planned by its file: worker 'left' has not come" in known.absence
    assert known.costs.cluster.device("left").memory == 200 << 20
    half = described(left=served("left"), right=f"tcp/127.0.0.1:{free_port()}")
    assert "'right'" in known_of(half, lambda text: None).absence
    nowhere = known_of(described(left=None), lambda text: None)
    assert (nowhere.present, nowhere.absence) == ((), None)


def test_run_on_a_described_cluster_says_what_it_found(swath, served, tmp_path):
    endpoint = served("alone")
    (tmp_path / "c.yaml").write_text(
        f"source: alone\ndevices: [{{name: alone, gflops: 5, address: '{endpoint}'}}]\n"
    )
    report = swath("run", MODEL, "--cluster", "c.yaml", "--repeat", 1, "--stream", 2, "--json").json
    (entry,) = report["present"]
    assert entry["name"] == "alone"
    assert 0 < entry["free_memory_bytes"] <= 300 << 20
    assert report["bit_exact"]
    assert report["interval_ms"] > 0
