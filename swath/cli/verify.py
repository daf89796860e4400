"""`swath verify`: split and unsplit in one process, compared at every stage."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

import swath
from swath.cli.options import (
    DEFAULT_MEAN,
    DEFAULT_STD,
    AsJson,
    Dimensions,
    Input,
    Mean,
    Model,
    PictureAxes,
    PlanFile,
    Seed,
    Size,
    Std,
    Weights,
    parse_dimensions,
    parse_preparation,
)
from swath.cli.output import console, facts, print_json
from swath.cli.progress import Display

BEYOND_TOLERANCE_STATUS = 1


def verify(
    model: Model,
    tiles: Annotated[int, typer.Option("--tiles", metavar="N", min=1, help="Devices.")] = 2,
    split: Annotated[
        Literal["rows", "cols", "grid", "channels"],
        typer.Option("--split", help="Of maps; FC layers are split by output features."),
    ] = "rows",
    plan: PlanFile = None,
    input_file: Input = None,
    seed: Seed = 0,
    size: Size = None,
    mean: Mean = DEFAULT_MEAN,
    std: Std = DEFAULT_STD,
    layout: PictureAxes = None,
    dim: Dimensions = None,
    weights: Weights = None,
    as_json: AsJson = False,
) -> None:
    """Check that the split model computes what the unsplit one does, at every stage.

    The programs of all devices run in this one process. Exit status 1: beyond tolerance.
    """
    preparation = parse_preparation(size, mean, std, layout)
    chosen = None if plan is None else swath.load_plan(plan)
    with Display(quiet=as_json) as display:
        display.step(f"loading {model}")
        graph = swath.load(model, dimensions=parse_dimensions(dim), weights=weights)
        if input_file is None:
            inputs = swath.random_inputs(graph, seed)
        else:
            inputs = swath.read_inputs(graph, input_file, preparation)
        display.step("comparing split and unsplit")
        found = swath.verify(graph, tiles=tiles, split=split, plan=chosen, inputs=inputs)
    report = {
        "max_abs_diff": found.max_abs_diff,
        "max_rel_diff": found.worst.relative,
        "worst_tensor": found.worst.tensor,
        "bit_exact": found.bit_exact,
        "split_flops_share": found.split_flops_share,
        "tensors": found.tensors,
        "tolerance": found.tolerance,
        "within_tolerance": found.within_tolerance,
    }
    if as_json:
        print_json(report)
    else:
        exact = "equal to the last bit" if found.bit_exact else "within tolerance"
        verdict = exact if found.within_tolerance else "BEYOND TOLERANCE"
        console().print(
            facts(
                {
                    "split and unsplit": verdict,
                    "largest difference": f"{found.max_abs_diff:.3g}",
                    "relative to its tensor": f"{found.worst.relative:.3g}"
                    f" ({found.worst.tensor}; allowed: {found.tolerance:g})",
                    "compared": f"{found.tensors} tensors, every stage's",
                    "FLOPs in split stages": f"{found.split_flops_share:.1%}",
                }
            )
        )
    if not found.within_tolerance:
        raise typer.Exit(BEYOND_TOLERANCE_STATUS)
