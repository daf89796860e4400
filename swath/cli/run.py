"""`swath run`: the real thing, over the fabric."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import swath
import swath.api
from swath.cli.channel_aware import (
    channel_facts,
    channel_keys,
    check_channel_aware,
    check_choice,
)
from swath.cli.clusters import open_cluster, varied
from swath.cli.options import (
    DEFAULT_MEAN,
    DEFAULT_STD,
    AsJson,
    ChannelAware,
    Channels,
    ClusterFile,
    ClusterName,
    Connect,
    Deadline,
    Dimensions,
    Discover,
    Input,
    Listen,
    Local,
    Mean,
    Model,
    ObjectiveChoice,
    PictureAxes,
    PictureFile,
    PlanFile,
    PlannerChoice,
    PlannerOptions,
    Repeat,
    Seed,
    Size,
    Std,
    Stream,
    Threads,
    Timeout,
    TraceFile,
    Weights,
    parse_deadline,
    parse_dimensions,
    parse_planner_options,
    parse_preparation,
)
from swath.cli.output import (
    check_picture_name,
    check_writable,
    console,
    facts,
    print_json,
)
from swath.cli.pictures import save_picture
from swath.cli.progress import Display
from swath.cli.report import advice, exit_status, giving_up, run_facts, run_report
from swath.cli.streams import present_facts, present_keys, stream_facts, stream_keys
from swath.cli.traces import check_trace_name, save_trace
from swath.planners import Objective, check_objective, known_planners, make_planner
from swath.planners.choosing import DEFAULT_PLANNER
from swath.runtime.output_files import write_outputs


def run(
    model: Model,
    input_file: Input = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FILE.npz", help="Write the outputs, by name."),
    ] = None,
    local: Local = None,
    threads: Threads = 1,
    cluster: ClusterFile = None,
    connect: Connect = None,
    discover: Discover = False,
    listen: Listen = None,
    cluster_name: ClusterName = "default",
    planner: PlannerChoice = None,
    option: PlannerOptions = None,
    plan: PlanFile = None,
    objective: ObjectiveChoice = None,
    deadline: Deadline = None,
    channel: Channels = None,
    channel_aware: ChannelAware = False,
    repeat: Repeat = 10,
    stream: Stream = None,
    timeout: Timeout = 60.0,
    seed: Seed = 0,
    size: Size = None,
    mean: Mean = DEFAULT_MEAN,
    std: Std = DEFAULT_STD,
    layout: PictureAxes = None,
    dim: Dimensions = None,
    weights: Weights = None,
    picture: PictureFile = None,
    trace: TraceFile = None,
    as_json: AsJson = False,
) -> None:
    """Run a model split over workers, in turn with plain ONNX Runtime on one device.

    Without a cluster: two workers on this machine, one thread each. With --stream the plan is for
    throughput where the planner can, and several are in flight at once after those one by one.
    With --channel-aware there is a plan for each rate of the source's uplink, and the one for what
    it carries just now is taken each time.
    """
    for path in (output, picture, trace):
        check_writable(path)
    check_picture_name(picture)
    check_trace_name(trace)
    if channel_aware:
        check_channel_aware(plan, channel)
    options = parse_planner_options(option)
    # Said now if there is none such, not after a minute's work.
    make_planner(planner or DEFAULT_PLANNER, **options)
    asked = _objective(planner or DEFAULT_PLANNER, objective, stream)
    limit = parse_deadline(deadline)
    preparation = parse_preparation(size, mean, std, layout)
    dimensions = parse_dimensions(dim)
    chosen = None if plan is None else swath.load_plan(plan)
    with Display(quiet=as_json) as display:
        display.step(f"loading {model}")
        graph = swath.load(model, dimensions=dimensions, weights=weights)
        if input_file is None:
            inputs = swath.random_inputs(graph, seed)
        else:
            inputs = swath.read_inputs(graph, input_file, preparation)
        display.step("joining the workers")
        with open_cluster(
            local=local,
            threads=threads,
            plan=chosen,
            cluster_file=cluster,
            connect=connect,
            listen=listen,
            discover=discover,
            cluster_name=cluster_name,
        ) as session:
            if channel_aware:
                check_choice(session.cluster)
            costs = varied(session.costs(display.step), channel)
            said = by_rate = None
            if channel_aware:
                table = swath.api.choose_by_rate(
                    graph,
                    costs,
                    planner,
                    objective=asked,
                    deadline=limit,
                    each=lambda ranges: display.count("planning", ranges, len(ranges)),
                    **options,
                )
                display.step("installing")
                session.deploy_by_rate(graph, table, display.weights)
                display.rest()
                report, by_rate = session.run_by_rate(
                    graph, table, inputs, repeat=repeat, timeout=timeout, stream=stream
                )
            else:
                if chosen is None:
                    display.step("planning")
                    choice = swath.api.choose(
                        graph, costs, planner, objective=asked, deadline=limit, **options
                    )
                    chosen, said = choice.plan, giving_up(choice)
                display.step("installing")
                session.deploy(graph, chosen, display.weights)
                display.rest()
                report = session.run(
                    graph, inputs, plan=chosen, repeat=repeat, timeout=timeout, stream=stream
                )
            if trace is not None:
                measured = session.record(graph, inputs, plan=report.plan, timeout=timeout)
                save_trace([session.foresee(report.plan), measured], trace, title=model)
    if output is not None:
        write_outputs(output, report.outputs)
    if picture is not None:
        save_picture(report.plan, model, picture)
    if as_json:
        written = None if trace is None else str(trace)
        more = {
            **stream_keys(report.stream),
            **channel_keys(by_rate),
            **present_keys(report.present),
        }
        print_json({"model": model, **run_report(report), **more, "trace": written})
    else:
        rows = {
            **run_facts(report),
            **stream_facts(report.stream),
            **channel_facts(by_rate),
            **present_facts(report.present),
        }
        if output is not None:
            rows["outputs"] = str(output)
        if picture is not None:
            rows["picture of the plan"] = str(picture)
        if trace is not None:
            rows["trace"] = str(trace)
        out = console()
        out.print(facts(rows))
        said = said or advice(report)
        if said is not None:
            out.print(f"\n{said}")
    raise typer.Exit(exit_status(report))


def _objective(planner: str, asked: Objective | None, stream: int | None) -> Objective:
    """What to plan for; raises PlanError for what the planner does not plan for."""
    if asked is not None:
        check_objective(planner, asked)
        return asked
    (known,) = [info.objectives for info in known_planners() if info.name == planner]
    return "throughput" if stream is not None and "throughput" in known else known[0]
