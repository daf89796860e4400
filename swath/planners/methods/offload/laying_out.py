"""From a way to offload to an ordinary plan: every path is a run of tiles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from swath.graph.geometry import handed_on, tile_geometry
from swath.graph.graph import Graph
from swath.ops import Region
from swath.plan.plan import Plan, PlanDevice, Stage, Tile
from swath.planners.building.layouts import Layouts, Split
from swath.planners.methods.offload.blocks import Blocks
from swath.planners.methods.offload.ways import Ways
from swath.planners.registry import Problem


def plan_of(
    planner: str,
    problem: Problem,
    layouts: Layouts,
    blocks: Blocks,
    names: Sequence[str],
    way: Ways,
) -> Plan:
    """The plan of a way (the first row of ``way``). ``names``: of the servers, then the source."""
    graph, cluster = problem.graph, problem.costs.cluster
    end = blocks.cuts[blocks.ends[way.block[0]]]
    count = int(way.paths[0])
    made: list[_Part] = []
    for path in way.order[0, :count].tolist():
        cut = min(blocks.cuts[way.cut[0, path]], end)
        own = _share(layouts, end, path, count)
        behind = {name: region for name, region in own.items() if graph.producers[name] >= cut}
        before = {name: region for name, region in own.items() if name not in behind}
        for name, region in tile_geometry(graph, range(cut, end), behind).needs.items():
            if name in graph.producers:
                before[name] = region.hull(before[name]) if name in before else region
        server = names[way.server[0, path]]
        made.append(_Part(names[-1], 0, cut, before, f"path {path}"))
        made.append(_Part(server, cut, end, behind, f"path {path}"))
    rest = handed_on(graph, range(end, len(graph.nodes)))
    whole = {name: graph.tensors[name].whole for name in rest}
    made.append(_Part(names[way.rest[0]], end, len(graph.nodes), whole, ""))
    parts = [part for part in made if part.outputs]
    spans = dict.fromkeys((part.start, part.stop) for part in parts)
    return Plan(
        planner=planner,
        model=graph.digest,
        graph=graph,
        devices=tuple(PlanDevice(device.name, device.memory) for device in cluster.workers),
        source=cluster.source,
        stages=tuple(
            Stage(_name(*span), tuple(node.name for node in graph.nodes[span[0] : span[1]]))
            for span in spans
        ),
        tiles=tuple(part.tile(graph) for part in parts),
    )


class _Part:
    """A tile in the making: nodes ``start <= position < stop``."""

    def __init__(
        self, device: str, start: int, stop: int, outputs: Mapping[str, Region], path: str
    ) -> None:
        self.device, self.start, self.stop = device, start, stop
        self.outputs, self.path = outputs, path

    def tile(self, graph: Graph) -> Tile:
        made = handed_on(graph, range(self.start, self.stop))
        outputs = {name: self.outputs[name] for name in made if name in self.outputs}
        return Tile(self.device, _name(self.start, self.stop), outputs, self.path)


def _name(start: int, stop: int) -> str:
    return f"{start}-{stop}"


def _share(layouts: Layouts, end: int, path: int, count: int) -> dict[str, Region]:
    """A path's equal share of what a block hands on."""
    split = Split("rows", tuple(map(str, range(count))), (1.0,) * count)
    shares = {name: layouts.of(name, split)[path] for name in handed_on(layouts.graph, range(end))}
    return {name: region for name, region in shares.items() if region is not None}
