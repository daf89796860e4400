"""`swath compare --measure`: every planner's plan for real, beside what was predicted of it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace

import psutil
import pytest

import swath as library
from swath.cli.measuring import measure_each, measured_keys, measured_status
from swath.cli.progress import Display
from swath.cluster import local_cluster
from swath.errors import WorkerError
from swath.runtime.lab.remains import remains
from swath.runtime.local import free_port
from tests.cli.conftest import SWATH
from tests.runtime.lab.conftest import needs_root

SMALL = "zoo:squeezenet@64x64"
TIMES = {"median", "p95", "min", "mean"}
MEASURED_KEYS = {"measured_ms", "max_abs_diff", "within_tolerance"}
LINKS = "links: {default: {bandwidth: 100Mbps, latency: 0ms}}"
PLAIN = f"source: a\ndevices: [{{name: a, gflops: 5}}, {{name: b, gflops: 5}}]\n{LINKS}\n"
RATIONED = f"source: a\ndevices: [{{name: a, cores: 0.25}}, {{name: b, cores: 0.25}}]\n{LINKS}\n"


def rows_of(outcome) -> dict:
    return {row["planner"]: row for row in outcome.json["rows"]}


def test_every_plan_is_measured_and_equal_to_the_unsplit_model(swath, tmp_path):
    compare = ("compare", SMALL, "--local", 2, "--planners", "whole,even,halp", "--measure",
               "--repeat", 2)  # fmt: skip
    outcome = swath(*compare, "--json")
    assert outcome.status == 0, outcome
    rows = rows_of(outcome)
    for name in ("whole", "even"):
        assert set(rows[name]["measured_ms"]) == TIMES
        assert 0 < rows[name]["measured_ms"]["min"] <= rows[name]["measured_ms"]["median"]
        assert rows[name]["max_abs_diff"] >= 0
        assert rows[name]["within_tolerance"]
        assert rows[name]["predicted_ms"] > 0
    assert [rows["halp"][key] for key in sorted(MEASURED_KEYS)] == [None] * 3
    assert "add devices" in rows["halp"]["reason"]
    assert outcome.json["measured_on"] == "local"
    assert len(outcome.json["present"]) == 2
    assert (tmp_path / outcome.json["picture"]).stat().st_size > 1000
    told = swath(*compare, "--picture", "bars.svg").stdout
    for words in ("predicted", "measured", "workers started here; the median of 2 inferences",
                  "results: all ", "halp: halp needs"):  # fmt: skip
        assert words in told
    assert all(word in (tmp_path / "bars.svg").read_text() for word in ("predicted", "measured"))


def test_the_keys_are_there_without_being_measured(swath, tmp_path):
    (tmp_path / "c.yaml").write_text(PLAIN)
    outcome = swath("compare", SMALL, "--cluster", "c.yaml", "--planners", "whole,halp", "--json")
    assert outcome.status == 0, outcome
    for row in rows_of(outcome).values():
        assert [row[key] for key in sorted(MEASURED_KEYS)] == [None] * 3
    assert outcome.json["measured_on"] is None
    # So it is for workers here, which are not asked to compute then.
    here = swath("compare", SMALL, "--local", 1, "--planners", "whole", "--json")
    assert here.json["measured_on"] is None
    assert rows_of(here)["whole"]["measured_ms"] is None


def test_plans_that_are_equal_are_run_once_and_who_fails_does_not_stop_the_others():
    graph = library.load(SMALL)
    cluster = local_cluster(["a", "b"], gflops=5.0)
    even = library.plan(graph, cluster, "even")
    plans = {
        "even": even,
        "twin": replace(even, planner="twin"),
        "whole": library.plan(graph, cluster, "whole"),
        "channels": library.plan(graph, cluster, "even", split="channels"),
    }
    ran = []

    def run(plan):
        ran.append(plan)
        if len(plan.devices_used) == 1:
            raise WorkerError("worker 'a': out of memory")
        return len(ran)

    found = measure_each(plans, run, Display(quiet=True))
    assert ran == [plans["even"], plans["whole"], plans["channels"]]
    assert list(found) == list(plans)
    assert (found["even"], found["twin"], found["channels"]) == (1, 1, 3)
    failed = measured_keys(found["whole"])
    assert failed["measured_ms"] is None
    assert failed["reason"] == "not measured: worker 'a': out of memory"
    assert measured_status({"whole": found["whole"]}) == 1
    assert measured_status({}) == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--cluster", "plain.yaml", "--measure"], "device 'a' has no address, and no device has"),
        (["--cluster", "plain.yaml", "--repeat", "3"], "give --measure too"),
        (["--cluster", "plain.yaml", "--local", "2"], "give --cluster FILE or --local N"),
        ([], "give --cluster FILE or --local N"),
        (["--local", "0", "--measure"], "at least one worker"),
    ],
)
def test_refused_in_one_line(refusal, tmp_path, arguments, said):
    (tmp_path / "plain.yaml").write_text(PLAIN)
    assert said in refusal("compare", SMALL, *arguments)


@pytest.fixture
def endpoint(marked) -> Iterator[str]:
    """Of a worker that is up, named 'alone'."""
    where = f"tcp/127.0.0.1:{free_port()}"
    command = [sys.executable, "-m", "swath.runtime.serve", "--name", "alone", "--listen", where]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, env=marked, text=True)
    assert process.stdout.readline().split() == ["ready", "alone"]
    yield where
    process.terminate()
    process.communicate(timeout=10.0)


@pytest.mark.slow
def test_a_cluster_whose_devices_have_addresses_is_measured_where_it_is(swath, endpoint, tmp_path):
    # Addresses count, although it could be a lab.
    text = "source: {0}\ndevices: [{{name: {0}, gflops: 5, cores: 0.5, address: '{1}'}}]\n"
    (tmp_path / "up.yaml").write_text(text.format("alone", endpoint))
    (tmp_path / "gone.yaml").write_text(text.format("gone", f"tcp/127.0.0.1:{free_port()}"))
    compare = ("compare", SMALL, "--planners", "whole,even", "--measure", "--repeat", 1)
    outcome = swath(*compare, "--cluster", "up.yaml", "--json")
    assert outcome.status == 0, outcome
    assert outcome.json["measured_on"] == "cluster"
    assert all(row["within_tolerance"] for row in rows_of(outcome).values())
    refused = swath(*compare, "--cluster", "gone.yaml", "--json")
    assert refused.status == 2
    assert "worker 'gone' has not come" in refused.stderr
    assert refused.stderr.count("\n") == 1


def test_ctrl_c_leaves_nothing_running(marked, tmp_path, eventually):
    command = [SWATH, "compare", SMALL, "--local", "2", "--planners", "even", "--measure"]
    process = subprocess.Popen(
        [*command, "--repeat", "100000000"],
        cwd=tmp_path,
        env=marked,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    eventually(lambda: len(psutil.Process(process.pid).children()) >= 2, timeout=30.0)
    time.sleep(3.0)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "Traceback" not in said


@pytest.mark.slow
@needs_root
def test_plans_are_measured_in_the_lab(marked, tmp_path):
    before = remains()
    (tmp_path / "lab.yaml").write_text(RATIONED)
    command = [SWATH, "compare", "zoo:squeezenet@128x128", "--cluster", "lab.yaml", "--measure",
               "--planners", "whole,even", "--repeat", "1", "--json"]  # fmt: skip
    done = subprocess.run(
        command, cwd=tmp_path, env=marked, capture_output=True, text=True, timeout=280
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["measured_on"] == "lab"
    assert isinstance(report["delays_emulated"], bool)
    for row in report["rows"]:
        assert row["within_tolerance"]
        # That a prediction is close is for the benchmark to show; here it is of the right order.
        assert 0.4 < row["predicted_ms"] / row["measured_ms"]["median"] < 2.5
    assert not [left for left in remains() if left not in before]


@needs_root
def test_a_cluster_that_this_machine_cannot_imitate(refused, tmp_path):
    (tmp_path / "many.yaml").write_text(RATIONED.replace("0.25", "5000"))
    line = refused("compare", SMALL, "--cluster", "many.yaml", "--measure")
    assert "want 10000 cores" in line and "give them smaller 'cores'" in line
