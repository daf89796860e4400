"""A plan's programs with the seconds that each step takes: what the simulator runs.

Worked out once from a plan, its programs and costs, then good for any number of requests. Parties
and messages are numbers here; everything is flat.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from swath.cost import Costs, MessageCost
from swath.graph.geometry import tile_geometry
from swath.plan.memory import ArrayKey, contiguous_offset, is_alias, layout
from swath.plan.plan import Plan
from swath.plan.program import COORDINATOR, Compute, Message, Program, Programs, TileInput
from swath.plan.runs import contiguous_runs


@dataclass(frozen=True, slots=True)
class Part:
    """One device's program. By step: its seconds of CPU (tile and copies, or the sending of a
    message), the message that it sends (-1: it computes), in which share of the step, its last,
    that message's bytes are written, how many messages it is the first to read from, and its
    stage."""

    device: str
    seconds: tuple[float, ...]
    sends: tuple[int, ...]
    writing: tuple[float, ...]
    awaits: tuple[int, ...]
    stages: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Script:
    """``parts``: the programs. By message: bytes, sender and receiver (places in ``parts``; -1: the
    coordinator), the receiver's seconds of CPU, the receiver's first step that reads it (-1:
    none), its number in the plan (None: the mere beginning of a request).

    ``scatter``: what the coordinator sends, with its seconds, and in which share of them, the last,
    its bytes are written; ``expected``: how many messages it
    gathers; ``begins`` and ``ends``: its seconds besides those. ``routes``: every pair of a sender
    and a receiver once, and ``route_of``: by message the place of its pair there.
    """

    source: str
    parts: tuple[Part, ...]
    nbytes: tuple[int, ...]
    senders: tuple[int, ...]
    receivers: tuple[int, ...]
    receiving: tuple[float, ...]
    read_by: tuple[int, ...]
    numbers: tuple[int | None, ...]
    scatter: tuple[tuple[int, float, float], ...]
    expected: int
    begins: float
    ends: float
    routes: tuple[tuple[int, int], ...] = field(init=False, repr=False, compare=False)
    route_of: tuple[int, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        pairs = list(zip(self.senders, self.receivers, strict=True))
        places = {pair: place for place, pair in enumerate(dict.fromkeys(pairs))}
        object.__setattr__(self, "routes", tuple(places))
        object.__setattr__(self, "route_of", tuple(places[pair] for pair in pairs))

    @property
    def devices(self) -> tuple[str, ...]:
        """The plan's devices that take part, the source included."""
        return tuple(dict.fromkeys((self.source, *(part.device for part in self.parts))))

    def slower(self, times: float) -> Script:
        """The same on processors that take so many times as long for everything."""
        return replace(
            self,
            parts=tuple(
                replace(part, seconds=tuple(times * seconds for seconds in part.seconds))
                for part in self.parts
            ),
            receiving=tuple(times * seconds for seconds in self.receiving),
            scatter=tuple(
                (message, times * seconds, writing) for message, seconds, writing in self.scatter
            ),
            begins=times * self.begins,
            ends=times * self.ends,
        )

    @property
    def bytes_moved(self) -> int:
        """Bytes of tensors that change hands in one request."""
        return sum(self.nbytes)


def make_script(plan: Plan, programs: Programs, costs: Costs) -> Script:
    """The script of a plan and of what was compiled of it, at the costs of the plan's devices.

    Raises ClusterError where the plan names a device that the costs' cluster has not.
    """
    for device in (plan.source, *programs.by_device):
        costs.cluster.device(device)
    seconds = tile_seconds(plan, costs)
    messages = programs.messages
    index = {message.number: place for place, message in enumerate(messages)}
    places = {device: place for place, device in enumerate(programs.by_device)} | {COORDINATOR: -1}
    begun = [device for device, program in programs.by_device.items() if not program.incoming]
    firsts = _first_readers(programs)
    starting = range(len(messages), len(messages) + len(begun))
    return Script(
        source=plan.source,
        parts=tuple(
            _part(plan.source, program, index, seconds, costs)
            for program in programs.by_device.values()
        ),
        nbytes=(*(message.nbytes for message in messages), *(0 for _ in begun)),
        senders=(*(places[message.sender] for message in messages), *(-1 for _ in begun)),
        receivers=(
            *(places[message.receiver] for message in messages),
            *(places[device] for device in begun),
        ),
        receiving=(
            *(_receiving(message, plan, costs) for message in messages),
            *(costs.receiving(device, plan.source).seconds(0) for device in begun),
        ),
        read_by=(*(firsts.get(message.number, -1) for message in messages), *(0 for _ in begun)),
        numbers=(*(message.number for message in messages), *(None for _ in begun)),
        scatter=(
            *(
                (
                    index[message.number],
                    *_sent(
                        costs.sending(plan.source, message.receiver),
                        message.nbytes,
                        costs.copy(plan.source, copied),
                    ),
                )
                for message, copied in _scattered(programs)
            ),
            *(
                (place, *_sent(costs.sending(plan.source, device), 0, 0.0))
                for place, device in zip(starting, begun, strict=True)
            ),
        ),
        expected=len(programs.expected),
        begins=costs.request(plan.source) / 2,
        ends=costs.request(plan.source) / 2 + costs.copy(plan.source, _gathered(programs)),
    )


