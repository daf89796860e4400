"""The public surface: what is in `swath.__all__`, no more and no less by accident."""

from __future__ import annotations

import subprocess
import sys

import pytest

import swath

PUBLIC = {
    "Cluster", "ClusterError", "ClusterSession", "FabricError", "Graph", "InputError",
    "Inspection", "LocalCluster", "ModelError", "Plan", "PlanError", "Preparation", "RunReport",
    "Simulation", "SwathError", "Verification", "WorkerError", "WorkloadError", "connect",
    "draw_plan", "inspect", "load", "load_cluster", "load_plan", "load_workload", "plan",
    "random_inputs", "read_inputs", "save_plan", "simulate", "verify",
}  # fmt: skip


def test_names():
    assert set(swath.__all__) == PUBLIC
    assert swath.__all__ == sorted(swath.__all__)
    assert set(dir(swath)) >= PUBLIC


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_every_name_is_there_and_says_what_it_is(name):
    assert getattr(swath, name).__doc__


def test_errors_have_one_root():
    for name in PUBLIC:
        if name.endswith("Error"):
            assert issubclass(getattr(swath, name), swath.SwathError)


def test_what_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'fly'"):
        _ = swath.fly  # type: ignore[attr-defined]


def test_importing_it_loads_nothing_heavy():
    code = "import sys, swath; print([m for m in ('onnx', 'onnxruntime', 'zenoh', 'matplotlib', "
    code += "'sklearn', 'torch', 'typer') if m in sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert loaded.stdout == "[]\n", loaded
