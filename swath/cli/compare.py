"""`swath compare`: all planners side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

import swath
from swath.cli.clusters import varied
from swath.cli.grounds import REPEAT, Work, ground_of, measuring_place
from swath.cli.measuring import (
    Measured,
    measure_each,
    measured_facts,
    measured_keys,
    measured_status,
    reports_of,
)
from swath.cli.options import (
    AsJson,
    Channels,
    ClusterFile,
    Deadline,
    Dimensions,
    Local,
    Model,
    ObjectiveChoice,
    PictureFile,
    Timeout,
    Trials,
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
from swath.cli.reliability import format_reliability, save_shares, trial_keys, try_each
from swath.cli.report import FIGURES, lab_facts, plan_report
from swath.cli.streams import present_facts, present_keys
from swath.errors import ClusterError, PlanError, SwathError
from swath.planners import Objective, Problem, known_planners, make_planner
from swath.planners.bound import check_reachable, lower_bound
from swath.planners.comparing import BUDGET, Outcome, Refusal, compare
from swath.simulate.trials import TRIALS
from swath.trace.bars import draw_bars


def compare_planners(
    model: Model,
    cluster: ClusterFile = None,
    local: Local = None,
    planners: Annotated[
        str | None, typer.Option("--planners", metavar="A,B", help="These only; default: all.")
    ] = None,
    budget: Annotated[
        float, typer.Option("--budget", metavar="S", help="Seconds that each planner has.")
    ] = BUDGET,
    objective: ObjectiveChoice = None,
    deadline: Deadline = None,
    channel: Channels = None,
    trials: Trials = None,
    measure: Annotated[
        bool,
        typer.Option(
            "--measure",
            help="Run every plan for real, too: where the cluster file's devices have addresses, "
            "on them; where they have 'cores', in the lab; or on --local N. Equal plans are run "
            "once.",
        ),
    ] = False,
    repeat: Annotated[
        int | None,
        typer.Option(
            "--repeat",
            metavar="R",
            min=1,
            help="Measured inferences; in the lab, figures that are means over many requests.  "
            f"[default: {REPEAT['cluster']}; in the lab {REPEAT['lab']}]",
        ),
    ] = None,
    timeout: Timeout = 60.0,
    picture: PictureFile = None,
    dim: Dimensions = None,
    weights: Weights = None,
    as_json: AsJson = False,
) -> None:
    """Compare what all planners make of a model on a cluster, by prediction or for real.

    With --deadline they are ranked by how often they meet it: those that can plan for that do,
    the others for latency; unless --objective says what all plan for, within the deadline.
    """
    check_writable(picture)
    check_picture_name(picture)
    if budget <= 0:
        raise PlanError(f"--budget {budget:g}: a planner needs some time; give a positive number")
    if (cluster is None) == (local is None):
        raise ClusterError("planners are compared on one cluster: give --cluster FILE or --local N")
    if repeat is not None and not measure:
        raise SwathError("--repeat says how often to measure; give --measure too")
    if trials is not None and deadline is None:
        raise SwathError("--trials say how often a deadline is met; give --deadline MS too")
    names = [info.name for info in known_planners()] if planners is None else planners.split(",")
    for name in names:
        make_planner(name)  # Refused before anything takes time.
    limit = parse_deadline(deadline)
    asked: Objective = objective or ("latency" if limit is None else "reliability")
    described = None if cluster is None else swath.load_cluster(cluster)
    place = measuring_place(described) if measure else None
    times = 0 if place is None else repeat or REPEAT[place]
    found: dict[str, Outcome | Refusal] = {}
    objectives: dict[str, Objective] = {}
    latencies: Mapping[str, Sequence[float]] = {}
    measured: Measured = {}
    with Display(quiet=as_json) as display:
        display.step(f"loading {model}")
        graph = swath.load(model, dimensions=parse_dimensions(dim), weights=weights)
        with ground_of(described, local, place, display) as ground:
            known = ground.known
            costs = varied(known.costs, channel)
            problem = Problem(graph, costs, asked, limit)
            bound = lower_bound(problem)
            if limit is not None:
                check_reachable(limit, bound)
            for number, name in enumerate(names):
                display.step(f"planning: {name}, {number + 1} of {len(names)}")
                own = _or_latency(problem, name) if objective is None else problem
                objectives[name] = own.objective
                found.update(compare(own, [name], budget))
            if limit is not None:
                plans = {n: each.plan for n, each in found.items() if isinstance(each, Outcome)}
                latencies, failed = try_each(plans, costs, trials or TRIALS, display)
                found.update({name: Refusal(str(error)) for name, error in failed.items()})
            made = {name: each for name, each in found.items() if isinstance(each, Outcome)}
            if ground.run is not None:
                work = Work(graph, swath.random_inputs(graph), times, timeout)
                plans = {name: outcome.plan for name, outcome in made.items()}
                measured = measure_each(plans, partial(ground.run, work), display)
            checks = None if ground.lab is None else ground.lab.checks
    single = found.get("whole")
    rows = [
        {
            **_row(name, outcome, objectives[name], single, bound),
            **trial_keys(latencies.get(name), limit),
            **measured_keys(measured.get(name)),
        }
        for name, outcome in found.items()
    ]
    ranked = sorted(made, key=lambda name: made[name].figure)
    if asked == "reliability":
        tried = {row["planner"]: row["reliability"] for row in rows}
        ranked.sort(key=lambda name: (-tried[name]["probability"], made[name].predicted))
    path = picture or output_file(f"compare-{file_stem(model)}.png")
    if made:
        where = f"{local} workers of this machine" if cluster is None else cluster.stem
        title = f"{model} on {where}"
        if asked == "reliability" and not reports_of(measured):
            save_shares({name: latencies[name] for name in ranked}, path, title, limit)
        else:
            _draw(made, measured, asked, path, title)
    if as_json:
        report = {"model": model, "objective": asked, "rows": rows, **present_keys(known.present)}
        more = {
            "measured_on": place,
            "delays_emulated": None if checks is None else checks.delays,
            "picture": str(path) if made else None,
        }
        print_json({**report, **more})
        raise typer.Exit(measured_status(measured))
    out = console()
    out.print(_table(rows, asked, ranked, measure, limit is not None))
    out.print(f"no plan takes less than {format_ms(bound * 1e3)} per inference")
    said = {
        **present_facts(known.present),
        **({} if place is None else measured_facts(place, times, measured)),
        **({} if checks is None else lab_facts(checks)),
    }
    for fact, text in said.items():
        out.print(f"{fact}: {text}")
    if known.absence is not None:
        out.print(known.absence)
    for row in rows:
        if "reason" in row:
            out.print(f"{row['planner']}: {row['reason']}")
    if made:
        out.print(f"\npicture: {path}")
    raise typer.Exit(measured_status(measured))


def _or_latency(problem: Problem, planner: str) -> Problem:
    """The problem; for a planner that does not plan for reliability, latency instead."""
    (known,) = [info.objectives for info in known_planners() if info.name == planner]
    if problem.objective != "reliability" or problem.objective in known:
        return problem
    return replace(problem, objective="latency", deadline=None)


def _draw(
    made: Mapping[str, Outcome], measured: Measured, objective: Objective, path: Path, title: str
) -> None:
    """What was predicted; where something was measured, that is set beside it: latencies, whatever
    the plans are for."""
    real = {name: report.latency.median for name, report in reports_of(measured).items()}
    if real:
        predicted = {name: outcome.predicted * 1e3 for name, outcome in made.items()}
        draw_bars({"predicted": predicted, "measured": real}, path, title, "ms per inference")
        return
    scale, unit = (1.0, "J") if objective == "energy" else (1e3, "ms")
    figures = {name: outcome.figure * scale for name, outcome in made.items()}
    draw_bars({"predicted": figures}, path, title, f"{unit} {FIGURES[objective]}, predicted")


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


def _table(
    rows: list[dict[str, Any]],
    objective: Objective,
    ranked: Sequence[str],
    measuring: bool,
    trying: bool,
) -> Table:
    titles = ["predicted", "speed-up", "devices", "stages", "moved", "redundant", "memory",
              "planned in"]  # fmt: skip
    if measuring:
        titles.insert(1, "measured")
    if trying:
        titles.insert(1, "in time")
    if objective in _FIGURE_TITLES:
        titles.insert(1, _FIGURE_TITLES[objective])
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("planner")
    for title in titles:
        table.add_column(title, justify="right")
    by_name = {row["planner"]: row for row in rows}
    for name in ranked:
        table.add_row(name, *_cells(by_name[name], measuring))
    for row in rows:
        if row["predicted_ms"] is None:
            table.add_row(row["planner"], "-", *[""] * (len(titles) - 1))
    return table


def _cells(row: Mapping[str, Any], measuring: bool) -> list[str]:
    speedup, interval, joules = row["speedup"], row["interval_ms"], row["energy_j"]
    times, reliability = row["measured_ms"], row["reliability"]
    return [
        format_ms(row["predicted_ms"]),
        *([] if interval is None else [format_ms(interval)]),
        *([] if joules is None else [f"{joules:.3g} J"]),
        *([] if reliability is None else [format_reliability(reliability)]),
        *(["-" if times is None else format_ms(times["median"])] if measuring else []),
        "" if speedup is None else f"{speedup:.2f}",
        str(len(row["devices_used"])),
        str(row["stages"]),
        format_bytes(row["bytes_moved"]),
        f"{row['redundant_flops_share']:.0%}",
        format_bytes(row["peak_memory_bytes"]),
        format_ms(row["plan_ms"]),
    ]
