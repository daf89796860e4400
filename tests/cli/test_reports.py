"""What the reporting commands say: the keys of their JSON, and their tables."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest

import swath as library
from swath import zoo
from swath.planners import known_planners

SMALL = "zoo:squeezenet@64x64"
TIMES = {"median", "p95", "min", "mean"}
RUN_KEYS = {
    "latency_ms", "single_ms", "speedup", "max_abs_diff", "bytes_moved", "predicted_ms",
    "devices", "planner",
}  # fmt: skip


def test_run_reports_times_equality_and_bytes_and_writes_the_outputs(swath, tmp_path):
    outcome = swath("run", SMALL, "--planner", "even", "--repeat", 3, "-o", "made.npz",
                    "--seed", 4, "--json")  # fmt: skip
    assert outcome.status == 0
    report = outcome.json
    assert set(report) >= RUN_KEYS
    assert set(report["latency_ms"]) == set(report["single_ms"]) == TIMES
    assert report["speedup"] == pytest.approx(
        report["single_ms"]["median"] / report["latency_ms"]["median"]
    )
    assert report["predicted_ms"] > 0
    assert report["devices"] == ["worker-0", "worker-1"]
    assert report["planner"] == "even"
    assert report["within_tolerance"]
    assert report["bytes_moved"] > 0
    session = onnxruntime.InferenceSession(zoo.build("squeezenet", 64, 64).SerializeToString())
    inputs = library.random_inputs(library.load(SMALL), seed=4)
    expected = session.run(None, inputs)[0]
    with np.load(tmp_path / "made.npz") as made:
        assert made.files == ["output"]
        np.testing.assert_allclose(made["output"], expected, atol=1e-4 * np.abs(expected).max())


def test_run_shows_a_table_and_says_when_one_device_is_faster(swath):
    outcome = swath("run", SMALL, "--planner", "even", "--repeat", 1, "--local", 3)
    assert outcome.status == 0
    assert outcome.stderr == ""
    for word in ("latency", "predicted", "one device alone", "speed-up", "bytes moved", "worker-2"):
        assert word in outcome.stdout
    # So small a model gains nothing from three processes, on any machine.
    assert "One device alone is faster here" in outcome.stdout


TINY = "zoo:squeezenet@32x32"
"""What two devices would say to each other takes longer than all of its computing."""


@pytest.mark.slow
def test_one_device_is_used_where_it_is_predicted_to_be_faster(swath, tmp_path):
    (tmp_path / "cluster.yaml").write_text(CLUSTER.replace("0.1ms", "50ms"))
    planned = swath("plan", TINY, "--cluster", "cluster.yaml")
    assert "One device is predicted to be faster" in planned.stdout
    assert "pi-a computes alone" in planned.stdout, "the other is faster, but far away"
    asked = swath("plan", TINY, "--cluster", "cluster.yaml", "--planner", "even", "--json").json
    alone = swath("plan", TINY, "--cluster", "cluster.yaml", "--json").json
    assert (asked["planner"], alone["planner"]) == ("even", "auto")
    assert alone["predicted_ms"] < asked["predicted_ms"]
    assert alone["devices_used"] == ["pi-a"]


@pytest.mark.slow
def test_what_is_predicted_is_of_the_right_order(swath):
    report = swath("run", "zoo:resnet18", "--local", 1, "--repeat", 5, "--json").json
    assert 0.5 < report["predicted_ms"] / report["latency_ms"]["min"] < 2


@pytest.mark.parametrize("split", ["rows", "cols", "grid", "channels"])
def test_verify_compares_every_stage(swath, split):
    report = swath("verify", SMALL, "--tiles", 3, "--split", split, "--json").json
    assert report["max_rel_diff"] <= 1e-4
    assert report["within_tolerance"]
    assert report["worst_tensor"]
    assert report["split_flops_share"] > 0.99
    assert {"max_abs_diff", "bit_exact", "tensors"} <= set(report)


@pytest.mark.slow
def test_verify_says_it_in_words_too(swath):
    outcome = swath("verify", "zoo:alexnet@64x64")
    assert outcome.status == 0
    assert "equal to the last bit" in outcome.stdout


def test_inspect_lists_operators_and_legal_cuts(swath):
    report = swath("inspect", SMALL, "--json").json
    assert {"operators", "flops", "cuts"} <= set(report)
    first = report["operators"][0]
    assert first["type"] == "Conv"
    assert first["outputs"][0]["shape"] == [1, 64, 31, 31]
    assert first["receptive_field"] == [3, 3]
    assert report["flops"] == sum(operator["flops"] for operator in report["operators"])
    assert all(cut["tensors"] and cut["crossing_bytes"] > 0 for cut in report["cuts"])


def test_inspect_shows_a_table(swath):
    outcome = swath("inspect", SMALL)
    assert outcome.status == 0
    assert "receptive field" in outcome.stdout
    assert "features.3.expand3x3" in outcome.stdout


def test_planners_are_listed(swath):
    names = {entry["name"] for entry in swath("planners", "--json").json["planners"]}
    assert {"whole", "even"} <= names
    assert "even" in swath("planners").stdout


CLUSTER = """\
source: pi-a
devices:
  - {name: pi-a, gflops: 5, memory: 1GiB}
  - {name: pi-b, gflops: 10, memory: 1GiB}
