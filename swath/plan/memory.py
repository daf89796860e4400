"""Where the arrays of a program lie: one arena per request, planned ahead from lifetimes.

The order of a program's steps is fixed, so is the life of every array that a step reads or makes.
Two arrays share memory where their lives do not overlap. That makes the memory of a request known
before it runs, keeps it warm in the caches and spares the page faults of fresh allocations.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from swath.plan.program import Compute, Piece, Program, Programs, TileInput

ALIGNMENT = 64
"""Bytes; a cache line, and what ONNX Runtime's kernels like."""


@dataclass(frozen=True, slots=True)
class ArrayKey:
    """An array of a program: input or output ``tensor`` of step ``step``."""

    step: int
    tensor: str
    is_input: bool


@dataclass(frozen=True, slots=True)
class Layout:
    """Offset of every array in the arena, in bytes. Not in it: inputs that `is_alias`, and arrays
    of unknown shape."""

    offsets: Mapping[ArrayKey, int]
    nbytes: int


def is_alias(tile_input: TileInput) -> bool:
    """Whether the input lies somewhere as it is (one output of an earlier step, or one box of a
    message), so that nothing need be copied."""
    pieces = tile_input.pieces
    return len(pieces) == 1 and pieces[0].held == pieces[0].region == tile_input.box.region


@dataclass(slots=True)
class _Life:
    key: ArrayKey
    nbytes: int
    first: int
    last: int


def layout(program: Program) -> Layout:
    """Greedy by size: the largest array first, each at the lowest offset that is free in its life."""
    lives: dict[ArrayKey, _Life] = {}
    for index, step in enumerate(program.steps):
        if isinstance(step, Compute):
            for box in step.outputs:
                if box.nbytes:
                    key = ArrayKey(index, box.tensor, False)
                    lives[key] = _Life(key, box.nbytes, index, index)
            for tile_input in step.inputs:
                key = ArrayKey(index, tile_input.box.tensor, True)
                if tile_input.box.nbytes and not is_alias(tile_input):
                    lives[key] = _Life(key, tile_input.box.nbytes, index, index)
                for piece in tile_input.pieces:
                    _extend(lives, piece, tile_input.box.tensor, index)
        else:
            boxes = program.messages[step.message].boxes
            for piece, box in zip(step.pieces, boxes, strict=True):
                _extend(lives, piece, box.tensor, index)
    offsets: dict[ArrayKey, int] = {}
    placed: list[tuple[_Life, int]] = []
    total = 0
    for life in sorted(lives.values(), key=lambda life: (-life.nbytes, life.first)):
        offset = 0
        rivals = sorted(
            (start, start + other.nbytes)
            for other, start in placed
            if other.first <= life.last and life.first <= other.last
        )
        for start, stop in rivals:
            if offset + life.nbytes <= start:
                break
            offset = max(offset, -(-stop // ALIGNMENT) * ALIGNMENT)
        offsets[life.key] = offset
        placed.append((life, offset))
        total = max(total, offset + life.nbytes)
    return Layout(offsets, total)


def _extend(lives: dict[ArrayKey, _Life], piece: Piece, tensor: str, until: int) -> None:
    if piece.step is not None:
        life = lives.get(ArrayKey(piece.step, tensor, False))
        if life is not None:
            life.last = max(life.last, until)


PACKING_FACTOR = 2
"""ONNX Runtime keeps weights a second time, packed for its kernels, once per session."""


def peak_memory(programs: Programs) -> dict[str, int]:
    """Bytes that each device needs for one request in flight: weights as stored and as packed by
    every session, the arena, and the messages that are under way.

    What ONNX Runtime allocates inside a tile is not known beforehand and not in it.
    """
    peaks = {}
    for device, program in programs.by_device.items():
        stored = {}
        packed = {}
        for step in program.steps:
            if isinstance(step, Compute):
                for weight in step.weights.values():
                    stored[weight.digest, weight.region] = weight.nbytes
                packed[step.model] = sum(weight.nbytes for weight in step.weights.values())
        messages = sum(message.nbytes for message in program.messages.values())
        peaks[device] = (
            sum(stored.values())
            + (PACKING_FACTOR - 1) * sum(packed.values())
            + layout(program).nbytes
            + messages
        )
    return peaks
