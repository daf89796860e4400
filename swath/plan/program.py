"""The program: what one device does for a plan. Receive, compute, send; only ever compiled.

The same programs are executed by the simulator on virtual time and by the runtime on real devices.
Importing this needs neither onnx nor any other heavy library: workers do.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from swath.graph.weights import WeightSlice
from swath.ops.region import Region

COORDINATOR = "@coordinator"
"""The party that holds the model's inputs and wants its outputs. It computes nothing."""


@dataclass(frozen=True, slots=True)
class Box:
    """A region of a tensor, as it travels or lies in memory. ``nbytes`` is 0 where the shape is
    only known when it is there. ``order``: its axes in memory, outermost first; () for its own."""

    tensor: str
    region: Region
    dtype: str
    nbytes: int
    order: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Message:
    """Boxes that leave ``sender`` for ``receiver`` together, in this order.

    ``number`` is unique in the plan and ascends in the order in which one sender sends.
    """

    number: int
    sender: str
    receiver: str
    boxes: tuple[Box, ...]

    @property
    def nbytes(self) -> int:
        return sum(box.nbytes for box in self.boxes)


@dataclass(frozen=True, slots=True)
class Piece:
    """Where a part of an input comes from: box ``box`` of message ``message``, or output
    ``tensor`` of step ``step`` of the same program (the other is None)."""

    region: Region
    held: Region
    step: int | None
    message: int | None
    box: int | None


@dataclass(frozen=True, slots=True)
class TileInput:
    """A region that a tile reads and the pieces that make it up."""

    box: Box
    pieces: tuple[Piece, ...]


@dataclass(frozen=True, slots=True)
class Compute:
    """Run one tile. ``tile`` is its place in the plan, ``model`` the digest of its ONNX model (a
    sketch has none); ``weights`` says what the model's external initializers hold."""

    tile: int
    stage: str
    inputs: tuple[TileInput, ...]
    outputs: tuple[Box, ...]
    model: str = ""
    weights: Mapping[str, WeightSlice] = field(default_factory=dict)
    flops: int = 0


@dataclass(frozen=True, slots=True)
class Send:
    """Send a message whose boxes are cut from ``pieces`` (one per box)."""

    message: int
    pieces: tuple[Piece, ...]


Step = Compute | Send


@dataclass(frozen=True)
class Program:
    """All that one device does for one request, in order.

    A step starts when the pieces that it reads are there. ``messages`` holds every message that the
    device sends or receives, by number.
    """

    device: str
    steps: tuple[Step, ...]
    messages: Mapping[int, Message]

    @cached_property
    def awaited(self) -> tuple[frozenset[int], ...]:
        """By step: the messages that it reads from."""
        return tuple(
            frozenset(piece.message for piece in _pieces(step) if piece.message is not None)
            for step in self.steps
        )

    @cached_property
    def incoming(self) -> tuple[Message, ...]:
        return tuple(m for m in self.messages.values() if m.receiver == self.device)

    @cached_property
    def outgoing(self) -> tuple[Message, ...]:
        return tuple(m for m in self.messages.values() if m.sender == self.device)


@dataclass(frozen=True)
class Programs:
    """What compilation makes of a plan.

    ``models`` holds the tiles' ONNX models by digest. ``inputs`` and ``outputs`` are the model's
    own, whole; the coordinator's program sends the former and gathers the latter.
    """

    by_device: Mapping[str, Program]
    coordinator: Program
    models: Mapping[str, bytes]
    inputs: tuple[Box, ...]
    outputs: tuple[TileInput, ...]

    @cached_property
    def version(self) -> str:
        """The same for the same programs."""
        told = (sorted(self.models), self.by_device, self.coordinator, self.inputs, self.outputs)
        return hashlib.sha256(repr(told).encode()).hexdigest()[:32]

    @cached_property
    def expected(self) -> frozenset[int]:
        """Numbers of the messages that the coordinator gathers."""
        return frozenset(message.number for message in self.coordinator.incoming)

    @property
    def messages(self) -> tuple[Message, ...]:
        """Every message of the plan, by number."""
        found: dict[int, Message] = {}
        for program in (self.coordinator, *self.by_device.values()):
            found.update(program.messages)
        return tuple(found[number] for number in sorted(found))

    @property
    def bytes_moved(self) -> int:
        """Bytes of tensors that change hands, the coordinator's share included."""
        return sum(message.nbytes for message in self.messages)


def _pieces(step: Step) -> tuple[Piece, ...]:
    if isinstance(step, Send):
        return step.pieces
    return tuple(piece for item in step.inputs for piece in item.pieces)
