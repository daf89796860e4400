"""Split against unsplit in one process: the programs of all devices, and every stage's tensors."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from swath.engine.session import Session
from swath.graph.graph import Graph
from swath.graph.reductions import split_reductions
from swath.graph.tile import extract_tile
from swath.graph.weights import WeightSlice
from swath.ops import Region
from swath.plan.compile import compile_plan
from swath.plan.plan import Plan
from swath.plan.program import COORDINATOR, Compute, Programs
from swath.runtime.executor import Executor, Outgoing
from swath.runtime.instance import Instance
from swath.runtime.scatter import Gathering, Scatter


@dataclass(frozen=True, slots=True)
class Difference:
    """How far two arrays are apart. ``relative`` is to the largest magnitude of the reference."""

    tensor: str
    absolute: float
    relative: float
    bit_exact: bool


@dataclass(frozen=True, slots=True)
class Verification:
    """What a comparison of split and unsplit found, over every tensor that stages hand on."""

    worst: Difference
    max_abs_diff: float
    bit_exact: bool
    tensors: int
    split_flops_share: float
    tolerance: float

    @property
    def within_tolerance(self) -> bool:
        return self.worst.relative <= self.tolerance


EXACT_TOLERANCE = 1e-5
REASSOCIATED_TOLERANCE = 1e-4
"""Of max|reference|: for splits that keep the order of sums, and for those that do not."""


def verify_plan(
    plan: Plan,
    graph: Graph,
    inputs: Mapping[str, np.ndarray],
    reference: Mapping[str, np.ndarray] | None = None,
) -> Verification:
    """Execute the plan's programs in this process and compare every stage's tensors and every
    output with the unsplit model.

    ``graph`` is the plan's graph with its weights. ``reference`` holds the outputs of the model as
    its author wrote it (plain ONNX Runtime); what it lacks comes from the prepared graph, unsplit.
    """
    split_graph = split_reductions(graph, plan.splits)
    programs = compile_plan(plan, split_graph)
    expected = {
        **unsplit(split_graph, _stage_tensors(plan, split_graph), inputs),
        **(reference or {}),
    }
    sessions = make_sessions(programs, graph)
    differences: dict[str, Difference] = {}
    for _, tensor, region, array in execute_in_process(programs, sessions, inputs):
        whole = expected[tensor]
        part = whole[region.slices()] if region else whole
        found = compare(tensor, array, part, whole)
        if tensor not in differences or found.relative > differences[tensor].relative:
            differences[tensor] = found
    nothing = Difference("", 0.0, 0.0, True)  # Where no tensor is made by a node.
    worst = max(differences.values(), key=lambda found: found.relative, default=nothing)
    return Verification(
        worst=worst,
        max_abs_diff=max((found.absolute for found in differences.values()), default=0.0),
        bit_exact=all(found.bit_exact for found in differences.values()),
        tensors=len(differences),
        split_flops_share=split_flops_share(plan, split_graph),
        tolerance=tolerance(plan),
    )


def tolerance(plan: Plan) -> float:
    """How far a plan's results may be from the unsplit model's, relative to max|reference|."""
    return REASSOCIATED_TOLERANCE if plan.splits else EXACT_TOLERANCE


def split_flops_share(plan: Plan, graph: Graph) -> float:
    """Share of the model's FLOPs that lie in stages of several tiles."""
    tiles = Counter(tile.stage for tile in plan.tiles)
    split = sum(
        graph.node_flops[graph.index[name]]
        for stage in plan.stages
        if tiles[stage.name] > 1
        for name in stage.nodes
    )
    return split / graph.flops if graph.flops else 0.0


