"""A program being executed on one device, for one request: bookkeeping and copies, no I/O.

Messages go in by `deliver`, messages come out of `advance`; whoever drives it (a worker over the
fabric, `verify` in one process) moves them. Steps run in program order, each as soon as the pieces
that it reads are there.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from swath.errors import WorkerError
from swath.engine.session import BoundSession, Session, dtype_named, view
from swath.plan.memory import ArrayKey, Layout, layout
from swath.plan.program import Box, Compute, Message, Piece, Program, Send, TileInput

Payload = memoryview | bytes | bytearray
"""The boxes of a message one after another, each C-contiguous; all of them in numpy's ``.npy``
format where the shape of one is not known beforehand."""

Allocate = Callable[[Message], memoryview]
"""Gives the memory (``message.nbytes``) in which a message is to be put together."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message ready to leave."""

    message: Message
    payload: Payload


class Instance:
    """The arrays and bound sessions of one request in flight; used again by later requests."""

    def __init__(self, program: Program, sessions: Mapping[int, Session], plan: Layout) -> None:
        arena = np.empty(plan.nbytes, np.uint8)
        self.arrays: dict[ArrayKey, np.ndarray] = {}
        self.bound: dict[int, BoundSession] = {}
        for index, step in enumerate(program.steps):
            if not isinstance(step, Compute):
                continue
            for box in step.outputs:
                self._place(arena, plan, ArrayKey(index, box.tensor, False), box)
            for tile_input in step.inputs:
                box = tile_input.box
                key = ArrayKey(index, box.tensor, True)
                if key in plan.aliases:
                    if plan.aliases[key] in self.arrays:
                        self.arrays[key] = self.arrays[plan.aliases[key]]
                else:
                    self._place(arena, plan, key, box)
            if all(box.nbytes for box in _boxes(step)):
                self.bound[index] = sessions[index].bind(
                    {i.box.tensor: self.arrays[ArrayKey(index, i.box.tensor, True)] for i in step.inputs},
                    {o.tensor: self.arrays[ArrayKey(index, o.tensor, False)] for o in step.outputs},
                )

    def _place(self, arena: np.ndarray, plan: Layout, key: ArrayKey, box: Box) -> None:
        if key in plan.offsets:
            self.arrays[key] = view(arena, plan.offsets[key], box.dtype, box.region.shape)


