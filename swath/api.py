"""The public functions; the command line calls these and adds nothing."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from swath import zoo
from swath.cluster import Cluster, local_cluster
from swath.cost import nominal_costs
from swath.errors import ModelError
from swath.graph.graph import Graph
from swath.graph.inspect import Inspection, inspect_graph
from swath.graph.load import load_onnx
from swath.plan.plan import Plan
from swath.plan.validate import validate_plan
from swath.planners import Problem, make_planner
from swath.runtime.clusters import DEFAULT_PLANNER, random_inputs
from swath.runtime.plain import PlainRuntime
from swath.runtime.verify import Verification, verify_plan

if TYPE_CHECKING:
    import onnx
    import torch

VERIFY_GFLOPS = 5.0
"""Speed of the devices that `verify` imagines: slow enough that stages stay short and many."""


def load(
    model: str | os.PathLike[str] | bytes | onnx.ModelProto | torch.nn.Module,
    *,
    dimensions: Mapping[str, int] | None = None,
    weights: str | os.PathLike[str] | None = None,
    example: Any = None,
    seed: int = 0,
) -> Graph:
    """A model as a graph: ``zoo:NAME`` or ``zoo:NAME@HxW``, an ONNX file, its bytes, a ModelProto,
    or a ``torch.nn.Module`` (then ``example``: the tensors of one call; needs ``swath[torch]``).

    ``dimensions`` binds free dimensions (``{"batch": 1}``, or by input and axis ``{"x:0": 1}``).
    ``weights``: a safetensors or ONNX file to take the place of a zoo model's seeded weights.
    Raises ModelError, in one line that names the thing and the mend.
    """
    if isinstance(model, str) and model.startswith("zoo:"):
        spec = zoo.parse(model)
        proto = zoo.build(spec.name, spec.height, spec.width, seed=seed)
        if weights is not None:
            proto = zoo.replace_weights(proto, weights)
        return load_onnx(proto, dimensions)
    if weights is not None:
        raise ModelError(f"{weights} cannot replace weights: only a zoo model takes others")
    if hasattr(model, "state_dict"):
        from swath.graph.torch import export_module

        module = cast("torch.nn.Module", model)
        return load_onnx(export_module(module, example), dimensions)
    return load_onnx(cast("str | bytes | onnx.ModelProto", model), dimensions)


def inspect(graph: Graph) -> Inspection:
    """Operators, FLOPs, legal cuts, receptive fields and memory of a model."""
    return inspect_graph(graph)


def plan(
    graph: Graph,
    cluster: Cluster,
    planner: str = DEFAULT_PLANNER,
    **options: Any,
) -> Plan:
    """A plan for a described cluster, with a planner by name and its options; raises PlanError."""
    made = make_planner(planner, **options).plan(Problem(graph, nominal_costs(cluster)))
    validate_plan(made, graph)
    return made


def verify(
    graph: Graph,
    *,
    tiles: int = 2,
    split: str = "rows",
    plan: Plan | None = None,
    inputs: Mapping[str, np.ndarray] | None = None,
) -> Verification:
    """Split and unsplit in this process, compared at every stage and at the outputs.

    ``tiles`` devices share each stage by ``split`` (``rows``, ``cols``, ``grid``, ``channels``; FC
    layers by output features whatever it says), unless a ``plan`` is given. ``inputs``: seeded
    random values unless given.
    """
    if plan is None:
        names = [f"device-{index}" for index in range(tiles)]
        cluster = local_cluster(names, gflops=VERIFY_GFLOPS)
        plan = make_planner("even", split=split).plan(Problem(graph, nominal_costs(cluster)))
    validate_plan(plan, graph)
    arrays = random_inputs(graph) if inputs is None else inputs
    return verify_plan(plan, graph, arrays, PlainRuntime(graph).run(arrays))
