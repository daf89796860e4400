"""Whether a plan can be carried out: checked before anything is sent anywhere.

Errors name the stage and the tensor. What only compilation can see (a region that nobody makes
before it is needed) the compiler reports in the same way.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

from swath.errors import PlanError
from swath.graph.geometry import handed_on
from swath.graph.graph import Graph
from swath.ops import RANDOM_OPERATORS, is_covered
from swath.plan.memory import mebibytes, peak_memory
from swath.plan.plan import Plan, Tile
from swath.plan.program import Programs


def validate_plan(plan: Plan, graph: Graph | None = None) -> None:
    """Raises PlanError unless the plan fits its graph and its devices.

    ``graph``: the model it is to be run with; where given, its digest must be the plan's.
    """
    if graph is not None and graph.digest != plan.model:
        raise PlanError(
            f"the plan is for another model (digest {plan.model}, not {graph.digest}); plan again"
        )
    _check_devices(plan)
    _check_stages(plan)
    for tile in plan.tiles:
        _check_tile(plan, tile)
    _check_outputs(plan)


def validate_devices(plan: Plan, devices: Collection[str]) -> None:
    """Raises PlanError where the plan uses a device that is not among these."""
    for device in plan.devices_used:
        if device not in devices:
            raise PlanError(
                f"the plan uses device {device!r}, which this cluster lacks; plan again"
            )


def validate_memory(plan: Plan, programs: Programs) -> None:
    """Raises PlanError where a device's tiles need more memory than it has; of several the tightest
    is named."""
    limits = {device.name: device.memory for device in plan.devices if device.memory is not None}
    peaks = peak_memory(programs) if limits else {}
    overrun = {name: peaks[name] / max(limit, 1) for name, limit in limits.items() if name in peaks}
    tightest = max(overrun, key=lambda name: overrun[name], default=None)
    if tightest is not None and overrun[tightest] > 1:
        need, limit = peaks[tightest], limits[tightest]
        raise PlanError(
            f"device {tightest!r} needs {mebibytes(need)} of memory for its tiles but has "
            f"{mebibytes(limit)}: it lacks {mebibytes(need - limit)}; use more devices or a "
            "smaller input"
        )


def _check_devices(plan: Plan) -> None:
    known = {device.name for device in plan.devices}
    for tile in plan.tiles:
        if tile.device not in known:
            raise PlanError(f"stage {tile.stage!r}: device {tile.device!r} is not in the plan")
    for source in plan.sources:
        for name in (source.device, source.holder):
            if name not in known:
                raise PlanError(f"source of {source.tensor!r}: device {name!r} is not in the plan")
    if plan.exchange not in ("peer", "leader"):
        raise PlanError(f"exchange {plan.exchange!r} is not known; use 'peer' or 'leader'")
    if plan.leader not in known and (plan.exchange == "leader" or plan.leader is not None):
        raise PlanError(f"leader {plan.leader!r} is not in the plan; name one of its devices")
    for stage in plan.stages:
        if stage.leader is not None and stage.leader not in known:
            raise PlanError(
                f"stage {stage.name!r}: leader {stage.leader!r} is not in the plan; "
                "name one of its devices"
            )


def _check_stages(plan: Plan) -> None:
    graph = plan.split_graph
    repeated = [name for name, n in Counter(stage.name for stage in plan.stages).items() if n > 1]
    if repeated:
        raise PlanError(f"stage {repeated[0]!r} is there twice; give each its own name")
    tiles = Counter(tile.stage for tile in plan.tiles)
    for stage in plan.stages:
        positions = []
        for name in stage.nodes:
            if name not in graph.index:
                raise PlanError(f"stage {stage.name!r}: node {name!r} is not in the graph")
            positions.append(graph.index[name])
            if graph.nodes[positions[-1]].type in RANDOM_OPERATORS and tiles[stage.name] > 1:
                raise PlanError(
                    f"stage {stage.name!r}: node {name!r} draws random numbers and must run once; "
                    "give its stage one tile"
                )
        if positions != sorted(set(positions)):
            raise PlanError(f"stage {stage.name!r}: its nodes are not in topological order")


def _check_tile(plan: Plan, tile: Tile) -> None:
    graph = plan.split_graph
    if tile.stage not in plan.stage_by_name:
        raise PlanError(f"a tile of {tile.device!r}: stage {tile.stage!r} is not in the plan")
    stage = plan.stage_by_name[tile.stage]
    made = set(handed_on(graph, (graph.index[name] for name in stage.nodes)))
    if not tile.outputs:
        raise PlanError(f"stage {stage.name!r} on {tile.device!r}: the tile makes nothing")
    for tensor, region in tile.outputs.items():
        where = f"stage {stage.name!r} on {tile.device!r}: tensor {tensor!r}"
        if tensor not in made:
            raise PlanError(f"{where} is not handed on by this stage")
        whole = graph.tensors[tensor].whole
        if len(region) != len(whole) or not whole.contains(region) or region.is_empty():
            raise PlanError(f"{where}: region {region} does not lie in {whole}")


def _check_outputs(plan: Plan) -> None:
    graph = plan.split_graph
    for name in graph.outputs:
        if name in graph.producers:
            made = [tile.outputs[name] for tile in plan.tiles if name in tile.outputs]
            if not is_covered(graph.tensors[name].whole, made):
                raise PlanError(f"output {name!r} is not made in full; add tiles of its stage")
