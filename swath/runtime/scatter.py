"""The coordinator's half of a request: inputs handed out, outputs gathered."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from swath.engine.session import dtype_named
from swath.plan.program import Box, Message, Piece, Programs, Send, TileInput
from swath.plan.runs import Index, contiguous_runs
from swath.runtime.executor import Outgoing, loose_message, unpack_loose
from swath.runtime.instance import aligned_bytes, as_bytes, cut, is_static, split_boxes


class Scatter:
    """How a plan's inputs are cut and sent; worked out once, for every request."""

    def __init__(self, programs: Programs) -> None:
        coordinator = programs.coordinator
        self._sends: list[tuple[Message, list[tuple[Box, Piece, list[Index] | None]]]] = []
        for step in coordinator.steps:
            assert isinstance(step, Send)
            message = coordinator.messages[step.message]
            cuts = [
                (
                    box,
                    piece,
                    contiguous_runs(piece.region, piece.held) if is_static([box]) else None,
                )
                for piece, box in zip(step.pieces, message.boxes, strict=True)
            ]
            self._sends.append((message, cuts))

    def messages(self, inputs: Mapping[str, np.ndarray]) -> Iterator[Outgoing]:
        """The messages that carry the inputs (C-contiguous arrays) to the devices, in the order in
        which they leave."""
        for message, cuts in self._sends:
            if not is_static(message.boxes):
                arrays = [cut(inputs[box.tensor], piece) for box, piece, _ in cuts]
                yield loose_message(message, arrays)
                continue
            parts: list[memoryview] = []
            for box, piece, runs in cuts:
                array = inputs[box.tensor]
                if runs is None:
                    parts.append(as_bytes(np.ascontiguousarray(cut(array, piece))))
                else:
                    parts += [as_bytes(array[run]) for run in runs]
            yield Outgoing(message, parts, sum(map(len, parts)))


class Gathering:
    """Collects the messages of one request's outputs."""

    def __init__(self, programs: Programs) -> None:
        self.devices = programs.by_device.keys()
        self._programs = programs
        self._missing = set(programs.expected)
        self._boxes: dict[tuple[int, int], np.ndarray] = {}
        self._landing: dict[int, np.ndarray] = {}

    @property
    def is_complete(self) -> bool:
        return not self._missing

    def landing(self, number: int) -> memoryview | None:
        """Where a message's payload is to lie; None: anywhere."""
        message = self._programs.coordinator.messages.get(number)
        if message is None or not is_static(message.boxes):
            return None
        if number not in self._landing:
            self._landing[number] = aligned_bytes(message.nbytes)
        return self._landing[number].data

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
