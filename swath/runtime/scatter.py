"""The coordinator's half of a request: inputs handed out, outputs gathered."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from swath.engine.session import dtype_named
from swath.plan.program import Piece, Programs, Send, TileInput
from swath.runtime.executor import Allocate, Outgoing, Payload, pack, unpack


def scatter(
    programs: Programs, inputs: Mapping[str, np.ndarray], allocate: Allocate
) -> Iterator[Outgoing]:
    """The messages that carry the inputs to the devices, in the order in which they should leave."""
    coordinator = programs.coordinator
    for step in coordinator.steps:
        assert isinstance(step, Send)
        message = coordinator.messages[step.message]
        parts = [
            _cut(inputs[box.tensor], piece)
            for piece, box in zip(step.pieces, message.boxes, strict=True)
        ]
        yield Outgoing(message, pack(message, parts, allocate))


class Gathering:
    """Collects the messages of one request's outputs."""

    def __init__(self, programs: Programs) -> None:
        self._programs = programs
        self._missing = {message.number for message in programs.coordinator.incoming}
        self._received: dict[int, list[np.ndarray]] = {}

    @property
    def devices(self) -> frozenset[str]:
        """Everybody who has a part in the request."""
        return frozenset(self._programs.by_device)

    @property
    def is_complete(self) -> bool:
        return not self._missing

    def deliver(self, number: int, payload: Payload) -> None:
        """A message has come in; its memory must stay as it is until `outputs` is called."""
        boxes = self._programs.coordinator.messages[number].boxes
        self._received[number] = unpack(boxes, payload)
        self._missing.discard(number)

    def outputs(self) -> dict[str, np.ndarray]:
        """Every output that the devices made, whole, in memory of its own."""
        return {
            gathered.box.tensor: self._whole(gathered) for gathered in self._programs.outputs
        }

    def _whole(self, gathered: TileInput) -> np.ndarray:
        box = gathered.box
        if not box.nbytes:
            return self._part(gathered.pieces[0]).copy()
        whole = np.empty(box.region.shape, dtype_named(box.dtype))
        for piece in gathered.pieces:
            whole[piece.region.slices()] = self._part(piece)
        return whole

    def _part(self, piece: Piece) -> np.ndarray:
        assert piece.message is not None and piece.box is not None
        return _cut(self._received[piece.message][piece.box], piece)


def _cut(array: np.ndarray, piece: Piece) -> np.ndarray:
    if piece.region == piece.held:
        return array
    return array[piece.region.relative_to(piece.held).slices()]
