"""From a plan to one program per device.

Everything that travels is found by one rule: regions needed minus regions held. A device takes
what it lacks from whoever holds it: itself first, then a tile of the same path, then the source
that the plan names, then the first tile in the plan's order.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from swath.errors import PlanError
from swath.graph.geometry import TileGeometry, tile_geometry
from swath.graph.graph import Graph
from swath.graph.tile import extract_tile
from swath.ops import Region
from swath.plan.order import memory_orders
from swath.plan.plan import Plan, Tile
from swath.plan.program import (
    COORDINATOR,
    Box,
    Compute,
    Message,
    Piece,
    Program,
    Programs,
    Send,
    Step,
    TileInput,
)


def compile_plan(plan: Plan, graph: Graph | None = None) -> Programs:
    """The programs of all devices.

    ``graph`` is the plan's graph with its reductions split (`Plan.split_graph` unless given; one
    with weights serves too). Raises PlanError where a region that somebody needs is made by nobody,
    or only later than it is needed.
    """
    return _Compiler(plan, graph or plan.split_graph).compile()


def sketch_plan(plan: Plan, graph: Graph | None = None) -> Programs:
    """The programs of all devices without their tiles' models, and so without weights and FLOPs:
    all that the simulator looks at, for half of the work. Nobody can run them or tell their memory.
    """
    return _Sketcher(plan, graph or plan.split_graph).compile()


@dataclass(slots=True)
class _Draft:
    """A message in the making."""

    sender: str
    receiver: str
    origin: int | None
    """The tile that made what it carries; None: the model's inputs."""
    after: int
    """It leaves after the sender's last tile whose place in the plan is at most this."""
    boxes: list[Box] = field(default_factory=list)
    pieces: list[_DraftPiece] = field(default_factory=list)
    number: int = -1


@dataclass(slots=True)
class _DraftPiece:
    """A piece whose message, if it comes in one, has no number yet."""

    region: Region
    held: Region
    tile: int | None = None
    draft: _Draft | None = None
    box: int | None = None


@dataclass(frozen=True, slots=True)
class _Holding:
    """A region that a party holds: made by its own tile, or received."""

    region: Region
    tile: int | None
    draft: _Draft | None
    box: int | None