class Executor:
    """The state of one request on one device."""

    def __init__(
        self,
        program: Program,
        sessions: Mapping[int, Session],
        instance: Instance,
    ) -> None:
        self.program = program
        self.position = 0
        self._sessions = sessions
        self._instance = instance
        self._loose: dict[ArrayKey, np.ndarray] = {}
        """Arrays whose shape was not known beforehand."""
        self._received: dict[int, list[np.ndarray]] = {}

    @property
    def is_done(self) -> bool:
        return self.position == len(self.program.steps)

    def deliver(self, number: int, payload: Payload) -> None:
        """A message has come in; its memory must stay as it is until the request is done."""
        self._received[number] = unpack(self.program.messages[number].boxes, payload)

    def awaited(self) -> frozenset[int]:
        """Messages that the next step still waits for."""
        return frozenset(
            piece.message
            for piece in _pieces(self.program.steps[self.position])
            if piece.message is not None and piece.message not in self._received
        )

    def is_ready(self) -> bool:
        return not self.is_done and not self.awaited()

    def advance(self, allocate: Allocate) -> Outgoing | None:
        """Run the next step, whose messages must all be there; the message that it sends, if any."""
        step = self.program.steps[self.position]
        if isinstance(step, Compute):
            self._compute(self.position, step)
            self.position += 1
            return None
        message = self.program.messages[step.message]
        parts = [
            self._source(piece, box.tensor)
            for piece, box in zip(step.pieces, message.boxes, strict=True)
        ]
        self.position += 1
        return Outgoing(message, pack(message, parts, allocate))

    def output(self, step: int, tensor: str) -> np.ndarray:
        """What a step made, as it lies in memory now."""
        key = ArrayKey(step, tensor, False)
        return self._loose[key] if key in self._loose else self._instance.arrays[key]

    def _compute(self, index: int, step: Compute) -> None:
        arrays = self._instance.arrays
        feeds: dict[str, np.ndarray] = {}
        for tile_input in step.inputs:
            tensor = tile_input.box.tensor
            key = ArrayKey(index, tensor, True)
            feeds[tensor] = self._assemble(tile_input, arrays.get(key))
        bound = self._instance.bound.get(index)
        if bound is not None:
            bound.run()
            return
        results = self._sessions[index].run(feeds)
        for name, result in zip(self._sessions[index].outputs, results, strict=True):
            key = ArrayKey(index, name, False)
            if key in arrays:
                arrays[key][...] = result
            else:
                self._loose[key] = result

    def _assemble(self, tile_input: TileInput, target: np.ndarray | None) -> np.ndarray:
        """The input of a tile, put together from its pieces in place."""
        tensor = tile_input.box.tensor
        if target is None:
            return self._source(tile_input.pieces[0], tensor)
        for piece in tile_input.pieces:
            source = self._source(piece, tensor)
            if source is not target:
                part = piece.region.relative_to(tile_input.box.region).slices()
                np.copyto(target[part], source)
        return target

    def _source(self, piece: Piece, tensor: str) -> np.ndarray:
        if piece.step is not None:
            array = self.output(piece.step, tensor)
        else:
            assert piece.message is not None and piece.box is not None
            array = self._received[piece.message][piece.box]
        if piece.held == piece.region:
            return array
        return array[piece.region.relative_to(piece.held).slices()]


def prepare_instance(program: Program, sessions: Mapping[int, Session]) -> Instance:
    """Memory and bindings for one request in flight."""
    return Instance(program, sessions, layout(program))


def pack(message: Message, parts: Sequence[np.ndarray], allocate: Allocate) -> Payload:
    """The boxes of a message one after another, in memory that ``allocate`` gives."""
    if not all(box.nbytes for box in message.boxes):
        return _pack_loose(message.boxes, parts)
    memory = allocate(message)
    offset = 0
    for part in parts:
        target = np.frombuffer(memory, part.dtype, part.size, offset).reshape(part.shape)
        np.copyto(target, part)
        offset += part.nbytes
    return memory


def unpack(boxes: Sequence[Box], payload: Payload) -> list[np.ndarray]:
    """The boxes of a message, as views of it where that can be."""
    if not all(box.nbytes for box in boxes):
        stream = io.BytesIO(payload)
        return [np.lib.format.read_array(stream, allow_pickle=False) for _ in boxes]
    arrays = []
    offset = 0
    for box in boxes:
        array = np.frombuffer(payload, dtype_named(box.dtype), box.region.size, offset)
        arrays.append(array.reshape(box.region.shape))
        offset += box.nbytes
    return arrays


def _pack_loose(boxes: Sequence[Box], parts: Sequence[np.ndarray]) -> Payload:
    """A message with a box of unknown shape: numpy's own format, which says the shape."""
    stream = io.BytesIO()
    for box, part in zip(boxes, parts, strict=True):
        if not isinstance(part, np.ndarray) or part.dtype == object:
            raise WorkerError(
                f"tensor {box.tensor!r} is no tensor of numbers and cannot travel; "
                "use planner 'whole' on the device that wants it"
            )
        np.lib.format.write_array(stream, part, allow_pickle=False)
    return stream.getvalue()


def _boxes(step: Compute) -> list[Box]:
    return [tile_input.box for tile_input in step.inputs] + list(step.outputs)


def _pieces(step: Compute | Send) -> list[Piece]:
    if isinstance(step, Send):
        return list(step.pieces)
    return [piece for tile_input in step.inputs for piece in tile_input.pieces]
