"""`swath allocate`: services on a cluster, on virtual time."""

from __future__ import annotations

import pytest

ROW = {
    "allocator", "load", "mean_ms", "p50_ms", "p95_ms", "p99_ms", "missed_share", "throughput",
    "utilisation",
}  # fmt: skip

WORKLOAD = """\
services:
  - {name: doors, model: "zoo:squeezenet@64x64", rate: 30, deadline: 400ms, priority: 1}
  - {name: cars, model: "zoo:resnet18@64x64", rate: 5, arrivals: {kind: bursty, on: 5s, off: 10s}}
"""
CLUSTER = """\
source: a
devices:
  - {name: a, gflops: 4}
  - {name: b, gflops: 2}
  - {name: c, compute: false}
links:
  default: {bandwidth: 1Gbps, latency: 100us}
"""
FILES = ("workload.yaml", "--cluster", "cluster.yaml")
QUICK = ("--planner", "even", "--requests", 300)


@pytest.fixture
def written(tmp_path):
    """The files of an example, in the folder where commands run."""
    (tmp_path / "workload.yaml").write_text(WORKLOAD)
    (tmp_path / "cluster.yaml").write_text(CLUSTER)
    return tmp_path


def test_compare_has_a_row_for_every_allocator_and_load(swath, written):
    outcome = swath("allocate", "compare", *FILES, *QUICK, "--load", "0.3,1.1", "--json")
    assert outcome.status == 0, outcome
    rows = outcome.json["rows"]
    names = {row["allocator"] for row in rows}
    assert names == {
        "equal", "proportional", "greedy", "random", "round-robin", "shortest-work-first",
        "earliest-deadline", "optimal-static", "drl",
    }  # fmt: skip
    assert [row["load"] for row in rows] == [0.3] * len(names) + [1.1] * len(names)
    for row in rows:
        assert set(row) >= ROW
        assert row["p50_ms"] <= row["p95_ms"] <= row["p99_ms"]
        assert 0 <= row["missed_share"] <= 1
        assert 0 < row["utilisation"] <= 1
    assert (written / outcome.json["picture"]).stat().st_size > 10_000


def test_compare_shows_a_table_and_a_picture(swath, written):
    outcome = swath(
        "allocate", "compare", *FILES, *QUICK, "--allocators", "equal,greedy", "--load", "0.5",
        "--runs", "1", "--picture", "p.svg",
    )  # fmt: skip
    assert outcome.status == 0, outcome
    assert "equal" in outcome.stdout
    assert "p.svg" in outcome.stdout
    assert (written / "p.svg").read_text().startswith("<?xml")


def test_simulate_says_what_became_of_each_service_and_device(swath, written):
    outcome = swath(
        "allocate", "simulate", *FILES, "--planner", "even", "--requests", 20_000,
        "--allocator", "round-robin", "--load", "0.05", "--json",
    )  # fmt: skip
    assert outcome.status == 0, outcome
    report = outcome.json
    assert set(report) >= ROW
    assert report["load"] == pytest.approx(0.05)
    assert [service["name"] for service in report["services"]] == ["doors", "cars"]
    assert [device["name"] for device in report["devices"]] == ["a", "b", "c"]
    assert report["devices"][2]["utilisation"] == 0.0, "it computes nothing"
    total = sum(service["requests"] for service in report["services"])
    assert total == report["requests"]
    # What is asked for is done, at so small a load.
    assert report["utilisation"] == pytest.approx(0.05, rel=0.1)


def test_simulate_takes_the_rates_of_the_file_and_tells_of_overload(swath, written):
    text = WORKLOAD.replace("rate: 5", "rate: 500")
    (written / "workload.yaml").write_text(text)
    outcome = swath("allocate", "simulate", *FILES, *QUICK, "--allocator", "shortest-work-first")
    assert outcome.status == 0, outcome
    assert "overload" in outcome.stdout


def test_nobody_comes_where_all_rates_are_0(swath, written):
    (written / "workload.yaml").write_text(
        WORKLOAD.replace("rate: 30", "rate: 0").replace("rate: 5", "rate: 0")
    )
    outcome = swath("allocate", "simulate", *FILES, *QUICK, "--allocator", "equal", "--json")
    assert outcome.status == 0, outcome
    assert outcome.json["requests"] == 0


def test_the_same_seed_gives_the_same_report(swath, written):
    def report(seed: int) -> str:
        return swath(
            "allocate", "simulate", *FILES, *QUICK, "--allocator", "random", "--seed", seed,
            "--json",
        ).stdout  # fmt: skip

    assert report(1) == report(1) != report(2)


def test_list_names_what_there_is(swath):
    found = swath("allocate", "list", "--json").json["allocators"]
    assert {"name", "summary"} <= set(found[0])


@pytest.mark.parametrize(
    ("change", "options", "said"),
    [
        (("zoo:squeezenet@64x64", "missing.onnx"), (), "service 'doors': "),
        (("zoo:squeezenet@64x64", "zoo:nothing"), (), "service 'doors': "),
        (("rate: 30", "rate: -1"), (), "service 'doors': rate"),
        ((), ("--allocator", "gredy"), "did you mean 'greedy'"),
        ((), ("--load", "0"), "--load 0 is no load"),
        ((), ("--load", "nan"), "--load nan is no load"),
        ((), ("--planner", "evn"), "did you mean 'even'"),
        ((), ("--policy", "workload.yaml"), "--policy is for the allocator drl"),
        ((), ("--policy", "workload.yaml", "--allocator", "drl"), "not a policy"),
        (("rate: 30", "rate: 0"), ("--load", "1", "rates"), ""),
    ],
)
def test_mistakes_are_said_in_one_line(refusal, written, change, options, said):
    text = WORKLOAD.replace(*change) if change else WORKLOAD
    if "rates" in options:
        text, options = text.replace("rate: 5", "rate: 0"), options[:2]
        said = "every service's rate is 0"
    (written / "workload.yaml").write_text(text)
    if "--allocator" not in options:
        options = (*options, "--allocator", "equal")
    line = refusal("allocate", "simulate", *FILES, "--requests", 50, *options)
    assert said in line


def test_a_recording_out_of_order_is_refused(refusal, written):
    (written / "calls.csv").write_text("seconds\n1\n3\n2\n")
    (written / "workload.yaml").write_text(
        "services: [{name: a, model: zoo:alexnet, arrivals: {kind: recorded, file: calls.csv}}]"
    )
    line = refusal("allocate", "simulate", *FILES, "--allocator", "equal")
    assert "line 4: 2 s comes after 3 s" in line


@pytest.mark.slow
def test_what_is_trained_is_used(swath, written):
    outcome = swath(
        "allocate", "train", *FILES, "--planner", "even", "--steps", 640, "-o", "p.onnx", "--json"
    )
    assert outcome.status == 0, outcome
    assert {row["allocator"] for row in outcome.json["rows"]} >= {"drl", "equal"}
    assert (written / "p.checkpoint").exists()
    outcome = swath(
        "allocate", "simulate", *FILES, *QUICK, "--allocator", "drl", "--policy", "p.onnx", "--json"
    )
    assert outcome.status == 0, outcome