class _Compiler:
    def __init__(self, plan: Plan, graph: Graph) -> None:
        self.plan = plan
        self.graph = graph
        self.geometries = [self._geometry(tile) for tile in plan.tiles]
        self.makers: dict[str, list[int]] = defaultdict(list)
        for place, tile in enumerate(plan.tiles):
            for tensor in tile.outputs:
                self.makers[tensor].append(place)
        self.holdings: dict[tuple[str, str], list[_Holding]] = defaultdict(list)
        self.drafts: dict[tuple[int | None, str, str], _Draft] = {}
        self.orders = memory_orders(plan, graph)
        self.named = {(s.device, s.tensor): s.holder for s in plan.sources}

    def compile(self) -> Programs:
        tile_inputs: list[list[tuple[str, Region, list[_DraftPiece]]]] = []
        for place, tile in enumerate(self.plan.tiles):
            needs = self.geometries[place].needs
            tile_inputs.append(
                [
                    (name, region, self._find(place, tile, name, region))
                    for name, region in needs.items()
                ]
            )
            for tensor, region in tile.outputs.items():
                self.holdings[tile.device, tensor].append(_Holding(region, place, None, None))
        gathered = [
            (name, self.graph.tensors[name].whole, self._gather(name))
            for name in self._made_outputs()
        ]
        return self._assemble(tile_inputs, gathered)

    def _made_outputs(self) -> list[str]:
        """Outputs that some node makes (others are inputs or constants handed through)."""
        return [name for name in dict.fromkeys(self.graph.outputs) if name in self.graph.producers]

    def _geometry(self, tile: Tile) -> TileGeometry:
        stage = self.plan.stage_by_name[tile.stage]
        nodes = [self.graph.index[name] for name in stage.nodes]
        return tile_geometry(self.graph, nodes, tile.outputs)

    # Finding what is needed

    def _gather(self, name: str) -> list[_DraftPiece]:
        return self._find(len(self.plan.tiles), None, name, self.graph.tensors[name].whole)

    def _find(self, place: int, tile: Tile | None, tensor: str, need: Region) -> list[_DraftPiece]:
        """Pieces that make up ``need`` for a tile (None: for the coordinator)."""
        party = COORDINATOR if tile is None else tile.device
        pieces: list[_DraftPiece] = []
        missing = [need]
        for holding in self.holdings[party, tensor]:
            found, missing = _take(missing, holding.region)
            pieces += [
                _DraftPiece(part, holding.region, holding.tile, holding.draft, holding.box)
                for part in found
            ]
            if not missing:
                return pieces
        if tensor in self.graph.inputs:
            return pieces + [self._send_input(party, tensor, part) for part in missing]
        for maker in self._preferred(place, tile, tensor):
            found, missing = _take(missing, self.plan.tiles[maker].outputs[tensor])
            pieces += [self._send(maker, party, tensor, part) for part in found]
            if not missing:
                return pieces
        where = (
            "the model's outputs" if tile is None else f"stage {tile.stage!r} on {tile.device!r}"
        )
        raise PlanError(
            f"plan: nobody makes {missing[0]} of tensor {tensor!r} before {where} needs it; "
            "add a tile that does"
        )

    def _preferred(self, place: int, tile: Tile | None, tensor: str) -> Sequence[int]:
        earlier = [maker for maker in self.makers[tensor] if maker < place]
        if tile is None:
            return earlier
        named = self.named.get((tile.device, tensor))
        if named is None and not tile.path:
            return earlier  # As they stand: nobody is preferred.
        tiles = self.plan.tiles

        def rank(maker: int) -> tuple[bool, bool, int]:
            same_path = bool(tile.path) and tiles[maker].path == tile.path
            return (not same_path, tiles[maker].device != named, maker)

        return sorted(earlier, key=rank)

    # Sending

    def _box(self, tensor: str, region: Region) -> Box:
        info = self.graph.tensors[tensor]
        nbytes = 0 if info.shape is None else region.size * info.itemsize
        return Box(tensor, region, info.dtype, nbytes, self.orders.get(tensor, ()))

    def _draft(self, origin: int | None, sender: str, receiver: str, after: int) -> _Draft:
        key = (origin, sender, receiver)
        if key not in self.drafts:
            self.drafts[key] = _Draft(sender, receiver, origin, after)
        return self.drafts[key]

    def _add(self, draft: _Draft, tensor: str, piece: _DraftPiece) -> _DraftPiece:
        """Put one more box into a message; the piece as its receiver sees it."""
        draft.boxes.append(self._box(tensor, piece.region))
        draft.pieces.append(piece)
        index = len(draft.boxes) - 1
        self.holdings[draft.receiver, tensor].append(_Holding(piece.region, None, draft, index))
        return _DraftPiece(piece.region, piece.region, None, draft, index)

    def _send_input(self, party: str, tensor: str, region: Region) -> _DraftPiece:
        draft = self._draft(None, COORDINATOR, party, -1)
        return self._add(draft, tensor, _DraftPiece(region, self.graph.tensors[tensor].whole))

    def _send(self, maker: int, party: str, tensor: str, region: Region) -> _DraftPiece:
        """Have ``region``, which tile ``maker`` holds, brought to ``party``."""
        tile = self.plan.tiles[maker]
        held = tile.outputs[tensor]
        leader = self._leader(tile)
        if leader is None or leader == tile.device or party == COORDINATOR:
            draft = self._draft(maker, tile.device, party, maker)
            return self._add(draft, tensor, _DraftPiece(region, held, maker))
        at_leader = self._gathered(maker, tensor, leader)
        if party == leader:
            return _DraftPiece(region, held, None, at_leader.draft, at_leader.box)
        # Not before the leader can have it: else it would wait for what may wait for its own tiles.
        after = max(maker, self._first_reader(tensor) - 1)
        draft = self._draft(maker, leader, party, after)
        return self._add(
            draft, tensor, _DraftPiece(region, held, None, at_leader.draft, at_leader.box)
        )

    def _leader(self, tile: Tile) -> str | None:
        """Who gathers and hands out what a tile makes; None: peers send it to each other."""
        of_plan = self.plan.leader if self.plan.exchange == "leader" else None
        return self.plan.stage_by_name[tile.stage].leader or of_plan

    def _gathered(self, maker: int, tensor: str, leader: str) -> _Holding:
        """What ``maker`` made of ``tensor``, whole, as the leader has received it."""
        region = self.plan.tiles[maker].outputs[tensor]
        for holding in self.holdings[leader, tensor]:
            if (
                holding.draft is not None
                and holding.draft.origin == maker
                and holding.region == region
            ):
                return holding
        draft = self._draft(maker, self.plan.tiles[maker].device, leader, maker)
        self._add(draft, tensor, _DraftPiece(region, region, maker))
        return self.holdings[leader, tensor][-1]

    def _first_reader(self, tensor: str) -> int:
        """Place of the first tile that needs any of a tensor."""
        return next(
            place for place, geometry in enumerate(self.geometries) if tensor in geometry.needs
        )

    # Writing the programs down

    def _assemble(
        self,
        tile_inputs: list[list[tuple[str, Region, list[_DraftPiece]]]],
        gathered: list[tuple[str, Region, list[_DraftPiece]]],
    ) -> Programs:
        sends: dict[str, dict[int, list[_Draft]]] = defaultdict(lambda: defaultdict(list))
        places = defaultdict(list)
        for place, tile in enumerate(self.plan.tiles):
            places[tile.device].append(place)
        for draft in self.drafts.values():
            own = places[draft.sender]
            before = bisect_right(own, draft.after)
            sends[draft.sender][own[before - 1] if before else -1].append(draft)
        self._number(sends)
        messages: dict[str, dict[int, Message]] = defaultdict(dict)
        for draft in sorted(self.drafts.values(), key=lambda draft: draft.number):
            message = Message(draft.number, draft.sender, draft.receiver, tuple(draft.boxes))
            messages[draft.sender][draft.number] = message
            messages[draft.receiver][draft.number] = message
        models: dict[str, bytes] = {}
        by_device = {}
        for device in (d.name for d in self.plan.devices if d.name in places or d.name in messages):
            step_of: dict[int, int] = {}
            steps: list[Step] = []
            steps += [self._send_step(draft, step_of) for draft in sends[device][-1]]
            for place in places[device]:
                step_of[place] = len(steps)
                steps.append(self._compute_step(place, tile_inputs[place], step_of, models))
                steps += [self._send_step(draft, step_of) for draft in sends[device][place]]
            by_device[device] = Program(device, tuple(steps), messages[device])
        scatter = tuple(self._send_step(draft, {}) for draft in sends[COORDINATOR][-1])
        outputs = tuple(
            TileInput(self._box(name, region), tuple(_piece(piece, {}) for piece in pieces))
            for name, region, pieces in gathered
        )
        inputs = tuple(
            self._box(name, self.graph.tensors[name].whole) for name in self.graph.inputs
        )
        coordinator = Program(COORDINATOR, scatter, messages[COORDINATOR])
        return Programs(by_device, coordinator, models, inputs, outputs)

    def _number(self, sends: Mapping[str, Mapping[int, list[_Draft]]]) -> None:
        """Ascending in each sender's order; what is needed first leaves first, because drafts were
        made in the order in which the plan's tiles need them."""
        number = 0
        for by_place in sends.values():
            for place in sorted(by_place):
                for draft in by_place[place]:
                    draft.number = number
                    number += 1

    def _send_step(self, draft: _Draft, step_of: Mapping[int, int]) -> Send:
        return Send(draft.number, tuple(_piece(piece, step_of) for piece in draft.pieces))

    def _compute_step(
        self,
        place: int,
        inputs: list[tuple[str, Region, list[_DraftPiece]]],
        step_of: Mapping[int, int],
        models: dict[str, bytes],
    ) -> Compute:
        tile = self.plan.tiles[place]
        step = Compute(
            tile=place,
            stage=tile.stage,
            inputs=tuple(
                TileInput(
                    self._box(name, region), tuple(_piece(piece, step_of) for piece in pieces)
                )
                for name, region, pieces in inputs
            ),
            outputs=tuple(self._box(name, region) for name, region in tile.outputs.items()),
        )
        return self._modelled(step, tile, models)

    def _modelled(self, step: Compute, tile: Tile, models: dict[str, bytes]) -> Compute:
        """The step with the model that it runs."""
        nodes = [self.graph.index[name] for name in self.plan.stage_by_name[tile.stage].nodes]
        model = extract_tile(self.graph, nodes, tile.outputs, self.orders)
        models[model.digest] = model.model
        return replace(step, model=model.digest, weights=model.weights, flops=model.flops)


class _Sketcher(_Compiler):
    def _modelled(self, step: Compute, tile: Tile, models: dict[str, bytes]) -> Compute:
        return step


def _take(missing: list[Region], held: Region) -> tuple[list[Region], list[Region]]:
    """(the parts of ``missing`` that lie in ``held``, what is still missing)."""
    found: list[Region] = []
    left: list[Region] = []
    for box in missing:
        part = box.intersect(held)
        if part is None:
            left.append(box)
            continue
        found.append(part)
        if part != box:
            left.extend(box.subtract(part))
    return found, left


def _piece(piece: _DraftPiece, step_of: Mapping[int, int]) -> Piece:
    message = None if piece.draft is None else piece.draft.number
    step = None if piece.tile is None else step_of[piece.tile]
    return Piece(piece.region, piece.held, step, message, piece.box)
