"""Swath runs one CNN inference on many devices at once, exactly, sooner than any one of them could.

>>> import swath                                                            # doctest: +SKIP
>>> graph = swath.load("zoo:resnet34")
>>> with swath.LocalCluster(2) as cluster:
...     report = cluster.run(graph, repeat=10)
>>> report.speedup, report.max_abs_diff
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from swath.api import inspect, load, plan, simulate, verify
    from swath.cluster import Cluster, load_cluster
    from swath.errors import (
        ClusterError,
        FabricError,
        InputError,
        ModelError,
        PlanError,
        SwathError,
        WorkerError,
        WorkloadError,
    )
    from swath.graph.graph import Graph
    from swath.graph.inspect import Inspection
    from swath.plan.codec import load_plan, save_plan
    from swath.plan.plan import Plan
    from swath.runtime.clusters import (
        ClusterSession,
        LocalCluster,
        connect,
        random_inputs,
    )
    from swath.runtime.input_files import Preparation, read_inputs
    from swath.runtime.running import RunReport
    from swath.runtime.verify import Verification
    from swath.simulate.simulate import Simulation
    from swath.trace.pictures import draw_plan
    from swath.workload.file import load_workload

__version__ = "0.1.0"

__all__ = [
    "Cluster",
    "ClusterError",
    "ClusterSession",
    "FabricError",
    "Graph",
    "InputError",
    "Inspection",
    "LocalCluster",
    "ModelError",
    "Plan",
    "PlanError",
    "Preparation",
    "RunReport",
    "Simulation",
    "SwathError",
    "Verification",
    "WorkerError",
    "WorkloadError",
    "connect",
    "draw_plan",
    "inspect",
    "load",
    "load_cluster",
    "load_plan",
    "load_workload",
    "plan",
    "random_inputs",
    "read_inputs",
    "save_plan",
    "simulate",
    "verify",
]

# Imported when first asked for: a worker needs hardly any of it, and must start fast and small.
_HOMES = {
    "swath.api": ("inspect", "load", "verify"),
    "swath.cluster": ("Cluster", "load_cluster"),
    "swath.errors": (
        "ClusterError",
        "FabricError",
        "InputError",
        "ModelError",
        "PlanError",
        "SwathError",
        "WorkerError",
        "WorkloadError",
    ),
    "swath.graph.graph": ("Graph",),
    "swath.graph.inspect": ("Inspection",),
    "swath.plan.codec": ("load_plan", "save_plan"),
    "swath.plan.plan": ("Plan",),
    "swath.runtime.clusters": (
        "ClusterSession",
        "LocalCluster",
        "connect",
        "random_inputs",
    ),
    "swath.runtime.input_files": ("Preparation", "read_inputs"),
    "swath.runtime.running": ("RunReport",),
    "swath.runtime.verify": ("Verification",),
    "swath.simulate.simulate": ("Simulation",),
    "swath.trace.pictures": ("draw_plan",),
    "swath.workload.file": ("load_workload",),
}
_PACKAGES = ("plan", "simulate")
"""Functions whose name a package bears too; it can be called."""

_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name in _HOME_OF:
        return getattr(import_module(_HOME_OF[name]), name)
    if name in _PACKAGES:
        return import_module(f"swath.{name}")
    raise AttributeError(f"module 'swath' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
