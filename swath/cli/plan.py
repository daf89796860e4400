"""`swath plan`: choose a plan, write it down and draw it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer

import swath.api
from swath.cli.clusters import Known, known_of, open_cluster, varied
from swath.cli.options import (
    AsJson,
    Channels,
    Deadline,
    Dimensions,
    Local,
    Model,
    ObjectiveChoice,
    PictureFile,
    PlannerChoice,
    PlannerOptions,
    Weights,
    parse_deadline,
    parse_dimensions,
    parse_planner_options,
)
from swath.cli.output import (
    check_picture_name,
    check_writable,
    console,
    facts,
    file_stem,
    format_bytes,
    format_ms,
    output_file,
    print_json,
)
from swath.cli.pictures import save_picture
from swath.cli.progress import Display
from swath.cli.reliability import reliability_fact, reliability_keys
from swath.cli.report import FIGURES, format_bound, format_figure, giving_up, plan_report
from swath.cli.streams import present_facts, present_keys
from swath.errors import ClusterError
from swath.plan.compile import compile_plan
from swath.plan.memory import peak_memory
from swath.planners import Problem, check_objective, first_objective, make_planner
from swath.planners.bound import lower_bound
from swath.planners.choosing import DEFAULT_PLANNER
from swath.planners.objective import predicted_reliability


def plan(
    model: Model,
    cluster: Annotated[
        Path | None, typer.Option("--cluster", metavar="FILE", help="A cluster file.")
    ] = None,
    local: Local = None,
    planner: PlannerChoice = None,
    option: PlannerOptions = None,
    objective: ObjectiveChoice = None,
    deadline: Deadline = None,
    channel: Channels = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FILE", help="Write the plan (JSON) here."),
    ] = None,
    picture: PictureFile = None,
    dim: Dimensions = None,
    weights: Weights = None,
    as_json: AsJson = False,
) -> None:
    """Choose a plan for a cluster, from its file or for N equal workers on this machine."""
    for path in (output, picture):
        check_writable(path)
    check_picture_name(picture)
    if (cluster is None) == (local is None):
        raise ClusterError("a plan is for one cluster: give --cluster FILE or --local N")
    options = parse_planner_options(option)
    make_planner(planner or DEFAULT_PLANNER, **options)
    asked = objective or first_objective(planner or DEFAULT_PLANNER)
    check_objective(planner or DEFAULT_PLANNER, asked)
    limit = parse_deadline(deadline)
    described = None if cluster is None else swath.load_cluster(cluster)
    with Display(quiet=as_json) as display:
        display.step(f"loading {model}")
        graph = swath.load(model, dimensions=parse_dimensions(dim), weights=weights)
        if described is None:
            display.step("starting workers")
            with open_cluster(local=local) as session:
                known = Known(session.costs(display.step), session.present)
        else:
            known = known_of(described, display.step)
        costs = varied(known.costs, channel)
        display.step("planning")
        start = time.perf_counter()
        choice = swath.api.choose(graph, costs, planner, objective=asked, deadline=limit, **options)
        seconds = time.perf_counter() - start
        made = choice.plan
        bound = lower_bound(Problem(graph, costs))
        programs = compile_plan(made)
        reliability = None
        if limit is not None:
            display.step("trying the plan")
            reliability = predicted_reliability(made, programs, costs, limit)
        plan_path = output or output_file(f"plan-{file_stem(model)}-{made.planner}.json")
        swath.save_plan(made, plan_path)
        picture_path = save_picture(made, model, picture)
    peaks = peak_memory(programs)
    report: dict[str, Any] = {
        "model": model,
        **plan_report(
            made,
            asked,
            choice.predicted,
            choice.figure,
            bound,
            seconds,
            programs.bytes_moved,
            peaks,
        ),
        "reliability": reliability_keys(reliability),
        **present_keys(known.present),
        "plan": str(plan_path),
        "picture": str(picture_path),
    }
    if as_json:
        print_json(report)
        return
    memory = ", ".join(f"{name} {format_bytes(nbytes)}" for name, nbytes in peaks.items())
    predicted = f"{format_ms(choice.predicted * 1e3)} per inference"
    if asked not in ("latency", "reliability"):
        predicted += f", {format_figure(asked, choice.figure)} {FIGURES[asked]}"
    kept = report["reliability"]
    in_time = {} if kept is None else {"in time": reliability_fact(kept)}
    out = console()
    out.print(
        facts(
            {
                "planner": made.planner,
                "devices": f"{len(made.devices_used)}: {', '.join(made.devices_used)}",
                "stages": f"{len(made.stages)} ({len(made.tiles)} tiles)",
                **present_facts(known.present),
                "predicted": predicted,
                **in_time,
                "no plan takes less than": format_bound(choice.predicted, bound),
                "bytes moved": f"{format_bytes(programs.bytes_moved)} per inference",
                "memory": memory,
                "planned in": format_ms(seconds * 1e3),
                "plan": str(plan_path),
                "picture of the plan": str(picture_path),
            }
        )
    )
    for said in (known.absence, giving_up(choice)):
        if said is not None:
            out.print(f"\n{said}")
