"""What a plan to offload says: which paths go where, in which turn, and what becomes of each.

It is read from the plan, its programs and a trace of them, not from the search, so it holds for the
plans of all methods of this family.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import cycle

from swath.graph.geometry import handed_on
from swath.graph.graph import Graph
from swath.ops.region import Interval, split_evenly
from swath.plan.plan import Plan, Tile
from swath.plan.program import COORDINATOR, Compute, Programs, Send
from swath.trace.trace import Trace

_MAP_AXES, _ROWS = 4, 2
"""Of a map: how many axes it has, and which of them is its rows."""


@dataclass(frozen=True, slots=True)
class Path:
    """One path through the fused block.

    ``number``: from the first rows on. ``rows``: its share of what the block hands on, of so many
    (``height``); None where that has no rows. ``cut``: the last layer that the source computes,
    ``layers``: how many of the network's layers lie before that cut; None and 0: it gets none.
    ``server``: who computes the block's other layers; None: nobody, the source has done them all.
    """

    number: int
    rows: Interval | None
    height: int | None
    cut: str | None
    layers: int
    server: str | None


@dataclass(frozen=True, slots=True)
class OffloadedWay:
    """What a method has chosen. ``block``: the last layer of the fused block, ``layers``: how many
    it has; ``paths``: in the order of their turns; ``rest``: who computes what is behind the block;
    None: nothing is. Equal for equal choices."""

    source: str
    block: str
    layers: int
    paths: tuple[Path, ...]
    rest: str | None

    @property
    def order(self) -> tuple[int, ...]:
        """The numbers of the paths in the order of their turns."""
        return tuple(path.number for path in self.paths)


@dataclass(frozen=True, slots=True)
class Leg:
    """What becomes of a path. ``nbytes`` leave the source for ``to``, a server (None: the source
    keeps it); what several paths need is counted for the first. Seconds since the request began:
    when the source has computed its part (``computed``), when that, or the picture, has been taken
    in by the server (``received``), when the path is through the block (``finished``); None: there
    is no such thing."""

    to: str | None
    nbytes: int
    computed: float | None
    received: float | None
    finished: float


def way_of(plan: Plan) -> OffloadedWay:
    """The way that a plan of this family goes."""
    graph = plan.graph
    rest = next((tile for tile in plan.tiles if not tile.path), None)
    end = len(graph.nodes) if rest is None else _span(plan, rest)[0]
    paths = _tiles(plan)
    return OffloadedWay(
        source=plan.source,
        block=graph.nodes[end - 1].name,
        layers=end,
        paths=tuple(
            _path(plan, label, [plan.tiles[place] for place in places], end, len(paths))
            for label, places in paths.items()
        ),
        rest=None if rest is None else rest.device,
    )


def legs_of(plan: Plan, programs: Programs, trace: Trace) -> tuple[Leg, ...]:
    """What becomes of each path, in the order of their turns. ``trace``: of one request."""
    way = way_of(plan)
    ends = _tile_ends(plan, trace)
    received = {span.message: span.end for span in trace.spans if span.lane == "receive"}
    sent = _sent(plan, programs)
    legs = []
    for path, (label, places) in zip(way.paths, _tiles(plan).items(), strict=True):
        messages = sent[label]
        here = [ends[place] for place in places if plan.tiles[place].device == plan.source]
        away = path.server or way.rest
        legs.append(
            Leg(
                to=None if away == plan.source else away,
                nbytes=sum(messages.values()),
                computed=max(here, default=None),
                received=max((received[number] for number in messages), default=None),
                finished=max(ends[place] for place in places),
            )
        )
    return tuple(legs)


def by_path(plan: Plan, trace: Trace) -> Trace:
    """The trace with tiles called by their paths; what is behind the block is the rest."""
    turns: dict[tuple[str, str], list[str]] = defaultdict(list)
    for tile in plan.tiles:
        turns[tile.device, tile.stage].append(tile.path or "rest")
    names = {key: cycle(paths) for key, paths in turns.items()}
    return replace(
        trace,
        spans=tuple(
            replace(span, name=next(names[span.device, span.name]))
            if span.lane == "compute"
            else span
            for span in trace.spans
        ),
    )


def _tiles(plan: Plan) -> dict[str, list[int]]:
    """Places of each path's tiles, by its label, in the order of turns."""
    found: dict[str, list[int]] = defaultdict(list)
    for place, tile in enumerate(plan.tiles):
        if tile.path:
            found[tile.path].append(place)
    return dict(found)


