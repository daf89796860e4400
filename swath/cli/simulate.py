"""`swath simulate`: a plan on virtual time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Annotated, Any

import typer
from rich.table import Table

import swath
import swath.api
from swath.cli.options import (
    AsJson,
    Channels,
    Deadline,
    Stream,
    TraceFile,
    Trials,
    parse_deadline,
)
from swath.cli.output import (
    check_picture_name,
    check_writable,
    console,
    facts,
    format_bytes,
    format_ms,
    output_file,
    print_json,
)
from swath.cli.progress import Display
from swath.cli.reliability import (
    quantile_fact,
    reliability_fact,
    save_shares,
    trial_keys,
)
from swath.cli.traces import check_trace_name, save_trace
from swath.cluster.varying import with_channels
from swath.errors import SwathError
from swath.plan.compile import compile_plan
from swath.planners import Problem
from swath.planners.bound import check_reachable, lower_bound
from swath.runtime.plain import Milliseconds
from swath.simulate import redundant_flops_share
from swath.simulate.steady import steady_interval, steady_requests
from swath.simulate.trials import TRIALS, together


def simulate(
    plans: Annotated[
        list[Path],
        typer.Argument(
            metavar="PLAN...",
            help="A plan's file; see 'swath plan'. Of several, for several sizes of picture, each "
            "trial takes one by chance.",
        ),
    ],
    cluster: Annotated[Path, typer.Option("--cluster", metavar="FILE", help="A cluster file.")],
    requests: Annotated[
        int | None,
        typer.Option(
            "--requests",
            metavar="N",
            min=1,
            help="Inferences.  [default: 1; with --stream, three times as many as are in flight]",
        ),
    ] = None,
    every: Annotated[
        float | None,
        typer.Option(
            "--every",
            metavar="MS",
            min=0.0,
            help="Begin one every so often.  [default: when the one before it is over]",
        ),
    ] = None,
    stream: Stream = None,
    channel: Channels = None,
    deadline: Deadline = None,
    trials: Trials = None,
    seed: Annotated[int, typer.Option("--seed", help="Of what changes by chance.")] = 0,
    picture: Annotated[
        Path | None,
        typer.Option(
            "--picture",
            metavar="FILE",
            help="Draw here (.png or .svg) how often which deadline is met by trials.",
        ),
    ] = None,
    trace: TraceFile = None,
    as_json: AsJson = False,
) -> None:
    """Say what a plan will take on a cluster: latency, utilisation, bytes, energy.

    With --deadline or --trials: how often it is over in time, by independent inferences.
    """
    for path in (trace, picture):
        check_writable(path)
    check_trace_name(trace)
    check_picture_name(picture)
    limit = parse_deadline(deadline)
    is_trying = trials is not None or limit is not None
    if is_trying:
        _check_alone(
            {"--requests": requests, "--every": every, "--stream": stream, "--trace": trace}
        )
    elif len(plans) > 1 or picture is not None:
        raise SwathError("several plans, or a picture, are for trials; give --trials N")
    chosen = [swath.load_plan(path) for path in plans]
    described = with_channels(swath.load_cluster(cluster), channel or ())
    count = (trials or TRIALS) if is_trying else _count(requests, every, stream)
    with Display(quiet=as_json) as display:
        display.step("simulating")
        if is_trying:
            found = _tried(chosen, described, count, limit, seed, display)
        else:
            found = swath.api.simulate(
                chosen[0],
                described,
                requests=count,
                every=None if every is None else every / 1e3,
                in_flight=stream or 1,
                seed=seed,
                record=trace is not None,
            )
        shares = [redundant_flops_share(plan, compile_plan(plan)) for plan in chosen]
    if trace is not None and found.trace is not None:
        save_trace([found.trace], trace)
    if is_trying:
        stem = plans[0].stem
        picture = picture or output_file(f"reliability-{stem}.png")
        save_shares({stem: found.latencies}, picture, f"{stem} on {cluster.stem}", limit)
    tried = trial_keys(found.latencies if is_trying else None, limit)
    times = Milliseconds.of(found.latencies)
    interval = None if stream is None else steady_interval(found.ends, stream)
    if as_json:
        print_json(
            {
                **_report(chosen, found, times, fmean(shares), trace),
                "in_flight": stream,
                "requests_per_second": None if interval is None else 1 / interval,
                "interval_ms": None if interval is None else interval * 1e3,
                "trials": count if is_trying else None,
                **tried,
                "picture": str(picture) if is_trying else None,
            }
        )
        return
    out = console()
    rows = {
        "plan": "\n".join(
            f"{len(plan.stages)} stages, by planner {plan.planner}" for plan in chosen
        ),
        "latency": format_ms(times.mean),
        "bytes moved": f"{format_bytes(found.bytes_moved / count)} per inference",
        "computed twice": f"{fmean(shares):.1%} of the model's FLOPs",
    }
    if count > 1:
        rows["latency"] += (
            f" (mean of {count}; median {format_ms(times.median)}, 95% {format_ms(times.p95)})"
        )
    if tried["reliability"] is not None:
        rows["in time"] = reliability_fact(tried["reliability"])
    if is_trying:
        rows["over within"] = quantile_fact(found.latencies)
        rows["picture"] = str(picture)
    elif count > 1:
        rows["throughput"] = f"{count / found.makespan:.3g} inferences a second"
    if interval is not None:
        rows[f"{stream} in flight"] = (
            f"{1 / interval:.3g} inferences a second: one every {format_ms(interval * 1e3)}"
        )
    if trace is not None:
        rows["trace"] = str(trace)
    out.print(facts(rows))
    out.print()
    out.print(_devices(found, count))


def _check_alone(options: Mapping[str, object]) -> None:
    """Raises SwathError where one of these is given, which do not go with trials."""
    for option, value in options.items():
        if value is not None:
            raise SwathError(
                f"{option} is about requests that follow each other, but trials (--trials, "
                "--deadline) are each alone; leave one away"
            )


def _tried(
    plans: Sequence[swath.Plan],
    cluster: swath.Cluster,
    count: int,
    deadline: float | None,
    seed: int,
    display: Display,
) -> swath.Simulation:
    """All trials together; raises PlanError for a deadline that none can meet."""
    if deadline is not None:
        costs = swath.api.costs(cluster)
        check_reachable(deadline, min(lower_bound(Problem(plan.graph, costs)) for plan in plans))
    trials = swath.api.trials(plans, cluster, count=count, seed=seed)
    return together(display.count("trials", trials, count))


def _count(requests: int | None, every: float | None, stream: int | None) -> int:
    """How many inferences; raises SwathError where the options do not go together."""
    if stream is None:
        return requests or 1
    if every is not None:
        raise SwathError("--every says when each begins, --stream how many at once; give one")
    if requests is not None and requests <= 2 * stream:
        raise SwathError(
            f"--requests {requests} is too few to see {stream} in flight; "
            f"give more than {2 * stream}, or leave it away"
        )
    return requests or steady_requests(stream)


def _report(
    plans: Sequence[swath.Plan],
    found: swath.Simulation,
    times: Milliseconds,
    share: float,
    trace: Path | None,
) -> dict[str, Any]:
    count = len(found.latencies)
    return {
        "planner": ", ".join(dict.fromkeys(plan.planner for plan in plans)),
        "latency_ms": times.mean,
        "latency_median_ms": times.median,
        "latency_p95_ms": times.p95,
        "requests": count,
        "makespan_ms": found.makespan * 1e3,
        "utilisation": dict(found.utilisation),
        "bytes_moved": found.bytes_moved // count,
        "redundant_flops_share": share,
        "energy_joules": {device: joules / count for device, joules in found.energy.items()},
        "trace": None if trace is None else str(trace),
    }


def _devices(found: swath.Simulation, requests: int) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("device")
    table.add_column("busy", justify="right")
    if found.energy:
        table.add_column("energy per inference", justify="right")
    for device, share in found.utilisation.items():
        row = [device, f"{share:.0%}"]
        if found.energy:
            joules = found.energy.get(device)
            row.append("" if joules is None else f"{joules / requests:.3g} J")
        table.add_row(*row)
    return table
