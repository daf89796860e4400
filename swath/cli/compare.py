"""`swath compare`: all planners side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

import swath
from swath.cli.clusters import known_of
from swath.cli.options import (
    AsJson,
    Deadline,
    Dimensions,
    Model,
    ObjectiveChoice,
    PictureFile,
    Weights,
    parse_deadline,
    parse_dimensions,
)
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
from swath.cli.report import FIGURES, plan_report
from swath.cli.streams import present_facts, present_keys
from swath.errors import PlanError
from swath.planners import Objective, Problem, known_planners, make_planner
from swath.planners.bound import lower_bound
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
    objective: ObjectiveChoice = None,
    deadline: Deadline = None,
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
    asked, limit = objective or "latency", parse_deadline(deadline)
    described = swath.load_cluster(cluster)
    found: dict[str, Outcome | Refusal] = {}
    with Display(quiet=as_json) as display:
        display.step(f"loading {model}")
        graph = swath.load(model, dimensions=parse_dimensions(dim), weights=weights)
        known = known_of(described, display.step)
        problem = Problem(graph, known.costs, asked, limit)
        bound = lower_bound(problem)
        for number, name in enumerate(names):
            display.step(f"planning: {name}, {number + 1} of {len(names)}")
            found.update(compare(problem, [name], budget))
    single = found.get("whole")
    path = picture or output_file(f"compare-{file_stem(model)}.png")
    made = {name: outcome for name, outcome in found.items() if isinstance(outcome, Outcome)}
    if made:
        scale, unit = (1.0, "J") if asked == "energy" else (1e3, "ms")
        figures = {name: outcome.figure * scale for name, outcome in made.items()}
        title = f"{model} on {cluster.stem}"
        draw_bars(figures, path, title, f"{unit} {FIGURES[asked]}, predicted")
    rows = [_row(name, outcome, asked, single, bound) for name, outcome in found.items()]
    if as_json:
        report = {"model": model, "objective": asked, "rows": rows, **present_keys(known.present)}
        print_json({**report, "picture": str(path) if made else None})
        return
    out = console()
    ranked = sorted(made, key=lambda name: made[name].figure)
    out.print(_table(rows, asked, ranked))
    out.print(f"no plan takes less than {format_ms(bound * 1e3)} per inference")
    for fact, text in present_facts(known.present).items():
        out.print(f"{fact}: {text}")
    if known.absence is not None:
        out.print(known.absence)
    for row in rows:
        if row["predicted_ms"] is None:
            out.print(f"{row['planner']}: {row['reason']}")
    if made:
        out.print(f"\npicture: {path}")


def _row(
    name: str,
    outcome: Outcome | Refusal,
    objective: Objective,
    single: Outcome | Refusal | None,
    bound: float,
) -> dict[str, Any]:
    if isinstance(outcome, Refusal):
        return {"planner": name, "predicted_ms": None, "reason": outcome.reason}
    report = plan_report(
        outcome.plan,
        objective,
        outcome.predicted,
        outcome.figure,
        bound,
        outcome.planning,
        outcome.bytes_moved,
        outcome.peaks,
    )
    return {
        **report,
        "planner": name,
        "speedup": _speedup(outcome, single, objective) if isinstance(single, Outcome) else None,
        "redundant_flops_share": outcome.redundant,
    }


def _speedup(outcome: Outcome, single: Outcome, objective: Objective) -> float:
    """How many times sooner a result comes than by one device alone."""
    if objective == "throughput":
        return single.figure / outcome.figure
    return single.predicted / outcome.predicted


_FIGURE_TITLES: Mapping[Objective, str] = {"throughput": "a result each", "energy": "energy"}


def _table(rows: list[dict[str, Any]], objective: Objective, ranked: Sequence[str]) -> Table:
    titles = ["predicted", "speed-up", "devices", "stages", "moved", "redundant", "memory",
              "planned in"]  # fmt: skip
    if objective in _FIGURE_TITLES:
        titles.insert(1, _FIGURE_TITLES[objective])
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("planner")
    for title in titles:
        table.add_column(title, justify="right")
    by_name = {row["planner"]: row for row in rows}
    for name in ranked:
        table.add_row(name, *_cells(by_name[name]))
    for row in rows:
        if row["predicted_ms"] is None:
            table.add_row(row["planner"], "-", *[""] * (len(titles) - 1))
    return table


def _cells(row: Mapping[str, Any]) -> list[str]:
    speedup, interval, joules = row["speedup"], row["interval_ms"], row["energy_j"]
    return [
        format_ms(row["predicted_ms"]),
        *([] if interval is None else [format_ms(interval)]),
        *([] if joules is None else [f"{joules:.3g} J"]),
        "" if speedup is None else f"{speedup:.2f}",
        str(len(row["devices_used"])),
        str(row["stages"]),
        format_bytes(row["bytes_moved"]),
        f"{row['redundant_flops_share']:.0%}",
        format_bytes(row["peak_memory_bytes"]),
        format_ms(row["plan_ms"]),
    ]
