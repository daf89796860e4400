"""What the commands of `swath allocate` share: their options, and services with ways to be carried
out."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import typer

from swath.cli.progress import Display
from swath.cost import Costs
from swath.errors import InputError
from swath.graph.graph import Graph
from swath.workload.learning.policy import load_policy
from swath.workload.ways import Menu, menus
from swath.workload.workload import Workload

WorkloadFile = Annotated[Path, typer.Argument(metavar="WORKLOAD", help="A workload file (YAML).")]
ClusterFile = Annotated[Path, typer.Option("--cluster", metavar="FILE", help="A cluster file.")]
Planner = Annotated[
    str, typer.Option("--planner", metavar="P", help="Splits requests over devices.")
]
PolicyFile = Annotated[
    Path | None,
    typer.Option(
        "--policy",
        metavar="FILE",
        help="What 'drl' does; see 'swath allocate train'.  [default: the one that comes with "
        "swath]",
    ),
]
AllocatorName = Annotated[
    str, typer.Option("--allocator", metavar="A", help="See 'swath allocate list'.")
]
Load = Annotated[
    float | None,
    typer.Option(
        "--load",
        metavar="X",
        help="Ask for X times the FLOPs that the devices sustain.  [default: the rates of the "
        "file]",
    ),
]
Requests = Annotated[
    int, typer.Option("--requests", metavar="N", min=1, help="Of a run, in the mean.")
]
Seed = Annotated[int, typer.Option("--seed", help="Of when requests come, and other chance.")]


def check_policy(policy: Path | None, allocators: Sequence[str]) -> None:
    """Before any work is done: it can be used, and is."""
    if "drl" in allocators:
        load_policy(policy)
    elif policy is not None:
        raise InputError("--policy is for the allocator drl; leave it away, or name that one too")


def check_load(load: float | None) -> None:
    if load is not None and not 0 < load < math.inf:
        raise InputError(f"--load {load:g} is no load; give a number above 0, e.g. 0.9")


def parse_load(text: str) -> float:
    try:
        load = float(text)
    except ValueError:
        raise InputError(f"--load {text!r} is not understood; write e.g. 0.3,0.9") from None
    check_load(load)
    return load


def planned_menus(
    workload: Workload,
    load: Callable[[str], Graph],
    costs: Costs,
    planner: str,
    display: Display,
) -> tuple[Menu, ...]:
    """A menu for every service, planned by all of this machine."""
    return menus(
        workload,
        load,
        costs,
        planner,
        each=lambda planned, count: display.count("planning", planned, count),
        jobs=os.cpu_count() or 1,
    )
