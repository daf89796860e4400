"""The coordinator's half of a request: inputs handed out, outputs gathered."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import numpy as np

from swath.engine.session import dtype_named
from swath.plan.program import Piece, Programs, Send, TileInput
from swath.runtime.executor import Outgoing, pack_loose, unpack_loose
from swath.runtime.instance import aligned_bytes, as_bytes, cut, is_static, split_boxes

MOST_RUNS = 16
"""Buffers that a message is better sent from than copied together."""


def scatter(programs: Programs, inputs: Mapping[str, np.ndarray]) -> Iterator[Outgoing]:
    """The messages that carry the inputs to the devices, in the order in which they leave."""
    coordinator = programs.coordinator
    for step in coordinator.steps:
        assert isinstance(step, Send)
        message = coordinator.messages[step.message]
        arrays = [
            cut(inputs[box.tensor], piece)
            for piece, box in zip(step.pieces, message.boxes, strict=True)
        ]
        if is_static(message.boxes):
            yield Outgoing(message, [part for array in arrays for part in _runs(array)])
        else:
            yield Outgoing(message, [pack_loose(message.boxes, arrays)])


def _runs(array: np.ndarray) -> list[memoryview]:
    """The bytes of an array in C order, as the contiguous runs that it is made of, where they are
    few (the rows of a picture are one per colour); else as a copy in one piece."""
    leading = 0
    part = array
    while not part.flags.c_contiguous:
        part = part[0]
        leading += 1
    outer = array.shape[:leading]
    if math.prod(outer) > MOST_RUNS:
        return [as_bytes(np.ascontiguousarray(array))]
    return [as_bytes(array[index]) for index in np.ndindex(*outer)]


class Gathering:
    """Collects the messages of one request's outputs."""

    def __init__(self, programs: Programs) -> None:
        self.devices = frozenset(programs.by_device)
        self._programs = programs
        self._missing = {message.number for message in programs.coordinator.incoming}
        self._boxes: dict[tuple[int, int], np.ndarray] = {}
        self._landing = {
            message.number: aligned_bytes(message.nbytes)
            for message in programs.coordinator.incoming
            if is_static(message.boxes)
        }

    @property
    def is_complete(self) -> bool:
        return not self._missing

    def landing(self, number: int) -> memoryview | None:
        """Where a message's payload is to lie; None: anywhere."""
        memory = self._landing.get(number)
        return None if memory is None else memory.data

    def deliver(self, number: int, payload: memoryview) -> None:
        """A message has come, its payload in `landing`, where there is one."""
        boxes = self._programs.coordinator.messages[number].boxes
        memory = self._landing.get(number)
        arrays = unpack_loose(boxes, payload) if memory is None else split_boxes(boxes, memory)
        for index, array in enumerate(arrays):
            self._boxes[number, index] = array
        self._missing.discard(number)

    def outputs(self) -> dict[str, np.ndarray]:
        """Every output that the devices made, whole."""
        return {item.box.tensor: self._whole(item) for item in self._programs.outputs}

    def _whole(self, item: TileInput) -> np.ndarray:
        if len(item.pieces) == 1:
            return self._part(item.pieces[0])
        whole = np.empty(item.box.region.shape, dtype_named(item.box.dtype))
        for piece in item.pieces:
            whole[piece.region.slices()] = self._part(piece)
        return whole

    def _part(self, piece: Piece) -> np.ndarray:
        assert piece.message is not None
        assert piece.box is not None
        return cut(self._boxes[piece.message, piece.box], piece)
