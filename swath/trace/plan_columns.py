"""What a picture of a plan shows, as data: a column per stage, a bar per tile."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count

from swath.graph.geometry import TileGeometry, tile_flops, tile_geometry
from swath.graph.graph import Graph
from swath.ops import SWATH_DOMAIN, Region
from swath.plan.plan import Plan, Stage, Tile

Span = tuple[float, float]
"""From 0 (first row, column, channel ...) to 1 (behind the last)."""

_WHOLE: Span = (0.0, 1.0)

_MINOR_OPERATORS = frozenset(
    ["Relu", "Clip", "LeakyRelu", "PRelu", "Sigmoid", "HardSigmoid", "HardSwish", "Add", "Mul",
     "BatchNormalization", "Flatten", "Reshape", "Transpose", "Squeeze", "Unsqueeze", "Identity",
     "Dropout", "Cast", "Pad"]
)  # fmt: skip
"""Not worth a line under a stage that has others."""


@dataclass(frozen=True, slots=True)
class Bar:
    """One tile: what it makes of the stage's main tensor, and what it needs of the stage's inputs.

    ``made`` and ``needed``: a span per axis of `Column.axes` (a single one, of the whole height,
    where the column has none). ``lane``: bars of one column that make the same stand beside each
    other.
    """

    device: str
    made: tuple[Span, ...]
    needed: tuple[Span, ...]
    lane: int = 0


@dataclass(frozen=True, slots=True)
class Column:
    """One stage. ``axes``: names of those along which its main tensor is split (at most two)."""

    stage: str
    number: int
    positions: tuple[int, int]
    operators: tuple[str, ...]
    shape: tuple[int, ...]
    axes: tuple[str, ...]
    bars: tuple[Bar, ...]
    flops_share: float


@dataclass(frozen=True, slots=True)
class PlanView:
    """``work``: FLOPs of each device as a share of the model's, what is computed twice included."""

    columns: tuple[Column, ...]
    devices: tuple[str, ...]
    work: Mapping[str, float]

    @property
    def recomputed(self) -> float:
        """FLOPs beyond the model's own, as a share of them."""
        return max(0.0, sum(self.work.values()) - 1.0)


def plan_view(plan: Plan) -> PlanView:
    """What there is to see of a plan."""
    graph = plan.split_graph
    total = graph.flops or 1
    work: Counter[str] = Counter()
    columns = []
    for number, stage in enumerate(plan.stages, 1):
        positions = [graph.index[name] for name in stage.nodes]
        tiles = [tile for tile in plan.tiles if tile.stage == stage.name]
        geometries = [tile_geometry(graph, positions, tile.outputs) for tile in tiles]
        for tile, geometry in zip(tiles, geometries, strict=True):
            work[tile.device] += tile_flops(graph, geometry)
        columns.append(_column(graph, number, stage, positions, tiles, geometries))
    return PlanView(
        columns=tuple(columns),
        devices=plan.devices_used,
        work={device: work[device] / total for device in plan.devices_used},
    )


def _column(
    graph: Graph,
    number: int,
    stage: Stage,
    positions: Sequence[int],
    tiles: Sequence[Tile],
    geometries: Sequence[TileGeometry],
) -> Column:
    tensor = _main_tensor(graph, tiles)
    shape = graph.tensors[tensor].shape or ()
    regions = [tile.outputs[tensor] for tile in tiles if tensor in tile.outputs]
    axes = tuple(
        axis
        for axis, extent in enumerate(shape)
        if any(region[axis] != (0, extent) for region in regions)
    )[:2]
    return Column(
        stage=stage.name,
        number=number,
        positions=(positions[0], positions[-1]),
        operators=_main_operators(graph, positions),
        shape=shape,
        axes=tuple(_axis_name(shape, axis) for axis in axes),
        bars=_in_lanes(
            Bar(
                tile.device,
                _spans(tile.outputs[tensor], shape, axes),
                _needed(graph, geometry, shape, axes),
            )
            for tile, geometry in zip(tiles, geometries, strict=True)
            if tensor in tile.outputs
        ),
        flops_share=sum(graph.node_flops[p] for p in positions) / (graph.flops or 1),
    )


def _in_lanes(bars: Iterable[Bar]) -> tuple[Bar, ...]:
    placed: list[Bar] = []
    for bar in bars:
        taken = {other.lane for other in placed if _overlap(bar.made, other.made)}
        lane = next(lane for lane in count() if lane not in taken)
        placed.append(replace(bar, lane=lane))
    return tuple(placed)


def _overlap(one: Sequence[Span], other: Sequence[Span]) -> bool:
    return all(a[0] < b[1] and b[0] < a[1] for a, b in zip(one, other, strict=True))


def _main_tensor(graph: Graph, tiles: Sequence[Tile]) -> str:
    """The largest that the stage hands on."""
    names = dict.fromkeys(name for tile in tiles for name in tile.outputs)
    return max(names, key=lambda name: graph.tensors[name].nbytes)


def _main_operators(graph: Graph, positions: Sequence[int]) -> tuple[str, ...]:
    nodes = [graph.nodes[position] for position in positions]
    counts = Counter(node.type for node in nodes)
    inner = {node.type for node in nodes if node.domain == SWATH_DOMAIN} | _MINOR_OPERATORS
    major = {name: n for name, n in counts.items() if name not in inner} or counts
    return tuple(name if n == 1 else f"{n} {name}" for name, n in major.items())


def _axis_name(shape: Sequence[int], axis: int) -> str:
    if len(shape) == 4:
        return ("batch", "channels", "rows", "columns")[axis]
    if len(shape) == 2:
        return ("batch", "features")[axis]
    return f"axis {axis}"


def _spans(region: Region, shape: Sequence[int], axes: Sequence[int]) -> tuple[Span, ...]:
    if not axes:
        return (_WHOLE,)
    return tuple((region[axis][0] / shape[axis], region[axis][1] / shape[axis]) for axis in axes)


def _needed(
    graph: Graph, geometry: TileGeometry, shape: Sequence[int], axes: Sequence[int]
) -> tuple[Span, ...]:
    """The hull of what is needed of the stage's inputs, in fractions of their own extents."""
    hulls: list[Span] = []
    for axis in axes or (None,):
        spans = [
            _span_of_input(region, graph.tensors[name].shape, shape, axis)
            for name, region in geometry.needs.items()
        ]
        hulls.append((min(lo for lo, _ in spans), max(hi for _, hi in spans)) if spans else _WHOLE)
    return tuple(hulls)


def _span_of_input(
    region: Region, extents: Sequence[int] | None, shape: Sequence[int], axis: int | None
) -> Span:
    if axis is None or not extents or len(extents) != len(shape):
        return _WHOLE
    return region[axis][0] / extents[axis], region[axis][1] / extents[axis]
