"""Options that several commands share, and what is made of their values."""

from __future__ import annotations

import json
from math import inf
from pathlib import Path
from typing import Annotated, Any

import typer

from swath.errors import InputError, ModelError, PlanError
from swath.planners import Objective
from swath.planners.choosing import DEFAULT_PLANNER
from swath.runtime.input_files import IMAGENET_MEAN, IMAGENET_STD, PictureLayout, Preparation
from swath.simulate.trials import TRIALS

Model = Annotated[str, typer.Argument(metavar="MODEL", help="An ONNX file, or zoo:NAME[@HxW].")]
Dimensions = Annotated[
    list[str] | None,
    typer.Option("--dim", metavar="NAME=VALUE", help="Bind a free dimension; may be repeated."),
]
Weights = Annotated[
    Path | None,
    typer.Option(
        "--weights",
        metavar="FILE",
        help="Weights for a zoo model (safetensors, or an ONNX file of the same names).",
    ),
]
Input = Annotated[
    Path | None,
    typer.Option(
        "--input",
        metavar="FILE",
        help="A picture, .npy, or .npz (an array per input); without it: seeded random values.",
    ),
]
Seed = Annotated[int, typer.Option("--seed", help="Of the random input.")]
Mean = Annotated[
    str,
    typer.Option("--mean", metavar="R,G,B", help="Subtracted from a picture's values (0 to 1)."),
]
Std = Annotated[
    str, typer.Option("--std", metavar="R,G,B", help="A picture's values are divided by this.")
]
Size = Annotated[
    int | None,
    typer.Option(
        "--size",
        metavar="PIXELS",
        min=1,
        help="Scale a picture's shorter side to this before its centre is cut out.  "
        "[default: 256 for an input of 224, in proportion for others]",
    ),
]
PictureAxes = Annotated[
    PictureLayout | None,
    typer.Option("--layout", help="Order of the axes.  [default: by the input's shape]"),
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")]
PlanFile = Annotated[
    Path | None, typer.Option("--plan", metavar="FILE", help="Use this plan; see 'swath plan'.")
]
PlannerName = Annotated[
    str, typer.Option("--planner", metavar="NAME", help="How to split; see 'swath planners'.")
]
PlannerChoice = Annotated[
    str | None,
    typer.Option(
        "--planner",
        metavar="NAME",
        help=f"How to split; see 'swath planners'.  [default: {DEFAULT_PLANNER}]",
    ),
]
PlannerOptions = Annotated[
    list[str] | None,
    typer.Option("--option", metavar="KEY=VALUE", help="For the planner; may be repeated."),
]
PictureFile = Annotated[
    Path | None,
    typer.Option("--picture", metavar="FILE", help="Draw the plan here (.png or .svg)."),
]
TraceFile = Annotated[
    Path | None,
    typer.Option(
        "--trace",
        metavar="FILE",
        help="Write down what happens when, for Perfetto (.json) or as a Gantt picture (.png, "
        ".svg, .html).",
    ),
]
ClusterFile = Annotated[
    Path | None, typer.Option("--cluster", metavar="FILE", help="A cluster file.")
]
Local = Annotated[
    int | None, typer.Option("--local", metavar="N", help="Start N workers on this machine.")
]
Threads = Annotated[int, typer.Option("--threads", metavar="T", min=1, help="Per worker.")]
Connect = Annotated[
    list[str] | None,
    typer.Option("--connect", metavar="ENDPOINT", help="A worker, e.g. tcp/10.0.0.9:7447."),
]
Listen = Annotated[
    str | None,
    typer.Option("--listen", metavar="ENDPOINT", help="Where this side takes data."),
]
Discover = Annotated[bool, typer.Option("--discover", help="Find workers by multicast.")]
ClusterName = Annotated[
    str, typer.Option("--cluster-name", metavar="NAME", help="Of several on one network.")
]
Repeat = Annotated[int, typer.Option("--repeat", metavar="R", min=1, help="Measured inferences.")]
Stream = Annotated[
    int | None,
    typer.Option(
        "--stream",
        metavar="N",
        min=1,
        help="Let N inferences be in flight at once, and say how soon one result follows another.",
    ),
]
Timeout = Annotated[float, typer.Option("--timeout", metavar="S", help="Seconds for an inference.")]
ObjectiveChoice = Annotated[
    Objective | None,
    typer.Option(
        "--objective",
        help="What is to be small: an inference's time, that between the results of a stream, an "
        "inference's energy, or the chance that it misses the --deadline (reliability).  "
        "[default: what the planner is for; mostly latency]",
    ),
]
Deadline = Annotated[
    float | None,
    typer.Option("--deadline", metavar="MS", help="What an inference may take, at most."),
]
Channels = Annotated[
    list[str] | None,
    typer.Option(
        "--channel",
        metavar="[WHERE:]SPEC",
        help="How links' rates vary, as in a cluster file, e.g. 'rayleigh(snr=10dB)': of all, or "
        "of those up (from the source), down (to it) or between two devices ('A B: ...'). May be "
        "repeated; the last word on a link holds.",
    ),
]
ChannelAware = Annotated[
    bool,
    typer.Option(
        "--channel-aware",
        help="Plan beforehand for every rate that the source's uplink may have, measure it between "
        "inferences, and take the plan for it, anew each time.",
    ),
]
Trials = Annotated[
    int | None,
    typer.Option(
        "--trials",
        metavar="N",
        min=1,
        help="Independent inferences that say how often the --deadline is met, each at a moment of "
        f"its own.  [default: {TRIALS}]",
    ),
]

DEFAULT_MEAN = ",".join(map(str, IMAGENET_MEAN))
DEFAULT_STD = ",".join(map(str, IMAGENET_STD))


def parse_dimensions(pairs: list[str] | None) -> dict[str, int]:
    """``["batch=1"]`` -> ``{"batch": 1}``."""
    bound = {}
    for pair in pairs or ():
        name, equals, value = pair.rpartition("=")
        if not equals or not name or not value.isdigit():
            raise ModelError(f"--dim {pair!r} is not understood; write NAME=VALUE, e.g. batch=1")
        bound[name] = int(value)
    return bound


def parse_planner_options(pairs: list[str] | None) -> dict[str, Any]:
    """``["split=rows", "depth=3"]`` -> ``{"split": "rows", "depth": 3}``."""
    options = {}
    for pair in pairs or ():
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise PlanError(f"--option {pair!r} is not understood; write KEY=VALUE")
        try:
            options[key] = json.loads(value)
        except json.JSONDecodeError:
            options[key] = value
    return options


def parse_deadline(milliseconds: float | None) -> float | None:
    """Seconds of a ``--deadline``."""
    if milliseconds is None:
        return None
    if not 0 < milliseconds < inf:
        raise PlanError(f"--deadline {milliseconds:g}: give the milliseconds an inference may take")
    return milliseconds / 1e3


def parse_preparation(
    size: int | None, mean: str, std: str, layout: PictureLayout | None
) -> Preparation:
    """How pictures are prepared."""
    return Preparation(size, _numbers("--mean", mean), _numbers("--std", std), layout)


def _numbers(option: str, text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise InputError(
            f"{option} {text!r} is not understood; write numbers, e.g. {DEFAULT_MEAN}"
        ) from None
