"""`swath allocate run`: services at once for real, on workers that are up and in the lab."""

from __future__ import annotations

import subprocess

import pytest

from swath.runtime.lab.remains import remains
from swath.runtime.local import free_port
from tests.cli.conftest import SWATH
from tests.runtime.lab.conftest import needs_root

FIGURES = {"mean_ms", "p50_ms", "p95_ms", "p99_ms", "missed_share", "throughput", "requests"}
WORKLOAD = """\
services:
  - {name: doors, model: "zoo:squeezenet@64x64", rate: 8}
  - {name: cars, model: "zoo:mobilenet_v2@64x64", rate: 4, deadline: 5s}
"""
LINKS = "links: {default: {bandwidth: 200Mbps, latency: 0ms}}"
LAB = f"source: a\ndevices: [{{name: a, cores: 0.3}}, {{name: b, cores: 0.3}}]\n{LINKS}\n"
NOWHERE = f"source: a\ndevices: [{{name: a, gflops: 5}}]\n{LINKS}\n"
RUN = ("allocate", "run", "services.yaml", "--cluster", "cluster.yaml", "--planner", "even")


@pytest.fixture
def written(tmp_path):
    (tmp_path / "services.yaml").write_text(WORKLOAD)
    return tmp_path


def assert_served(report):
    assert set(report) >= FIGURES | {"allocator", "load", "utilisation"}
    assert report["within_tolerance"]
    assert report["missed_share"] == 0
    assert report["mean_ms"] > 0 and report["predicted"]["mean_ms"] > 0
    assert report["predicted"]["requests"] == report["requests"]
    services = {service["name"]: service for service in report["services"]}
    assert set(services) == {"doors", "cars"}
    assert sum(service["requests"] for service in services.values()) == report["requests"]


@pytest.mark.slow
def test_services_run_on_workers_that_are_up(worker, swath, written):
    endpoints = [f"tcp/127.0.0.1:{free_port()}" for _ in "ab"]
    for name, endpoint in zip("ab", endpoints, strict=True):
        worker("--name", name, "--listen", endpoint)
    (written / "cluster.yaml").write_text(
        "source: a\ndevices:\n"
        + "".join(
            f"  - {{name: {name}, address: '{endpoint}'}}\n"
            for name, endpoint in zip("ab", endpoints, strict=True)
        )
    )
    outcome = swath(*RUN, "--allocator", "drl", "--requests", 20, "--json")
    assert outcome.status == 0, outcome
    assert outcome.json["place"] == "cluster"
    assert outcome.json["slowdown"] == 1
    assert outcome.json["stolen"] == 0
    assert_served(outcome.json)


@pytest.mark.slow
@needs_root
def test_services_run_in_the_lab(marked, written):
    before = remains()
    (written / "cluster.yaml").write_text(LAB)
    command = [SWATH, *RUN, "--allocator", "equal", "--requests", "20", "--load", "0.2"]
    # This machine may have to be profiled first.
    done = subprocess.run(
        command, cwd=written, env=marked, capture_output=True, text=True, timeout=280
    )
    assert done.returncode == 0, done.stderr
    for words in ("doors", "cars", "predicted", "within tolerance", "20% of the FLOPs", "all bite"):
        assert words in done.stdout
    assert not [left for left in remains() if left not in before]


def test_what_cannot_be_run_is_refused(refused, written):
    (written / "cluster.yaml").write_text(NOWHERE)
    told = refused(*RUN, "--allocator", "equal")
    assert told.startswith("allocate run has nowhere to run: device 'a' has no address")
    assert "allocator 'even' is not known" in refused(*RUN, "--allocator", "even")
    assert "--load 0 is no load" in refused(*RUN, "--allocator", "equal", "--load", "0")
    assert "--policy is for the allocator drl" in refused(
        *RUN, "--allocator", "equal", "--policy", "p.onnx"
    )
