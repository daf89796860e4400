"""`swath simulate`: a plan on virtual time."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

import swath
import swath.api
from swath.cli.options import AsJson, TraceFile
from swath.cli.output import check_writable, console, facts, format_bytes, format_ms, print_json
from swath.cli.progress import Display
from swath.cli.traces import check_trace_name, save_trace
from swath.errors import SwathError
from swath.plan.compile import compile_plan
from swath.runtime.plain import Milliseconds
from swath.simulate import redundant_flops_share
from swath.simulate.steady import steady_interval, steady_requests


def simulate(
    plan: Annotated[Path, typer.Argument(metavar="PLAN", help="A plan's file; see 'swath plan'.")],
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
    stream: Annotated[
        int | None,
        typer.Option(
            "--stream",
            metavar="N",
            min=1,
            help="Let N of them be in flight at once, and say how soon one result follows another.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Of what changes by chance.")] = 0,
    trace: TraceFile = None,
    as_json: AsJson = False,
) -> None:
    """Say what a plan will take on a cluster: latency, utilisation, bytes, energy."""
    check_writable(trace)
    check_trace_name(trace)
    chosen = swath.load_plan(plan)
    described = swath.load_cluster(cluster)
    count = _count(requests, every, stream)
    with Display(quiet=as_json) as display:
        display.step("simulating")
        programs = compile_plan(chosen)
        found = swath.api.simulate(
            chosen,
            described,
            requests=count,
            every=None if every is None else every / 1e3,
            in_flight=stream or 1,
            seed=seed,
            record=trace is not None,
        )
    if trace is not None and found.trace is not None:
        save_trace([found.trace], trace)
    times = Milliseconds.of(found.latencies)
    share = redundant_flops_share(chosen, programs)
    interval = None if stream is None else steady_interval(found.ends, stream)
    if as_json:
        print_json(
            {
                **_report(chosen, found, times, share, trace),
                "in_flight": stream,
                "requests_per_second": None if interval is None else 1 / interval,
                "interval_ms": None if interval is None else interval * 1e3,
            }
        )
        return
    out = console()
    rows = {
        "plan": f"{len(chosen.stages)} stages, by planner {chosen.planner}",
        "latency": format_ms(times.mean),
        "bytes moved": f"{format_bytes(found.bytes_moved / count)} per inference",
        "computed twice": f"{share:.1%} of the model's FLOPs",
    }
    if count > 1:
        rows["latency"] += (
            f" (mean of {count}; median {format_ms(times.median)}, 95% {format_ms(times.p95)})"
        )
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
    plan: swath.Plan,
    found: swath.Simulation,
    times: Milliseconds,
    share: float,
    trace: Path | None,
) -> dict[str, Any]:
    count = len(found.latencies)
    return {
        "planner": plan.planner,
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
