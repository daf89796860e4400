"""`swath lab`: the real runtime on an emulated cluster, and what is left of labs that crashed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import swath
from swath.cli.options import (
    AsJson,
    Dimensions,
    Model,
    PlanFile,
    PlannerName,
    PlannerOptions,
    Seed,
    Threads,
    Timeout,
    TraceFile,
    Weights,
    parse_dimensions,
    parse_planner_options,
)
from swath.cli.output import check_writable, console, facts, print_json
from swath.cli.progress import Display
from swath.cli.report import exit_status, lab_facts, machine_facts, run_facts, run_report
from swath.cli.traces import check_trace_name, save_trace
from swath.planners import make_planner
from swath.planners.choosing import DEFAULT_PLANNER
from swath.runtime.lab.cluster import LabCluster
from swath.runtime.lab.lab import check_fit
from swath.runtime.lab.remains import clean_up

lab = typer.Typer(
    help="Emulated clusters on this machine: network namespaces, shaped links, CPU quotas.",
    no_args_is_help=True,
)


@lab.command("run")
def lab_run(
    model: Model,
    cluster: Annotated[
        Path, typer.Option("--cluster", metavar="FILE", help="Devices ('cores') and links.")
    ],
    planner: PlannerName = DEFAULT_PLANNER,
    option: PlannerOptions = None,
    plan: PlanFile = None,
    repeat: Annotated[
        int,
        typer.Option(
            "--repeat", metavar="R", min=1, help="Figures; each a mean over many requests."
        ),
    ] = 3,
    threads: Threads = 1,
    timeout: Timeout = 60.0,
    seed: Seed = 0,
    trace: TraceFile = None,
    dim: Dimensions = None,
    weights: Weights = None,
    as_json: AsJson = False,
) -> None:
    """Run a model for real on emulated devices and links, beside what was predicted. Needs root."""
    check_writable(trace)
    check_trace_name(trace)
    options = parse_planner_options(option)
    make_planner(planner, **options)
    described = swath.load_cluster(cluster)
    check_fit(described)
    chosen = None if plan is None else swath.load_plan(plan)
    with Display(quiet=as_json) as display:
        display.step(f"loading {model}")
        graph = swath.load(model, dimensions=parse_dimensions(dim), weights=weights)
        with LabCluster(described, threads=threads, step=display.step) as session:
            if chosen is None:
                display.step(f"planning with {planner}")
                chosen = session.plan(graph, planner, **options)
            # Finding out what is known may deploy other networks: not once this one is.
            _ = session.costs
            display.step("installing")
            session.deploy(graph, chosen, swath.random_inputs(graph, seed), display.weights)
            with session.in_force():
                checks = session.check()
                measured = session.measure(repeat, timeout)
                recorded = None if trace is None else session.record(timeout=timeout)
            report = session.report(chosen, measured, timeout)
            conditions = session.conditions([measured.pace], measured.stolen)
            predicted = None
            if trace is not None:
                predicted = session.predict(chosen, pace=measured.pace, record=True).trace
    if trace is not None:
        save_trace([found for found in (predicted, recorded) if found is not None], trace)
    if as_json:
        print_json(
            {
                "model": model,
                **run_report(report),
                "requests_per_figure": measured.requests,
                "cpu_ms": {name: seconds * 1e3 for name, seconds in measured.cpu.items()},
                "slowdown": conditions.slowdown,
                "stolen": conditions.stolen,
                "delays_emulated": checks.delays,
                "trace": None if trace is None else str(trace),
            }
        )
    else:
        rows = run_facts(report)
        rows["figures"] = f"{repeat}, each the mean of {measured.requests} requests back to back"
        rows |= {**machine_facts(conditions), **lab_facts(checks)}
        if trace is not None:
            rows["trace"] = str(trace)
        console().print(facts(rows))
    raise typer.Exit(exit_status(report))


@lab.command("clean")
def lab_clean(as_json: AsJson = False) -> None:
    """Remove what labs that ended without cleaning up have left."""
    removed = clean_up()
    if as_json:
        print_json({"removed": removed})
    else:
        console().print("\n".join(f"removed {name}" for name in removed) or "nothing was left")
