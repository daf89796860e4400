"""The memory of one request in flight on one device, with everything bound to it beforehand.

Where arrays lie, what is copied where and what is sent from where is fixed when the instance is
made; running a step is then a few copies and one call of the engine. An instance serves one
request after the other.

Arrays are numpy views with the tensor's own axes, whatever the order in which they lie in memory
(`Box.order`); only what reaches the engine or the wire is turned to that order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from swath.engine.session import BoundSession, Session, dtype_named, view
from swath.plan.memory import ALIGNMENT, ArrayKey, is_alias, layout
from swath.plan.program import Box, Compute, Message, Piece, Program, Send, TileInput

Copy = tuple[np.ndarray, np.ndarray]
"""(target, source)."""


@dataclass(slots=True)
class BoundStep:
    """A step on its memory: copies first, then the session runs or the buffers leave."""

    copies: list[Copy] = field(default_factory=list)
    session: BoundSession | None = None
    buffers: list[memoryview] = field(default_factory=list)
    nbytes: int = 0
    """Of all buffers together."""


def instance_bytes(program: Program) -> int:
    """What each request in flight takes of a device's memory: its arrays, and its messages."""
    return layout(program).nbytes + sum(message.nbytes for message in program.messages.values())


class Instance:
    """Arrays, landing places of messages, and bound steps.

    ``steps`` holds None for a step that touches an array whose shape is only known when it is
    there; such a step is run by hand.
    """

    def __init__(self, program: Program, sessions: Mapping[int, Session]) -> None:
        self._program = program
        plan = layout(program)
        arena = aligned_bytes(plan.nbytes)
        self._inside = plan.inside
        self.landing: dict[int, memoryview] = {}
        self._boxes: dict[tuple[int, int], np.ndarray] = {}
        for message in program.incoming:
            if is_static(message.boxes):
                memory = aligned_bytes(message.nbytes)
                self.landing[message.number] = memory.data
                for index, array in enumerate(split_boxes(message.boxes, memory)):
                    self._boxes[message.number, index] = array
        self.arrays: dict[ArrayKey, np.ndarray] = {}
        for index, step in enumerate(program.steps):
            if isinstance(step, Compute):
                for box in step.outputs:
                    self._place(arena, plan.offsets, ArrayKey(index, box.tensor, False), box)
                for item in step.inputs:
                    self._place(
                        arena, plan.offsets, ArrayKey(index, item.box.tensor, True), item.box
                    )
        self.steps = [self._bind(index, sessions) for index in range(len(program.steps))]

    def _place(
        self, arena: np.ndarray, offsets: Mapping[ArrayKey, int], key: ArrayKey, box: Box
    ) -> None:
        if key in offsets:
            shape = [box.region.shape[axis] for axis in box.order] or box.region.shape
            self.arrays[key] = own_order(view(arena, offsets[key], box.dtype, shape), box.order)

    def _bind(self, index: int, sessions: Mapping[int, Session]) -> BoundStep | None:
        step = self._program.steps[index]
        if isinstance(step, Send):
            message = self._program.messages[step.message]
            return self._bind_send(step, message) if is_static(message.boxes) else None
        if not is_static([item.box for item in step.inputs]) or not is_static(step.outputs):
            return None
        bound = BoundStep()
        inputs = {
            item.box.tensor: memory_order(self._bind_input(index, item, bound), item.box.order)
            for item in step.inputs
        }
        outputs = {
            box.tensor: memory_order(self.arrays[ArrayKey(index, box.tensor, False)], box.order)
            for box in step.outputs
        }
        bound.session = sessions[index].bind(inputs, outputs)
        return bound

    def _bind_input(self, index: int, item: TileInput, bound: BoundStep) -> np.ndarray:
        tensor = item.box.tensor
        if is_alias(item):
            return self.source(item.pieces[0], tensor)
        key = ArrayKey(index, tensor, True)
        target = self.arrays[key]
        for piece in item.pieces:
            if (
                piece.step is not None
                and self._inside.get(ArrayKey(piece.step, tensor, False)) == key
            ):
                continue  # It was written in place.
            part = piece.region.relative_to(item.box.region).slices()
            bound.copies.append((target[part], self.source(piece, tensor)))
        return target

    def _bind_send(self, step: Send, message: Message) -> BoundStep:
        bound = BoundStep()
        for piece, box in zip(step.pieces, message.boxes, strict=True):
            source = memory_order(self.source(piece, box.tensor), box.order)
            if not source.flags.c_contiguous:
                packed = np.empty(source.shape, source.dtype)
                bound.copies.append((packed, source))
                source = packed
            bound.buffers.append(as_bytes(source))
            bound.nbytes += source.nbytes
        return bound

    def source(self, piece: Piece, tensor: str) -> np.ndarray:
        """The array, as it lies here, that a piece is cut from."""
        if piece.step is not None:
            array = self.arrays[ArrayKey(piece.step, tensor, False)]
        else:
            assert piece.message is not None and piece.box is not None
            array = self._boxes[piece.message, piece.box]
        return cut(array, piece)


def cut(array: np.ndarray, piece: Piece) -> np.ndarray:
    """A piece of the array that holds ``piece.held``."""
    if piece.held == piece.region:
        return array
    return array[piece.region.relative_to(piece.held).slices()]


def own_order(array: np.ndarray, order: Sequence[int]) -> np.ndarray:
    """A view with the tensor's own axes of an array whose axes stand in memory order."""
    return array.transpose(np.argsort(order)) if order else array


def memory_order(array: np.ndarray, order: Sequence[int]) -> np.ndarray:
    """A view whose axes stand in memory order of an array with the tensor's own axes."""
    return array.transpose(order) if order else array


def is_static(boxes: list[Box] | tuple[Box, ...]) -> bool:
    """Whether the shapes of all boxes are known beforehand."""
    return all(box.nbytes for box in boxes)


def split_boxes(boxes: tuple[Box, ...], memory: np.ndarray) -> list[np.ndarray]:
    """Views of the boxes of a message, one after another in an array of bytes."""
    arrays = []
    offset = 0
    for box in boxes:
        flat = np.frombuffer(memory, dtype_named(box.dtype), box.region.size, offset)
        shape = [box.region.shape[axis] for axis in box.order] or box.region.shape
        arrays.append(own_order(flat.reshape(shape), box.order))
        offset += box.nbytes
    return arrays


def as_bytes(array: np.ndarray) -> memoryview:
    """The memory of a C-contiguous array."""
    return array.reshape(-1).view(np.uint8).data


def aligned_bytes(nbytes: int) -> np.ndarray:
    """Memory that starts at a multiple of `ALIGNMENT`."""
    memory = np.empty(nbytes + ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % ALIGNMENT
    return memory[start : start + nbytes]