def _path(plan: Plan, label: str, tiles: list[Tile], end: int, paths: int) -> Path:
    """One of so many equal paths through a block that ends there."""
    here = next((tile for tile in tiles if tile.device == plan.source), None)
    away = next((tile for tile in tiles if tile.device != plan.source), None)
    layers = 0 if here is None else _span(plan, here)[1]
    number = int(label.split()[-1])
    height = _height(plan.graph, end, paths)
    return Path(
        number=number,
        # A tile may make more than its path's share, for others of its layers need a halo.
        rows=None if height is None else split_evenly(height, paths)[number],
        height=height,
        cut=plan.graph.nodes[layers - 1].name if layers else None,
        layers=layers,
        server=None if away is None else away.device,
    )


def _span(plan: Plan, tile: Tile) -> tuple[int, int]:
    """Positions of a tile's first node and after its last one."""
    nodes = plan.stage_by_name[tile.stage].nodes
    return plan.graph.index[nodes[0]], plan.graph.index[nodes[-1]] + 1


def _height(graph: Graph, end: int, paths: int) -> int | None:
    """Rows of what a block hands on: of the map made last of those that so many paths can share."""
    shapes = {name: graph.tensors[name].whole.shape for name in handed_on(graph, range(end))}
    maps = [
        name for name, shape in shapes.items() if len(shape) == _MAP_AXES and shape[_ROWS] >= paths
    ]
    last = max(maps, key=lambda name: graph.producers[name], default=None)
    return None if last is None else shapes[last][_ROWS]


def _tile_ends(plan: Plan, trace: Trace) -> list[float]:
    """When each tile is computed. Tiles of one stage on one device are computed as they stand."""
    spans: dict[tuple[str, str], list[float]] = defaultdict(list)
    for span in trace.spans:
        if span.lane == "compute":
            spans[span.device, span.name].append(span.end)
    turns = {key: iter(sorted(ends)) for key, ends in spans.items()}
    return [next(turns[tile.device, tile.stage]) for tile in plan.tiles]


def _sent(plan: Plan, programs: Programs) -> Mapping[str, Counter[int]]:
    """Bytes that leave the source for others, by path and message: what a path's tile there makes,
    or boxes of the picture, which are for the first tile that reads them."""
    found: dict[str, Counter[int]] = defaultdict(Counter)
    seen: set[tuple[int, int]] = set()
    for device, program in programs.by_device.items():
        if device == plan.source:
            for step in program.steps:
                if (
                    isinstance(step, Send)
                    and program.messages[step.message].receiver != COORDINATOR
                ):
                    maker = program.steps[_maker(step)]
                    assert isinstance(maker, Compute)
                    label = plan.tiles[maker.tile].path
                    found[label][step.message] += program.messages[step.message].nbytes
            continue
        for reader in program.steps:
            if isinstance(reader, Compute):
                for number, box in _read(reader) - seen:
                    message = program.messages[number]
                    if message.sender == COORDINATOR:
                        found[plan.tiles[reader.tile].path][number] += message.boxes[box].nbytes
                seen |= _read(reader)
    return found


def _maker(step: Send) -> int:
    """The step that makes what is sent."""
    return next(piece.step for piece in step.pieces if piece.step is not None)


def _read(step: Compute) -> set[tuple[int, int]]:
    """(message, box) of all that a tile reads from messages."""
    return {
        (piece.message, piece.box)
        for item in step.inputs
        for piece in item.pieces
        if piece.message is not None and piece.box is not None
    }
