"""Real workers on emulated devices: the command from end to end, and the session below it.

Slow: a device is profiled first, and every quota and rate is seen to bite.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import swath
from swath.runtime.lab.cluster import LabCluster
from swath.runtime.lab.remains import remains
from tests.runtime.lab.clusters import cluster
from tests.runtime.lab.conftest import needs_root

SWATH = str(Path(sys.executable).with_name("swath"))

FILE = """
source: a
devices:
  - {name: a, gflops: 20, cores: 0.25}
  - {name: b, gflops: 20, cores: 0.25}
links:
  default: {bandwidth: 100Mbps, latency: 0ms}
"""

pytestmark = [
    pytest.mark.slow,
    needs_root,
    pytest.mark.usefixtures("no_lab_left"),
]


@pytest.fixture
def cluster_file(tmp_path: Path) -> Path:
    path = tmp_path / "cluster.yaml"
    path.write_text(FILE)
    return path


def test_a_command_reports_what_was_measured_beside_what_was_predicted(
    cluster_file: Path, tmp_path: Path
) -> None:
    command = [SWATH, "lab", "run", "zoo:squeezenet@128x128", "--cluster", str(cluster_file)]
    command += ["--planner", "even", "--repeat", "1", "--trace", "gantt.png", "--json"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["latency_ms"]["median"] > 0
    assert report["single_ms"]["median"] > 0
    assert report["speedup"] == pytest.approx(
        report["single_ms"]["median"] / report["latency_ms"]["median"]
    )
    assert report["max_rel_diff"] <= 1e-5
    assert report["devices"] == ["a", "b"]
    assert report["bytes_moved"] > 0
    assert 0.2 < report["slowdown"] < 5
    assert 0 <= report["stolen"] <= 1
    # That a prediction is close is for the benchmark to show; here it is of the right order.
    assert 0.4 < report["predicted_ms"] / report["latency_ms"]["median"] < 2.5
    assert (tmp_path / "gantt.png").stat().st_size > 10_000


def test_a_slower_link_and_a_smaller_share_are_slower() -> None:
    graph = swath.load("zoo:squeezenet@128x128")
    figures = []
    for rate, cores in ((200, 0.4), (10, 0.4), (200, 0.1)):
        with LabCluster(cluster("a b", {"default": rate}, cores=cores)) as lab:
            plan = swath.plan(graph, lab.cluster, "even", split="rows")
            lab.deploy(graph, plan, swath.random_inputs(graph))
            with lab.in_force():
                figure = lab.figure()
                figures.append(figure.seconds)
            assert 0 < figure.pace < 0.1
    assert figures[1] > 1.2 * figures[0]
    assert figures[2] > 1.2 * figures[0]


def test_a_slower_machine_is_predicted_to_be_slower() -> None:
    graph = swath.load("zoo:squeezenet@128x128")
    with LabCluster(cluster("a b", {"default": 200}, cores=0.4)) as lab:
        plan = lab.plan(graph, "even")
        with lab.paced() as paces:
            pass
        (pace,) = paces
        now, slower = (lab.predict(plan, pace=each).makespan for each in (pace, 2 * pace))
        assert lab.slowdown(2 * pace) == 2 * lab.slowdown(pace)
    assert slower > 1.2 * now


def labs() -> set[Path]:
    """All that are up, or were when their owners were killed."""
    return set(Path("/run/swath").glob("swath-*"))


def test_a_command_that_is_killed_leaves_nothing_that_clean_does_not_remove(
    cluster_file: Path, tmp_path: Path, eventually: Callable[..., None]
) -> None:
    before, others = remains(), labs()
    command = [SWATH, "lab", "run", "zoo:squeezenet@128x128", "--cluster", str(cluster_file)]
    process = subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        eventually(lambda: labs() - others, timeout=60.0)
        time.sleep(1.0)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert [left for left in remains() if left not in before]
    done = subprocess.run([SWATH, "lab", "clean"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0
    assert "removed" in done.stdout


def test_ctrl_c_removes_everything(
    cluster_file: Path, tmp_path: Path, eventually: Callable[..., None]
) -> None:
    others = labs()
    command = [SWATH, "lab", "run", "zoo:squeezenet@128x128", "--cluster", str(cluster_file)]
    process = subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    eventually(lambda: labs() - others, timeout=60.0)
    time.sleep(1.0)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130, said
    assert "Traceback" not in said
