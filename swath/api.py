"""The public functions; the command line calls these and adds nothing."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from swath import zoo
from swath.cluster import Cluster, local_cluster
from swath.cluster.profile_file import load_profiles
from swath.cluster.uplink import uplink_rate
from swath.cost import Costs, costs_for, nominal_costs
from swath.errors import ModelError
from swath.graph.graph import Graph
from swath.graph.inspect import Inspection, inspect_graph
from swath.graph.load import load_onnx
from swath.plan.compile import compile_plan
from swath.plan.plan import Plan
from swath.plan.validate import validate_devices, validate_plan
from swath.planners import Objective, Problem, first_objective, make_planner
from swath.planners.choosing import DEFAULT_PLANNER, Choice
from swath.planners.choosing import choose as choose_plan
from swath.planners.rate_table import Range, RateTable, plan_by_rate, ranges_about
from swath.runtime.clusters import random_inputs
from swath.runtime.plain import PlainRuntime
from swath.runtime.verify import Verification, verify_plan
from swath.simulate import Request, Simulation, make_script
from swath.simulate import simulate as simulate_requests
from swath.simulate.trials import TRIALS, run_trials

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


def costs(cluster: Cluster) -> Costs:
    """What is known of a described cluster: by the profiles that its devices name, else by their
    ``gflops``. Raises ClusterError for a profile that is missing, damaged or another device's."""
    return costs_for(cluster, load_profiles(cluster))


def choose(
    graph: Graph,
    costs: Costs,
    planner: str | None = None,
    *,
    objective: Objective | None = None,
    deadline: float | None = None,
    **options: Any,
) -> Choice:
    """A plan at these costs and what is expected of it, with a planner by name and its options;
    without: the default planner's, or one device alone where that is predicted to be better.

    ``objective``: what is to be small: the seconds of one inference (``latency``), those between
    the results of a stream of them (``throughput``), the joules of one (``energy``), or the
    probability that one misses the deadline (``reliability``); None: what the planner is for.
    ``deadline``: seconds that one inference may take. Raises PlanError.
    """
    asked = objective or first_objective(planner or DEFAULT_PLANNER)
    choice = choose_plan(Problem(graph, costs, asked, deadline), planner, **options)
    validate_plan(choice.plan, graph)
    return choice


def choose_by_rate(
    graph: Graph,
    costs: Costs,
    planner: str | None = None,
    *,
    objective: Objective | None = None,
    deadline: float | None = None,
    each: Callable[[Sequence[Range]], Iterable[Range]] = iter,
    **options: Any,
) -> RateTable:
    """What `choose` chooses for every rate that the source's uplink may have, its other links
    changing with it: a table to choose from while requests run. The arguments are those of
    `choose`. ``each``: goes through the ranges of rates, to tell how far planning has come. Raises
    PlanError, and ClusterError where nobody but the source computes."""
    asked = objective or first_objective(planner or DEFAULT_PLANNER)
    problem = Problem(graph, costs, asked, deadline)
    ranges = ranges_about(uplink_rate(costs.cluster))
    return plan_by_rate(problem, each(ranges), planner, **options)


def plan(
    graph: Graph,
    cluster: Cluster,
    planner: str | None = None,
    *,
    objective: Objective | None = None,
    deadline: float | None = None,
    **options: Any,
) -> Plan:
    """A plan for a described cluster: that of `choose` at its `costs`."""
    known = costs(cluster)
    choice = choose(graph, known, planner, objective=objective, deadline=deadline, **options)
    return choice.plan


def simulate(
    plan: Plan,
    cluster: Cluster,
    *,
    requests: int = 1,
    every: float | None = None,
    in_flight: int = 1,
    seed: int = 0,
    record: bool = False,
) -> Simulation:
    """A plan on virtual time: ``requests`` inferences, one ``every`` so many seconds, or each when
    fewer than ``in_flight`` are under way.

    ``seed`` is for what changes by chance; ``record`` keeps a trace. Raises PlanError for a plan
    that cannot be carried out or is for other devices, ClusterError for a profile that does not
    fit.
    """
    validate_plan(plan)
    validate_devices(plan, list(cluster.by_name))
    known = costs(cluster)
    script = make_script(plan, compile_plan(plan), known)
    begins = [None if every is None else number * every for number in range(requests)]
    return simulate_requests(
        [Request(script, at) for at in begins],
        known,
        in_flight=in_flight,
        seed=seed,
        record=record,
    )


def trials(
    plans: Sequence[Plan], cluster: Cluster, *, count: int = TRIALS, seed: int = 0
) -> Iterator[Simulation]:
    """``count`` independent inferences on virtual time, each at a moment of its own on links that
    vary in their own way; of several plans (for several sizes of picture) each takes one by chance.

    The same seed gives the same trials. `swath.simulate.reliability` says what their latencies
    mean. Raises as `simulate` does, and PlanError for a recorded channel that is shorter than a
    trial.
    """
    known = costs(cluster)
    scripts = []
    for plan in plans:
        validate_plan(plan)
        validate_devices(plan, list(cluster.by_name))
        scripts.append(make_script(plan, compile_plan(plan), known))
    return run_trials(scripts, known, count, seed)


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
