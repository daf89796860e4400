"""`swath compare`: all planners side by side."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

import swath
import swath.api
from swath.cli.options import AsJson, Dimensions, Model, PictureFile, Weights, parse_dimensions
from swath.cli.output import (
    check_picture_name,
    check_writable,
    console,
    file_stem,
    format_bytes,
    format_ms,
    output_file,
    print_json,
)
from swath.cli.progress import Display
from swath.cli.report import plan_report
from swath.errors import PlanError
from swath.planners import Problem, known_planners, make_planner
from swath.planners.comparing import BUDGET, Outcome, Refusal, compare
from swath.trace.bars import draw_bars


def compare_planners(
    model: Model,
    cluster: Annotated[Path, typer.Option("--cluster", metavar="FILE", help="A cluster file.")],
    planners: Annotated[
        str | None, typer.Option("--planners", metavar="A,B", help="These only; default: all.")
    ] = None,
    budget: Annotated[
        float, typer.Option("--budget", metavar="S", help="Seconds that each planner has.")
    ] = BUDGET,
    picture: PictureFile = None,
    dim: Dimensions = None,
    weights: Weights = None,
    as_json: AsJson = False,
) -> None:
    """Compare what all planners make of a model on a cluster, by prediction."""
    check_writable(picture)
    check_picture_name(picture)
    if budget <= 0:
        raise PlanError(f"--budget {budget:g}: a planner needs some time; give a positive number")
    names = [info.name for info in known_planners()] if planners is None else planners.split(",")
    for name in names:
        make_planner(name)  # Refused before anything takes time.
    described = swath.load_cluster(cluster)
    found: dict[str, Outcome | Refusal] = {}
    with Display(quiet=as_json) as display:
        display.step(f"loading {model}")
        graph = swath.load(model, dimensions=parse_dimensions(dim), weights=weights)
        problem = Problem(graph, swath.api.costs(described))
        for number, name in enumerate(names):
            display.step(f"planning: {name}, {number + 1} of {len(names)}")
            found.update(compare(problem, [name], budget))
    alone = found.get("whole")
    single = alone.predicted if isinstance(alone, Outcome) else None
    path = picture or output_file(f"compare-{file_stem(model)}.png")
    times = {name: o.predicted * 1e3 for name, o in found.items() if isinstance(o, Outcome)}
    if times:
        draw_bars(times, path, title=f"{model} on {cluster.stem}", unit="ms, predicted")
    rows = [_row(name, outcome, single) for name, outcome in found.items()]
    if as_json:
        print_json({"model": model, "rows": rows, "picture": str(path) if times else None})
        return
    out = console()
    out.print(_table(rows))
    for row in rows:
        if row["predicted_ms"] is None:
            out.print(f"{row['planner']}: {row['reason']}")
    if times:
        out.print(f"\npicture: {path}")


def _row(name: str, outcome: Outcome | Refusal, single: float | None) -> dict[str, Any]:
    if isinstance(outcome, Refusal):
        return {"planner": name, "predicted_ms": None, "reason": outcome.reason}
    report = plan_report(
        outcome.plan, outcome.predicted, outcome.planning, outcome.bytes_moved, outcome.peaks
    )
    return {
        **report,
        "planner": name,
        "speedup": None if single is None else single / outcome.predicted,
        "redundant_flops_share": outcome.redundant,
    }


def _table(rows: list[dict[str, Any]]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("planner")
    for title in ("predicted", "speed-up", "devices", "stages", "moved", "redundant", "memory",
                  "planned in"):  # fmt: skip
        table.add_column(title, justify="right")
    done = [row for row in rows if row["predicted_ms"] is not None]
    for row in sorted(done, key=lambda row: row["predicted_ms"]):
        table.add_row(row["planner"], *_cells(row))
    for row in rows:
        if row["predicted_ms"] is None:
            table.add_row(row["planner"], "-", *[""] * 7)
    return table


def _cells(row: Mapping[str, Any]) -> list[str]:
    speedup = row["speedup"]
    return [
        format_ms(row["predicted_ms"]),
        "" if speedup is None else f"{speedup:.2f}",
        str(len(row["devices_used"])),
        str(row["stages"]),
        format_bytes(row["bytes_moved"]),
        f"{row['redundant_flops_share']:.0%}",
        format_bytes(row["peak_memory_bytes"]),
        format_ms(row["plan_ms"]),
    ]
