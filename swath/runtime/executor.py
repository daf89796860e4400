"""A program being executed on one device, for one request: no I/O.

Messages go in by `deliver`, come out of `advance`; whoever drives it (a worker over the fabric,
`verify` in one process) moves them. Steps run in program order, each as soon as the pieces that it
reads are there.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from swath.engine.session import Session
from swath.errors import WorkerError
from swath.plan.memory import ArrayKey
from swath.plan.program import Box, Compute, Message, Piece, Program, Send, TileInput
from swath.runtime.instance import Instance, cut, memory_order, own_order


class Outgoing(NamedTuple):
    """A message ready to leave; its parts, ``nbytes`` together, lie in memory that the next steps
    may use again."""

    message: Message
    parts: Sequence[memoryview]
    nbytes: int


class Executor:
    """The state of one request on one device."""

    def __init__(
        self, program: Program, sessions: Mapping[int, Session], instance: Instance
    ) -> None:
        self.program = program
        self.instance = instance
        self.position = 0
        self._steps = program.steps
        self._awaited = program.awaited
        self._sessions = sessions
        self._missing = {message.number for message in program.incoming}
        self._loose: dict[ArrayKey, np.ndarray] = {}
        self._loose_boxes: dict[tuple[int, int], np.ndarray] = {}

    @property
    def is_done(self) -> bool:
        return self.position == len(self._steps)

    def deliver(self, number: int, payload: memoryview) -> None:
        """A message has come; ``payload`` is what `Instance.landing` has for it, if anything."""
        if number not in self.instance.landing:
            boxes = self.program.messages[number].boxes
            for index, array in enumerate(unpack_loose(boxes, payload)):
                self._loose_boxes[number, index] = array
        self._missing.discard(number)

    def is_ready(self) -> bool:
        """Whether the next step has all that it reads."""
        position = self.position
        return position < len(self._steps) and self._missing.isdisjoint(self._awaited[position])

    def sends_next(self) -> bool:
        """Whether the next step is to send what is there."""
        return self.is_ready() and isinstance(self._steps[self.position], Send)

    def advance(self) -> Outgoing | None:
        """Run the next step, which must be ready; the message that it sends, if any."""
        index = self.position
        step = self._steps[index]
        bound = self.instance.steps[index]
        self.position += 1
        if bound is None:
            return self._advance_loosely(index, step)
        for target, source in bound.copies:
            np.copyto(target, source)
        if bound.session is not None:
            bound.session.run()
            return None
        assert isinstance(step, Send)
        return Outgoing(self.program.messages[step.message], bound.buffers, bound.nbytes)

    def output(self, step: int, tensor: str) -> np.ndarray:
        """What a step made, as it lies in memory now."""
        key = ArrayKey(step, tensor, False)
        return self._loose[key] if key in self._loose else self.instance.arrays[key]

    # Steps on arrays whose shapes were not known beforehand

    def _advance_loosely(self, index: int, step: Compute | Send) -> Outgoing | None:
        if isinstance(step, Send):
            message = self.program.messages[step.message]
            arrays = [
                self._source(piece, box.tensor)
                for piece, box in zip(step.pieces, message.boxes, strict=True)
            ]
            return loose_message(message, arrays)
        feeds = {item.box.tensor: self._feed(item) for item in step.inputs}
        session = self._sessions[index]
        made = dict(zip(session.outputs, session.run(feeds), strict=True))
        for box in step.outputs:
            key = ArrayKey(index, box.tensor, False)
            result = made[box.tensor]
            if key in self.instance.arrays:
                self.instance.arrays[key][...] = own_order(result, box.order)
            else:
                self._loose[key] = result
        return None

    def _feed(self, item: TileInput) -> np.ndarray:
        array = memory_order(self._assemble(item), item.box.order)
        return np.asarray(array, order="C")

    def _assemble(self, item: TileInput) -> np.ndarray:
        sources = [self._source(piece, item.box.tensor) for piece in item.pieces]
        if len(sources) == 1:
            return sources[0]
        whole = np.empty(item.box.region.shape, sources[0].dtype)
        for piece, source in zip(item.pieces, sources, strict=True):
            whole[piece.region.relative_to(item.box.region).slices()] = source
        return whole

    def _source(self, piece: Piece, tensor: str) -> np.ndarray:
        if piece.step is not None:
            return cut(self.output(piece.step, tensor), piece)
        assert piece.message is not None and piece.box is not None
        loose = self._loose_boxes.get((piece.message, piece.box))
        return self.instance.source(piece, tensor) if loose is None else cut(loose, piece)


def loose_message(message: Message, arrays: Sequence[np.ndarray]) -> Outgoing:
    """A message with a box of unknown shape."""
    packed = pack_loose(message.boxes, arrays)
    return Outgoing(message, [packed], len(packed))


def pack_loose(boxes: Sequence[Box], arrays: Sequence[np.ndarray]) -> memoryview:
    """Boxes in numpy's own format, which says their shapes."""
    stream = io.BytesIO()
    for box, array in zip(boxes, arrays, strict=True):
        if not isinstance(array, np.ndarray) or array.dtype == object:
            raise WorkerError(
                f"tensor {box.tensor!r} is no tensor of numbers and cannot travel between devices"
            )
        np.lib.format.write_array(stream, array, allow_pickle=False)
    return stream.getbuffer()


def unpack_loose(boxes: Sequence[Box], payload: memoryview) -> list[np.ndarray]:
    """The boxes that `pack_loose` wrote."""
    stream = io.BytesIO(payload)
    return [np.lib.format.read_array(stream, allow_pickle=False) for _ in boxes]