def tile_seconds(plan: Plan, costs: Costs) -> tuple[float, ...]:
    """Seconds of every tile, alone on its device, in the plan's order."""
    graph = plan.split_graph
    nodes = {stage.name: [graph.index[name] for name in stage.nodes] for stage in plan.stages}
    return tuple(
        costs.tile(tile.device, graph, tile_geometry(graph, nodes[tile.stage], tile.outputs))
        for tile in plan.tiles
    )


def _part(
    source: str, program: Program, index: Mapping[int, int], tiles: Sequence[float], costs: Costs
) -> Part:
    device = program.device
    inside = layout(program).inside
    fresh = costs.cooling(device).fresh
    seconds, sends, writing, stages = [], [], [], []
    for place, step in enumerate(program.steps):
        if isinstance(step, Compute):
            copied = sum(_assembled(place, item, inside) for item in step.inputs)
            seconds.append(tiles[step.tile] + costs.copy(device, copied) + fresh)
            fresh = 0.0
            sends.append(-1)
            writing.append(0.0)
            stages.append(step.stage)
        else:
            message = program.messages[step.message]
            copied = sum(
                box.nbytes
                for piece, box in zip(step.pieces, message.boxes, strict=True)
                if contiguous_offset(piece.region, piece.held, box.order) is None
            )
            sending = costs.sending(device, _on(message.receiver, source))
            spent, share = _sent(sending, message.nbytes, costs.copy(device, copied))
            seconds.append(spent)
            writing.append(share)
            sends.append(index[step.message])
            stages.append("")
    awaits = [0] * len(program.steps)
    for first in _first_readers_of(program).values():
        awaits[first] += 1
    if not program.incoming and awaits:
        awaits[0] += 1  # The word that a request begins.
    return Part(
        device, tuple(seconds), tuple(sends), tuple(writing), tuple(awaits), tuple(stages)
    )  # fmt: skip


def _sent(sending: MessageCost, nbytes: int, copying: float) -> tuple[float, float]:
    """(the sender's seconds of CPU on a message, the share of them in which its bytes are
    written)."""
    seconds = sending.seconds(nbytes) + copying
    return seconds, sending.per_byte * nbytes / seconds if seconds else 0.0


def _assembled(place: int, item: TileInput, inside: Mapping[ArrayKey, ArrayKey]) -> int:
    """Bytes copied to put an input together: none where it lies ready, nor for the parts that were
    written in place."""
    if is_alias(item):
        return 0
    key = ArrayKey(place, item.box.tensor, True)
    itemsize = item.box.nbytes // item.box.region.size
    return sum(
        piece.region.size * itemsize
        for piece in item.pieces
        if piece.step is None or inside.get(ArrayKey(piece.step, item.box.tensor, False)) != key
    )


def _first_readers_of(program: Program) -> dict[int, int]:
    """By message: the first step that reads from it."""
    firsts: dict[int, int] = {}
    for place, awaited in enumerate(program.awaited):
        for number in awaited:
            firsts.setdefault(number, place)
    return firsts


def _first_readers(programs: Programs) -> dict[int, int]:
    return {
        number: place
        for program in programs.by_device.values()
        for number, place in _first_readers_of(program).items()
    }


def _receiving(message: Message, plan: Plan, costs: Costs) -> float:
    sender, receiver = (_on(end, plan.source) for end in (message.sender, message.receiver))
    return costs.receiving(receiver, sender).seconds(message.nbytes)


def _on(party: str, source: str) -> str:
    """The device that a message's end is on."""
    return source if party == COORDINATOR else party


def _scattered(programs: Programs) -> list[tuple[Message, int]]:
    """(message, bytes copied before) of what the coordinator sends."""
    coordinator = programs.coordinator
    found = []
    for step in coordinator.steps:
        assert not isinstance(step, Compute)
        message = coordinator.messages[step.message]
        copied = sum(
            box.nbytes
            for piece, box in zip(step.pieces, message.boxes, strict=True)
            if contiguous_runs(piece.region, piece.held) is None
        )
        found.append((message, copied))
    return found


def _gathered(programs: Programs) -> int:
    """Bytes of outputs that come in several pieces."""
    return sum(item.box.nbytes for item in programs.outputs if len(item.pieces) > 1)
