"""Programs as they travel to the workers: JSON. Light: workers import it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from swath.graph.weights import WeightSlice
from swath.ops.region import Region
from swath.plan.program import Box, Compute, Message, Piece, Program, Send, Step, TileInput


def program_to_json(program: Program) -> dict[str, Any]:
    return {
        "device": program.device,
        "steps": [_step_to_json(step) for step in program.steps],
        "messages": [
            [message.number, message.sender, message.receiver, [_box(b) for b in message.boxes]]
            for message in program.messages.values()
        ],
    }


def program_from_json(data: Mapping[str, Any]) -> Program:
    """Raises KeyError, TypeError or ValueError for anything but what `program_to_json` wrote."""
    messages = {
        number: Message(number, sender, receiver, tuple(_box_from(box) for box in boxes))
        for number, sender, receiver, boxes in data["messages"]
    }
    steps = tuple(_step_from_json(step) for step in data["steps"])
    return Program(data["device"], steps, messages)


def weight_to_json(weight: WeightSlice) -> list[Any]:
    return [weight.digest, weight.region, weight.dtype, weight.nbytes]


def weight_from_json(data: list[Any]) -> WeightSlice:
    digest, region, dtype, nbytes = data
    return WeightSlice(digest, _region(region), dtype, nbytes)


def _step_to_json(step: Step) -> dict[str, Any]:
    if isinstance(step, Send):
        return {"send": step.message, "pieces": [_piece(piece) for piece in step.pieces]}
    return {
        "tile": step.tile,
        "stage": step.stage,
        "model": step.model,
        "inputs": [
            [_box(item.box), [_piece(piece) for piece in item.pieces]] for item in step.inputs
        ],
        "outputs": [_box(box) for box in step.outputs],
        "weights": {name: weight_to_json(weight) for name, weight in step.weights.items()},
        "flops": step.flops,
    }


def _step_from_json(data: Mapping[str, Any]) -> Step:
    if "send" in data:
        return Send(data["send"], tuple(_piece_from(piece) for piece in data["pieces"]))
    return Compute(
        tile=data["tile"],
        stage=data["stage"],
        model=data["model"],
        inputs=tuple(
            TileInput(_box_from(box), tuple(_piece_from(piece) for piece in pieces))
            for box, pieces in data["inputs"]
        ),
        outputs=tuple(_box_from(box) for box in data["outputs"]),
        weights={name: weight_from_json(weight) for name, weight in data["weights"].items()},
        flops=data["flops"],
    )


def _box(box: Box) -> list[Any]:
    return [box.tensor, box.region, box.dtype, box.nbytes, box.order]


def _box_from(data: list[Any]) -> Box:
    tensor, region, dtype, nbytes, order = data
    return Box(tensor, _region(region), dtype, nbytes, tuple(order))


def _piece(piece: Piece) -> list[Any]:
    return [piece.region, piece.held, piece.step, piece.message, piece.box]


def _piece_from(data: list[Any]) -> Piece:
    region, held, step, message, box = data
    return Piece(_region(region), _region(held), step, message, box)


def _region(data: list[list[int]]) -> Region:
    return Region((lo, hi) for lo, hi in data)