links:
  default: {bandwidth: 1Gbps, latency: 0.1ms}
"""


def test_plan_writes_a_plan_that_verify_and_run_take(swath, tmp_path):
    (tmp_path / "cluster.yaml").write_text(CLUSTER)
    made = swath("plan", SMALL, "--cluster", "cluster.yaml", "--planner", "even", "-o", "p.json",
                 "--option", "split=rows", "--picture", "p.svg", "--json").json  # fmt: skip
    assert made["planner"] == "even"
    assert made["predicted_ms"] > 0
    said = swath("simulate", "p.json", "--cluster", "cluster.yaml", "--json").json
    assert said["latency_ms"] == pytest.approx(made["predicted_ms"])
    assert 0 < made["lower_bound_ms"] <= made["predicted_ms"]
    assert made["plan_ms"] > 0
    assert made["devices_used"] == ["pi-a", "pi-b"]
    assert made["stages"] == len(library.load_plan(tmp_path / "p.json").stages)
    assert made["peak_memory_bytes"] > 0
    assert made["bytes_moved"] > 0
    assert (tmp_path / "p.svg").read_text().startswith("<?xml")
    assert swath("verify", SMALL, "--plan", "p.json", "--json").json["within_tolerance"]
    ran = swath("run", SMALL, "--plan", "p.json", "--repeat", 1, "--json").json
    assert ran["devices"] == ["pi-a", "pi-b"]
    assert ran["bytes_moved"] == made["bytes_moved"]


@pytest.mark.slow
def test_plan_for_this_machine_puts_its_files_under_swath_out(swath, tmp_path):
    outcome = swath("plan", SMALL, "--local", 2, "--planner", "even")
    assert outcome.status == 0
    assert (tmp_path / "swath-out" / "plan-squeezenet-64x64-even.json").is_file()
    assert (tmp_path / "swath-out" / "plan-squeezenet-64x64-even.png").is_file()


@pytest.mark.slow
def test_demo_proves_equality_on_a_photograph(swath, tmp_path):
    outcome = swath("demo", "zoo:mobilenet_v2@64x64", "--repeat", 2, "--json")
    assert outcome.status == 0
    report = outcome.json
    assert set(report) >= RUN_KEYS
    assert report["within_tolerance"]
    assert report["input"] == "china.jpg"
    assert (tmp_path / report["picture"]).is_file()


@pytest.mark.slow
def test_demo_shows_where_the_picture_lies(swath, tmp_path):
    outcome = swath("demo", SMALL, "--repeat", 1, "--picture", "here.png")
    assert outcome.status == 0
    assert "seeded weights" in outcome.stdout
    assert "here.png" in outcome.stdout
    assert (tmp_path / "here.png").read_bytes().startswith(b"\x89PNG")


def test_weights_of_ones_own(swath, tmp_path):
    onnx.save(zoo.build("squeezenet", 64, 64, seed=3), tmp_path / "weights.onnx")
    with_weights = swath("inspect", SMALL, "--weights", "weights.onnx", "--json")
    assert with_weights.status == 0
    line = swath("inspect", "weights.onnx", "--weights", "weights.onnx").stderr
    assert "only a zoo model" in line


def test_help_names_every_command(swath):
    text = swath("--help").stdout
    for command in ("demo", "run", "verify", "inspect", "plan", "simulate", "compare", "sweep",
                    "planners", "worker", "devices", "profile", "cluster", "lab"):  # fmt: skip
        assert f" {command} " in text
    assert swath().stdout == text


def test_version(swath):
    assert swath("--version").stdout == f"swath {library.__version__}\n"


def test_compare_shows_every_planner_or_why_it_has_no_plan(swath, tmp_path):
    (tmp_path / "cluster.yaml").write_text(CLUSTER)
    outcome = swath("compare", SMALL, "--cluster", "cluster.yaml", "--json")
    assert outcome.status == 0
    rows = {row["planner"]: row for row in outcome.json["rows"]}
    assert set(rows) == {info.name for info in known_planners()}
    assert "add devices" in rows.pop("halp")["reason"]
    assert "'pico' knows no objective 'latency'" in rows.pop("pico")["reason"]
    assert "more than its limit" in rows.pop("brute-force")["reason"]
    for row in rows.values():
        assert row["predicted_ms"] > 0
        assert set(row) >= {
            "plan_ms", "lower_bound_ms", "devices_used", "stages", "peak_memory_bytes",
            "bytes_moved", "redundant_flops_share", "speedup",
        }  # fmt: skip
    assert rows["whole"]["speedup"] == pytest.approx(1.0)
    assert (tmp_path / outcome.json["picture"]).stat().st_size > 1000
    table = swath("compare", SMALL, "--cluster", "cluster.yaml", "--planners", "whole,modnn,halp")
    for word in ("whole", "modnn", "speed-up", "redundant", "picture: ", "halp: halp needs"):
        assert word in table.stdout
    assert "dpfp" not in table.stdout


POWERED = CLUSTER.replace("memory: 1GiB}", "memory: 1GiB, watts: {idle: 1, busy: 4}}")


@pytest.mark.slow
def test_compare_by_another_objective(swath, tmp_path):
    (tmp_path / "cluster.yaml").write_text(POWERED)
    compare = ("compare", SMALL, "--cluster", "cluster.yaml")
    streaming = swath(*compare, "--planners", "whole,pico,even", "--objective", "throughput",
                      "--json").json  # fmt: skip
    rows = {row["planner"]: row for row in streaming["rows"]}
    assert streaming["objective"] == "throughput"
    assert "it plans for latency" in rows["even"]["reason"]
    for name in ("whole", "pico"):
        assert 0 < rows[name]["interval_ms"] <= rows[name]["predicted_ms"]
        assert rows[name]["energy_j"] is None
    assert rows["pico"]["speedup"] == pytest.approx(
        rows["whole"]["interval_ms"] / rows["pico"]["interval_ms"]
    )
    table = swath(*compare, "--planners", "whole,coedge,even", "--objective", "energy")
    for word in ("energy", " J", "coedge", "even: planner 'even' knows no objective 'energy'"):
        assert word in table.stdout


@pytest.mark.slow
def test_plan_for_energy_under_a_deadline(swath, tmp_path):
    (tmp_path / "cluster.yaml").write_text(POWERED)
    plan = ("plan", SMALL, "--cluster", "cluster.yaml", "--planner", "whole", "--objective",
            "energy")  # fmt: skip
    found = swath(*plan, "--deadline", "10000", "--json").json
    assert found["objective"] == "energy"
    assert found["energy_j"] > 0
    assert found["interval_ms"] is None
    assert found["predicted_ms"] <= 10000
    refused = swath(*plan, "--deadline", "0.01", "--json")
    assert refused.status == 2
    assert "the deadline of 0.01 ms is not met; the best reachable is" in refused.stderr
    assert refused.stderr.count("\n") == 1
    said = swath("plan", SMALL, "--cluster", "cluster.yaml", "--planner", "pico")
    assert "from result to result" in said.stdout, "what pico is for"
