"""`swath sweep`: models x clusters x planners, to a table that goes on where it was stopped."""

from __future__ import annotations

import contextlib
import math
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, TypeVar, cast, get_args

import typer
from rich.table import Table

import swath
import swath.api
from swath import zoo
from swath.cli.options import AsJson
from swath.cli.output import MBIT, check_picture_name, check_writable, console, print_json
from swath.cli.progress import Display
from swath.cluster.cluster import Cluster, Network
from swath.errors import ClusterError, InputError, ModelError, PlanError
from swath.planners import known_planners, make_planner
from swath.planners.comparing import BUDGET
from swath.planners.sweep.backends import Backend, check_backend
from swath.planners.sweep.backends import sweep as run_sweep
from swath.planners.sweep.curves import Standing, speedup_panels, standings
from swath.planners.sweep.file import check_file, load_rows, save_rows
from swath.planners.sweep.sweeping import (
    UNEVEN_GFLOPS,
    Key,
    Row,
    Scenario,
    remaining,
    scenarios,
    uniform_clusters,
)
from swath.trace.curves import draw_curves

Number = TypeVar("Number", int, float)

SAVE_EVERY = 1.0
"""Seconds: a killed sweep loses no more than this."""

NETWORKS: tuple[Network, ...] = get_args(Network)
DEFAULT_GFLOPS = 5.0