def unsplit(
    graph: Graph, tensors: Sequence[str], inputs: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """These tensors as the whole graph makes them in one session."""
    if not tensors:
        return {}
    outputs = {name: graph.tensors[name].whole for name in tensors}
    tile = extract_tile(graph, range(len(graph.nodes)), outputs)
    session = Session(tile.model, weight_arrays(tile.weights, graph))
    feeds = {name: inputs[name] for name in session.inputs}
    return dict(zip(session.outputs, session.run(feeds), strict=True))


def make_sessions(programs: Programs, graph: Graph) -> dict[str, dict[int, Session]]:
    """The sessions of every device, by step; tiles of one model and the same weights share one."""
    shared: dict[str, Session] = {}
    sessions: dict[str, dict[int, Session]] = {}
    for device, program in programs.by_device.items():
        sessions[device] = {}
        for index, step in enumerate(program.steps):
            if isinstance(step, Compute):
                if step.model not in shared:
                    weights = weight_arrays(step.weights, graph)
                    shared[step.model] = Session(programs.models[step.model], weights)
                sessions[device][index] = shared[step.model]
    return sessions


def weight_arrays(weights: Mapping[str, WeightSlice], graph: Graph) -> dict[str, np.ndarray]:
    """What the external initializers of a tile hold, from the graph's constants."""
    return {
        name: np.ascontiguousarray(graph.weights[weight.digest][weight.region.slices()])
        for name, weight in weights.items()
    }


def _stage_tensors(plan: Plan, graph: Graph) -> list[str]:
    """Every tensor that some tile hands on; outputs among them."""
    return list(dict.fromkeys(name for tile in plan.tiles for name in tile.outputs))


def compare(
    tensor: str, made: np.ndarray, reference: np.ndarray, whole: np.ndarray | None = None
) -> Difference:
    """How far ``made`` is from ``reference``, relative to the largest magnitude of ``whole`` (the
    tensor that ``reference`` is a part of).

    NaN equals NaN, and infinities equal themselves; a NaN on one side only is infinitely far.
    """
    if made.shape != reference.shape or made.dtype != reference.dtype:
        return Difference(tensor, float("inf"), float("inf"), False)
    if made.dtype == object or made.dtype == np.bool_:
        equal = bool(np.array_equal(made, reference))
        return Difference(tensor, 0.0 if equal else 1.0, 0.0 if equal else 1.0, equal)
    left, right = (np.asarray(array, np.float64) for array in (made, reference))
    same = (left == right) | (np.isnan(left) & np.isnan(right))
    with np.errstate(invalid="ignore"):
        gaps = np.where(same, 0.0, np.abs(left - right))
    gaps = np.where(np.isnan(gaps), np.inf, gaps)
    absolute = float(gaps.max(initial=0.0))
    everything = right if whole is None else np.asarray(whole, np.float64)
    finite = np.abs(everything[np.isfinite(everything)])
    scale = float(finite.max(initial=0.0))
    relative = 0.0 if absolute == 0.0 else absolute / scale if scale else float("inf")
    return Difference(tensor, absolute, relative, bool(same.all()))


def execute_in_process(
    programs: Programs,
    sessions: Mapping[str, Mapping[int, Session]],
    inputs: Mapping[str, np.ndarray],
) -> Iterator[tuple[str, str, Region, np.ndarray]]:
    """Run the programs of all devices, turn by turn; yields (device, tensor, region, array) for
    whatever a tile makes, and at last (`COORDINATOR`, output, whole region, array) for each output.
    """
    executors = {
        device: Executor(program, sessions[device], Instance(program, sessions[device]))
        for device, program in programs.by_device.items()
    }
    gathering = Gathering(programs)

    def deliver(outgoing: Outgoing) -> None:
        number, receiver = outgoing.message.number, outgoing.message.receiver
        payload = memoryview(b"".join(outgoing.parts))
        if receiver == COORDINATOR:
            landing = gathering.landing(number)
        else:
            landing = executors[receiver].instance.landing.get(number)
        if landing is not None:
            landing[:] = payload
            payload = landing
        (gathering if receiver == COORDINATOR else executors[receiver]).deliver(number, payload)

    for outgoing in Scatter(programs).messages(inputs):
        deliver(outgoing)
    waiting = dict(executors)
    while waiting:
        moved = False
        for device, executor in list(waiting.items()):
            while executor.is_ready():
                moved = True
                index = executor.position
                step = executor.program.steps[index]
                sent = executor.advance()
                if sent is not None:
                    deliver(sent)
                elif isinstance(step, Compute):
                    for box in step.outputs:
                        yield device, box.tensor, box.region, executor.output(index, box.tensor)
            if executor.is_done:
                del waiting[device]
        assert moved or not waiting, "the programs wait for each other"
    for name, array in gathering.outputs().items():
        yield COORDINATOR, name, Region.whole(array.shape), array
