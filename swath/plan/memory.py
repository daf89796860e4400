"""Where the arrays of a program lie: one arena per request, planned ahead from lifetimes.

The order of a program's steps is fixed, so is the life of every array that a step reads or makes.
Two arrays share memory where their lives do not overlap. That makes the memory of a request known
before it runs, keeps it warm in the caches and spares the page faults of fresh allocations.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from swath.ops.region import Region
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
    of unknown shape.

    ``inside``: outputs that lie where a later step's input wants them, and that input; they need
    not be copied.
    """

    offsets: Mapping[ArrayKey, int]
    inside: Mapping[ArrayKey, ArrayKey]
    nbytes: int


def is_alias(tile_input: TileInput) -> bool:
    """Whether the input lies somewhere as it is (one output of an earlier step, or one box of a
    message), so that nothing need be copied."""
    pieces = tile_input.pieces
    return len(pieces) == 1 and pieces[0].held == pieces[0].region == tile_input.box.region


def contiguous_offset(part: Region, container: Region, order: Sequence[int]) -> int | None:
    """Entries before ``part`` in memory that holds ``container``; None where the part is not one
    contiguous run there."""
    axes = order or tuple(range(len(part)))
    offset, stride = 0, 1
    inner_whole = True
    for axis in reversed(axes):
        (lo, hi), (base, end) = part[axis], container[axis]
        if not inner_whole and hi - lo != 1:
            return None
        if (lo, hi) != (base, end):
            inner_whole = False
        offset += (lo - base) * stride
        stride *= end - base
    return offset


@dataclass(slots=True)
class _Life:
    """An array from the step that first writes it to the last that reads it."""

    key: ArrayKey
    nbytes: int
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class _Place:
    """Where an output lies inside a later input, in bytes."""

    container: ArrayKey
    offset: int


def layout(program: Program) -> Layout:
    """Outputs go into their readers' inputs where they fit in as they are; then greedy by size: the
    largest array first, each at the lowest offset that is free during its life."""
    lives = _lives(program)
    places = _places(program, lives)
    for key, place in places.items():
        own, container = lives.pop(key), lives[place.container]
        container.first = min(container.first, own.first)
        container.last = max(container.last, own.last)
    offsets, total = _pack(list(lives.values()))
    for key, place in places.items():
        offsets[key] = offsets[place.container] + place.offset
    return Layout(offsets, {key: place.container for key, place in places.items()}, total)


def _lives(program: Program) -> dict[ArrayKey, _Life]:
    lives: dict[ArrayKey, _Life] = {}

    def read(piece: Piece, tensor: str, step: int) -> None:
        if piece.step is not None:
            life = lives.get(ArrayKey(piece.step, tensor, False))
            if life is not None:
                life.last = max(life.last, step)

    for index, step in enumerate(program.steps):
        if not isinstance(step, Compute):
            boxes = program.messages[step.message].boxes
            for piece, box in zip(step.pieces, boxes, strict=True):
                read(piece, box.tensor, index)
            continue
        for box in step.outputs:
            if box.nbytes:
                key = ArrayKey(index, box.tensor, False)
                lives[key] = _Life(key, box.nbytes, index, index)
        for item in step.inputs:
            if item.box.nbytes and not is_alias(item):
                key = ArrayKey(index, item.box.tensor, True)
                lives[key] = _Life(key, item.box.nbytes, index, index)
            for piece in item.pieces:
                read(piece, item.box.tensor, index)
    return lives


def _places(program: Program, lives: Mapping[ArrayKey, _Life]) -> dict[ArrayKey, _Place]:
    """Outputs that can be written straight into the input of the first step that puts them there:
    they go in whole and are one contiguous run of it."""
    places: dict[ArrayKey, _Place] = {}
    for index, step in enumerate(program.steps):
        for item in step.inputs if isinstance(step, Compute) else ():
            container = ArrayKey(index, item.box.tensor, True)
            if container not in lives:
                continue
            itemsize = item.box.nbytes // item.box.region.size
            for piece in item.pieces:
                if piece.step is None or piece.region != piece.held:
                    continue
                key = ArrayKey(piece.step, item.box.tensor, False)
                offset = contiguous_offset(piece.region, item.box.region, item.box.order)
                if offset is not None and key not in places:
                    places[key] = _Place(container, offset * itemsize)
    return places


def _pack(lives: list[_Life]) -> tuple[dict[ArrayKey, int], int]:
    """(offset of each array, bytes in all)."""
    offsets: dict[ArrayKey, int] = {}
    placed: list[tuple[_Life, int]] = []
    total = 0
    for life in sorted(lives, key=lambda life: (-life.nbytes, life.first)):
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
    return offsets, total


def mebibytes(nbytes: float) -> str:
    """Bytes for people, as the memory of devices is told."""
    number = nbytes / 2**20
    return f"{number:.0f} MiB" if number >= 10 else f"{number:.2g} MiB"


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
