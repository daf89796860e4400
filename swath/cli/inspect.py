"""`swath inspect`: what a model is made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.table import Table

import swath
from swath.cli.options import AsJson, Dimensions, Model, Weights, parse_dimensions
from swath.cli.output import console, facts, format_bytes, format_flops, print_json
from swath.cli.progress import Display
from swath.graph.inspect import Inspection, OperatorInfo, TensorInfo


def inspect(
    model: Model, dim: Dimensions = None, weights: Weights = None, as_json: AsJson = False
) -> None:
    """Show layers, shapes, FLOPs, legal cuts, receptive fields and memory of a model."""
    with Display(quiet=as_json) as display:
        display.step(f"loading {model}")
        graph = swath.load(model, dimensions=parse_dimensions(dim), weights=weights)
    found = swath.inspect(graph)
    if as_json:
        print_json({"model": model, **_report(found)})
    else:
        _show(model, found)


def _report(found: Inspection) -> dict[str, Any]:
    return {
        "name": found.name,
        "opset": found.opset,
        "inputs": [_tensor(tensor) for tensor in found.inputs],
        "outputs": [_tensor(tensor) for tensor in found.outputs],
        "flops": found.flops,
        "parameters": found.parameters,
        "weight_bytes": found.weight_bytes,
        "activation_peak_bytes": found.activation_peak_bytes,
        "operators": [_operator(operator) for operator in found.operators],
        "cuts": [
            {
                "position": cut.position,
                "after": cut.after,
                "before": cut.before,
                "tensors": [_tensor(tensor) for tensor in cut.tensors],
                "crossing_bytes": cut.nbytes,
            }
            for cut in found.cuts
        ],
    }


def _tensor(tensor: TensorInfo) -> dict[str, Any]:
    return {
        "name": tensor.name,
        "shape": tensor.shape,
        "dtype": tensor.dtype,
        "size_bytes": tensor.nbytes,
    }


def _operator(operator: OperatorInfo) -> dict[str, Any]:
    return {
        "name": operator.name,
        "type": operator.type,
        "inputs": [_tensor(tensor) for tensor in operator.inputs],
        "outputs": [_tensor(tensor) for tensor in operator.outputs],
        "flops": operator.flops,
        "weight_bytes": operator.weight_bytes,
        "output_bytes": sum(tensor.nbytes for tensor in operator.outputs),
        "receptive_field": operator.receptive_field,
        "splittable_axes": operator.splittable_axes,
    }


def _show(model: str, found: Inspection) -> None:
    out = console()
    cut_bytes = {cut.position: cut.nbytes for cut in found.cuts}
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for title in ("operator", "type", "output"):
        table.add_column(title, overflow="fold")
    for title in ("FLOPs", "weights", "receptive field", "splits along", "cut behind it"):
        table.add_column(title, justify="right")
    for position, operator in enumerate(found.operators):
        crossing = cut_bytes.get(position + 1)
        last = position == len(found.operators) - 1
        table.add_row(
            operator.name,
            operator.type,
            _shape(operator.outputs[0].shape if operator.outputs else None),
            format_flops(operator.flops),
            format_bytes(operator.weight_bytes) if operator.weight_bytes else "",
            _shape(operator.receptive_field),
            _axes(operator),
            "" if last else "no" if crossing is None else format_bytes(crossing),
        )
    out.print(table)
    out.print()
    out.print(
        facts(
            {
                "model": f"{model} (opset {found.opset})",
                "inputs": ", ".join(f"{t.name} {_shape(t.shape)} {t.dtype}" for t in found.inputs),
                "outputs": ", ".join(
                    f"{t.name} {_shape(t.shape)} {t.dtype}" for t in found.outputs
                ),
                "operators": str(len(found.operators)),
                "FLOPs": format_flops(found.flops),
                "parameters": f"{found.parameters:,} ({format_bytes(found.weight_bytes)})",
                "activations": f"{format_bytes(found.activation_peak_bytes)} at once, at most",
                "legal cuts": str(len(found.cuts)),
            }
        )
    )


def _shape(shape: Sequence[int] | None) -> str:
    return "-" if shape is None else "x".join(map(str, shape)) or "scalar"


def _axes(operator: OperatorInfo) -> str:
    shape = operator.outputs[0].shape if operator.outputs else None
    names = dict(enumerate(("batch", "channels", "rows", "cols")))
    if shape is None or len(shape) != 4:
        names = {0: "batch"}
    return ", ".join(names.get(axis, f"axis {axis}") for axis in operator.splittable_axes) or "no"