def sweep(
    models: Annotated[
        str, typer.Option("--models", metavar="A,B", help="ONNX files, or zoo:NAME, zoo:NAME@HxW.")
    ],
    output: Annotated[
        Path,
        typer.Option(
            "-o",
            "--output",
            metavar="FILE",
            help="A table (.parquet or .csv). What is already in it is not computed again.",
        ),
    ],
    devices: Annotated[
        str | None, typer.Option("--devices", metavar="N,N", help="Numbers of devices.")
    ] = None,
    rates: Annotated[
        str | None, typer.Option("--rates", metavar="R,R", help="Mbit/s of the links.")
    ] = None,
    networks: Annotated[
        str, typer.Option("--networks", metavar="A,B", help=f"Of {', '.join(NETWORKS)}.")
    ] = "switch",
    gflops: Annotated[
        float | None,
        typer.Option(
            "--gflops", metavar="G", help=f"Speed of each device; default: {DEFAULT_GFLOPS:g}."
        ),
    ] = None,
    uneven: Annotated[
        bool,
        typer.Option(
            "--uneven",
            help=f"Devices of {', '.join(f'{speed:g}' for speed in UNEVEN_GFLOPS)} GFLOP/s by "
            "turns.",
        ),
    ] = False,
    clusters: Annotated[
        str | None,
        typer.Option(
            "--clusters", metavar="FILE,FILE", help="Cluster files, besides or instead of these."
        ),
    ] = None,
    planners: Annotated[
        str | None, typer.Option("--planners", metavar="A,B", help="These only; default: all.")
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option(
            "--jobs",
            metavar="N",
            min=1,
            help="At a time; default: one for each core (dask takes all that it has).",
        ),
    ] = None,
    budget: Annotated[
        float,
        typer.Option(
            "--budget",
            metavar="S",
            help="Seconds that each planner has (dask's threads cannot be held to it).",
        ),
    ] = BUDGET,
    backend: Annotated[
        Backend,
        typer.Option(
            "--backend",
            help="Where to compute: loky is processes here, dask and ray a cluster that is up.",
        ),
    ] = "loky",
    picture: Annotated[
        Path | None,
        typer.Option(
            "--picture",
            metavar="FILE",
            help="Draw speed-ups here (.png or .svg); default: beside the table.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Compare planners over many models and clusters, by prediction."""
    picture = picture or output.with_suffix(".png")
    for path in (output, picture):
        check_writable(path)
    check_picture_name(picture)
    check_file(output)
    check_backend(backend)
    if budget <= 0:
        raise PlanError(f"--budget {budget:g}: a planner needs some time; give a positive number")
    names = (
        [info.name for info in known_planners()]
        if planners is None
        else _list("--planners", planners)
    )
    for name in names:
        make_planner(name)  # Refused before anything takes time.
    uniform = _uniform(devices, rates, networks, _speeds(gflops, uneven))
    places = [*uniform, *_described(clusters)]
    if not places:
        raise ClusterError("no cluster to plan for; give --devices and --rates, or --clusters")
    asked = scenarios(_models(models), places, names, budget)
    finished = load_rows(output)
    before = len(asked) - len(remaining(asked, finished))
    _run(asked, finished, jobs, backend, output, quiet=as_json)
    rows = [finished[scenario.key] for scenario in asked]
    panels = speedup_panels(rows)
    if panels:
        draw_curves(panels, picture, "speed-up over one device, predicted")
    summary = standings(rows)
    if as_json:
        print_json(
            {
                "output": str(output),
                "picture": str(picture) if panels else None,
                "scenarios": len(asked),
                "already_there": before,
                "planners": [asdict(standing) for standing in summary],
                "rows": [asdict(row) for row in rows],
            }
        )
        return
    out = console()
    out.print(_table(summary))
    out.print(f"\n{len(asked)} scenarios, {before} of them from before: {output}")
    if panels:
        out.print(f"picture: {picture}")


def _run(
    asked: Sequence[Scenario],
    finished: dict[Key, Row],
    jobs: int | None,
    backend: Backend,
    output: Path,
    quiet: bool,
) -> None:
    """Add the rows that are not there yet; whatever ends it, what is done is kept."""
    todo = remaining(asked, finished)
    saved = time.monotonic()
    try:
        with (
            Display(quiet=quiet) as display,
            contextlib.closing(run_sweep(todo, swath.api.load, jobs, backend)) as rows,
        ):
            display.step(f"{len(todo)} scenarios to go")
            for row in rows:
                finished[row.key] = row
                display.step(
                    f"{_done(todo, finished)} of {len(todo)}: {row.planner} on {row.model}, "
                    f"{row.cluster}, {row.network}"
                )
                if time.monotonic() - saved > SAVE_EVERY:
                    save_rows(finished.values(), output)
                    saved = time.monotonic()
    except KeyboardInterrupt:
        print(
            f"swath: stopped after {_done(todo, finished)} of {len(todo)} scenarios, which are "
            "kept; run the same again to go on",
            file=sys.stderr,
        )
        raise
    finally:
        if _done(todo, finished):
            save_rows(_in_order(asked, finished), output)


def _done(todo: Sequence[Scenario], finished: Mapping[Key, Row]) -> int:
    """How many have a row; counted, for an interrupt comes at any time."""
    return len(todo) - len(remaining(todo, finished))


def _in_order(asked: Sequence[Scenario], finished: Mapping[Key, Row]) -> list[Row]:
    """Other sweeps' rows, then these as they were asked for, whoever was done first."""
    own = dict.fromkeys(scenario.key for scenario in asked)
    others = [row for key, row in finished.items() if key not in own]
    return [*others, *(finished[key] for key in own if key in finished)]


def _models(text: str) -> list[str]:
    models = _list("--models", text)
    for model in models:
        if model.startswith("zoo:"):
            zoo.parse(model)
        elif not Path(model).is_file():
            raise ModelError(f"model file '{model}' does not exist: check the path")
    return models


def _uniform(
    devices: str | None, rates: str | None, networks: str, gflops: Sequence[float]
) -> list[tuple[str, Cluster]]:
    """Clusters that the options describe; none where they do not."""
    if devices is None and rates is None:
        return []
    if devices is None or rates is None:
        missing = "--devices" if devices is None else "--rates"
        raise ClusterError(
            f"{missing} is missing; --devices and --rates describe clusters together"
        )
    sizes = [_number("--devices", part, int) for part in _list("--devices", devices)]
    speeds = [_number("--rates", part, float) for part in _list("--rates", rates)]
    kinds = _list("--networks", networks)
    for kind in kinds:
        if kind not in NETWORKS:
            raise ClusterError(f"--networks {kind!r} is not known; name {', '.join(NETWORKS)}")
    return uniform_clusters(
        sizes, [speed * MBIT for speed in speeds], cast("list[Network]", kinds), gflops
    )


def _speeds(gflops: float | None, uneven: bool) -> tuple[float, ...]:
    if uneven and gflops is not None:
        raise ClusterError("--gflops and --uneven both say how fast devices are; leave one away")
    if gflops is not None and not 0 < gflops < math.inf:
        raise ClusterError(f"--gflops {gflops:g}: a device has some speed; give more than 0")
    return UNEVEN_GFLOPS if uneven else (gflops or DEFAULT_GFLOPS,)


def _described(clusters: str | None) -> list[tuple[str, Cluster]]:
    """Cluster files, by the names of the files; their profiles are read to see that they can be."""
    if clusters is None:
        return []
    paths = [Path(part) for part in _list("--clusters", clusters)]
    loaded = [(path.stem, swath.load_cluster(path)) for path in paths]
    for _, cluster in loaded:
        swath.api.costs(cluster)
    return loaded


def _list(option: str, text: str) -> list[str]:
    """``"a,b"`` -> ``["a", "b"]``, each once."""
    parts = list(dict.fromkeys(part.strip() for part in text.split(",")))
    if "" in parts:
        raise InputError(f"{option} {text!r}: a name is empty; write them with a comma between")
    return parts


def _number(option: str, text: str, kind: Callable[[str], Number]) -> Number:
    try:
        value = kind(text)
        if not 0 < value < math.inf:
            raise ValueError
    except ValueError:
        example = "4" if kind is int else "100"
        raise InputError(
            f"{option} {text!r} is not understood; write numbers above 0, e.g. {example}"
        ) from None
    return value


def _table(summary: Sequence[Standing]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("planner")
    for title in ("plans", "refusals", "speed-up", "fastest in"):
        table.add_column(title, justify="right")
    for standing in summary:
        speedup = "" if standing.speedup is None else f"{standing.speedup:.2f}"
        table.add_row(
            standing.planner, str(standing.plans), str(standing.refusals), speedup,
            str(standing.best),
        )  # fmt: skip
    return table
