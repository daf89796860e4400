"""`swath sweep`: a table that grows, survives Ctrl-C and is not computed twice."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys

import pytest

from tests.cli.conftest import SWATH, TIMEOUT

SMALL = "zoo:squeezenet@64x64"
GRID = ("--models", SMALL, "--devices", "1,2", "--rates", "20,100")

CLUSTER = """\
source: pi-a
devices:
  - {name: pi-a, gflops: 5}
  - {name: pi-b, gflops: 10}
links:
  pi-a pi-b: {up: 1Gbps, down: 100Mbps}
"""


def table(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_sweep_goes_on_where_it_was(swath, tmp_path):
    (tmp_path / "pair.yaml").write_text(CLUSTER)
    done = swath("sweep", *GRID, "--planners", "whole,even", "--jobs", 2, "-o", "t.csv", "--json")
    assert done.status == 0
    assert done.stderr == ""
    assert done.json["scenarios"] == 8
    assert done.json["already_there"] == 0
    assert (tmp_path / "t.png").stat().st_size > 1000
    first = table(tmp_path / "t.csv")
    assert [(r["devices"], r["rate_mbit"], r["planner"]) for r in first] == [
        (devices, rate, planner)
        for rate in ("20.0", "100.0")
        for devices in ("1", "2")
        for planner in ("whole", "even")
    ]
    more = swath("sweep", *GRID, "--planners", "whole,even,halp", "--clusters", "pair.yaml",
                 "--jobs", 1, "-o", "t.csv", "--picture", "t.svg")  # fmt: skip
    assert more.status == 0
    assert "15 scenarios, 8 of them from before: t.csv" in more.stdout
    second = table(tmp_path / "t.csv")
    assert len(second) == 15
    assert all(row in second for row in first)  # Planning times included: not computed again.
    (whole,) = [r for r in second if r["cluster"] == "pair" and r["planner"] == "whole"]
    assert whole["rate_mbit"] == ""
    assert float(whole["speedup"]) == pytest.approx(1.0)
    assert all("add devices" in r["reason"] for r in second if r["planner"] == "halp")


def test_parquet_holds_what_is_reported(swath, tmp_path):
    import pyarrow.parquet

    done = swath("sweep", *GRID, "--planners", "whole,modnn", "--uneven", "--networks",
                 "shared,star", "--jobs", 1, "-o", "t.parquet", "--json")  # fmt: skip
    assert done.status == 0
    assert pyarrow.parquet.read_table(tmp_path / "t.parquet").to_pylist() == done.json["rows"]
    assert {row["network"] for row in done.json["rows"]} == {"shared", "star"}
    standings = {standing["planner"]: standing for standing in done.json["planners"]}
    assert standings["whole"]["plans"] == standings["modnn"]["plans"] == 8


def test_the_budget_holds_in_worker_processes(swath):
    done = swath("sweep", *GRID, "--planners", "even", "--budget", 1e-5, "--jobs", 2, "-o", "t.csv",
                 "--json")  # fmt: skip
    assert {row["reason"] for row in done.json["rows"]} == {
        "not done within 1e-05 s; give it more with --budget"
    }
    assert done.json["picture"] is None


@pytest.mark.slow
@pytest.mark.parametrize("jobs", [2, 1])
def test_ctrl_c_keeps_what_is_done(swath, marked, tmp_path, eventually, jobs):
    sizes = ",".join(map(str, range(1, 9)))
    asked = ["sweep", "--models", "zoo:resnet18@64x64", "--devices", sizes, "--rates",
             "1,10,100,1000", "-o", "t.csv"]  # fmt: skip
    started = subprocess.Popen(
        [SWATH, *asked, "--planners", "whole,even,dpfp", "--jobs", str(jobs)],
        cwd=tmp_path, env=marked, start_new_session=True, text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    eventually((tmp_path / "t.csv").exists, TIMEOUT)
    os.killpg(started.pid, signal.SIGINT)  # As a terminal does: to all processes of the sweep.
    output, said = started.communicate(timeout=TIMEOUT)
    assert started.returncode == 130
    assert output == ""
    kept = table(tmp_path / "t.csv")
    assert said == (
        f"swath: stopped after {len(kept)} of 96 scenarios, which are kept; "
        "run the same again to go on\n"
    )
    first = kept[0]["planner"]  # Of several processes any may be the first to have a row.
    done = swath(*asked, "--planners", first, "--jobs", jobs, "--json").json
    assert done["already_there"] == sum(row["planner"] == first for row in kept) > 0
    assert all(row in table(tmp_path / "t.csv") for row in kept)


@pytest.mark.slow
def test_a_cluster_of_dask_computes_the_same(swath, marked, tmp_path, eventually):
    described = tmp_path / "scheduler.json"
    commands = (
        ["dask_scheduler", "--port", "0", "--scheduler-file", str(described), "--no-dashboard"],
        ["dask_worker", "--scheduler-file", str(described), "--nworkers", "1", "--nthreads", "1",
         "--no-dashboard"],
    )  # fmt: skip
    running = []
    try:
        for name, *options in commands:
            command = [sys.executable, "-m", f"distributed.cli.{name}", *options]
            running.append(
                subprocess.Popen(command, cwd=tmp_path, env=marked, stderr=subprocess.DEVNULL)
            )
            eventually(described.exists, TIMEOUT)
        address = json.loads(described.read_text())["address"]
        marked["DASK_SCHEDULER_ADDRESS"] = address
        asked = ("sweep", *GRID, "--planners", "whole,even", "--json")
        far = swath(*asked, "--backend", "dask", "-o", "far.csv")
        assert far.status == 0, far.stderr
        near = swath(*asked, "--jobs", 1, "-o", "near.csv")
    finally:
        for process in reversed(running):
            process.terminate()
            process.wait(TIMEOUT)
    known = ("problem_id", "planner", "predicted_ms", "bytes_moved", "stages")
    assert [[row[key] for key in known] for row in far.json["rows"]] == [
        [row[key] for key in known] for row in near.json["rows"]
    ]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["-o", "t.xlsx"], "end the name so"),
        (["-o", "t.csv", "--models", "none.onnx"], "does not exist"),
        (["-o", "t.csv", "--planners", "evn"], "did you mean 'even'?"),
        (["-o", "t.csv", "--devices", "0"], "write numbers above 0"),
        (["-o", "t.csv", "--rates", "fast"], "--rates 'fast'"),
        (["-o", "t.csv", "--rates", "1,,2"], "a name is empty"),
        (["-o", "t.csv", "--networks", "mesh"], "name switch, shared, star"),
        (["-o", "t.csv", "--gflops", "5", "--uneven"], "leave one away"),
        (["-o", "t.csv", "--gflops", "0"], "more than 0"),
        (["-o", "t.csv", "--backend", "spark"], "'dask'"),
    ],
)
def test_refused_in_one_line(refusal, tmp_path, arguments, said):
    assert said in refusal("sweep", *GRID, *arguments)
    assert list(tmp_path.iterdir()) == []


def test_a_cluster_has_to_be_said(refusal):
    asked = ("sweep", "--models", SMALL, "-o", "t.csv")
    assert "give --devices and --rates, or --clusters" in refusal(*asked)
    assert "--rates is missing" in refusal(*asked, "--devices", "1,2")


def test_a_file_that_no_sweep_wrote_is_left_alone(refused, tmp_path):
    (tmp_path / "t.csv").write_text("name,age\nme,7\n")
    assert "name another file" in refused("sweep", *GRID, "-o", "t.csv")
    assert (tmp_path / "t.csv").read_text() == "name,age\nme,7\n"
