"""`swath allocate`: many services on one cluster, who gets which share."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

import swath
import swath.api
from swath.cli.allocate_run import run_services
from swath.cli.allocations import (
    comparison,
    device_table,
    draw_rows,
    figure_keys,
    row_keys,
    service_table,
)
from swath.cli.options import AsJson
from swath.cli.output import (
    check_picture_name,
    check_writable,
    console,
    facts,
    output_file,
    print_json,
)
from swath.cli.progress import Display
from swath.cli.services import (
    AllocatorName,
    ClusterFile,
    Load,
    Planner,
    PolicyFile,
    Requests,
    Seed,
    WorkloadFile,
    check_load,
    check_policy,
    parse_load,
    planned_menus,
)
from swath.planners.choosing import DEFAULT_PLANNER
from swath.workload.allocators import check_allocator, known_allocators
from swath.workload.comparing import REQUESTS, Ground, check_rates, compare
from swath.workload.learning.training import (
    TRAINING_STEPS,
    Training,
    train,
)
from swath.workload.learning.training import check_installed as check_training
from swath.workload.metrics import figures

LOADS = "0.3,0.6,0.9,1.1,1.3"

EVALUATIONS = 3
"""Runs of each allocator at each load, after training."""

NEVER_TRAINED_ON = 10**6
"""From this seed on; training draws its own."""

allocate = typer.Typer(
    help="Many services on one cluster: which requests begin when, on which devices.",
    no_args_is_help=True,
)


@allocate.command("simulate")
def simulate(
    workload: WorkloadFile,
    cluster: ClusterFile,
    allocator: AllocatorName,
    load: Load = None,
    requests: Requests = REQUESTS,
    seed: Seed = 0,
    policy: PolicyFile = None,
    planner: Planner = DEFAULT_PLANNER,
    as_json: AsJson = False,
) -> None:
    """Serve a workload on virtual time: latencies and misses by service, use of the devices."""
    check_allocator(allocator)
    check_load(load)
    check_policy(policy, [allocator])
    with Display(quiet=as_json) as display:
        ground = _ground(workload, cluster, planner, display, policy, is_scaled=load is not None)
        display.step("serving")
        (row,) = compare(ground, [allocator], [load], requests, 1, seed)
    served = row.runs[0].served
    services = {
        menu.service.name: figures(served, place) for place, menu in enumerate(ground.menus)
    }
    devices = [device.name for device in swath.load_cluster(cluster).devices]
    if as_json:
        print_json(
            {
                **row_keys(row),
                "planner": planner,
                "seconds": served.seconds,
                "services": [
                    {"name": name, **figure_keys(found)} for name, found in services.items()
                ],
                "devices": [
                    {"name": name, "utilisation": useful, "busy": busy}
                    for name, useful, busy in zip(
                        devices, row.utilisation.useful, row.utilisation.busy, strict=True
                    )
                ],
            }
        )
        return
    out = console()
    rows = {
        "asked for": f"{row.figures.requests:.0f} requests in {served.seconds:.3g} s, "
        f"{row.load:.0%} of the FLOPs that the devices sustain",
        "useful": f"{row.utilisation.total:.1%} of those FLOPs",
    }
    if row.load > 1:
        rows["overload"] = "more is asked for than can be done; what waits too long is given up"
    out.print(facts(rows))
    out.print()
    out.print(service_table({**services, "all": row.figures}))
    out.print()
    out.print(device_table(devices, row))


allocate.command("run")(run_services)


@allocate.command("compare")
def compare_allocators(
    workload: WorkloadFile,
    cluster: ClusterFile,
    allocators: Annotated[
        str | None, typer.Option("--allocators", metavar="A,B", help="These only; default: all.")
    ] = None,
    load: Annotated[
        str, typer.Option("--load", metavar="X,X", help="FLOPs asked for, by those sustained.")
    ] = LOADS,
    requests: Requests = REQUESTS,
    runs: Annotated[
        int, typer.Option("--runs", metavar="N", min=1, help="Of each, by seeds that follow.")
    ] = 3,
    seed: Seed = 0,
    policy: PolicyFile = None,
    planner: Planner = DEFAULT_PLANNER,
    picture: Annotated[
        Path | None,
        typer.Option("--picture", metavar="FILE", help="Draw here (.png or .svg)."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """All allocators side by side: latency and utilisation against load."""
    check_writable(picture)
    check_picture_name(picture)
    names = [info.name for info in known_allocators()]
    if allocators is not None:
        names = list(dict.fromkeys(part.strip() for part in allocators.split(",")))
    for name in names:
        check_allocator(name)
    check_policy(policy, names)
    loads = [parse_load(part) for part in load.split(",")]
    with Display(quiet=as_json) as display:
        ground = _ground(workload, cluster, planner, display, policy)
        rows = list(
            display.count(
                "serving",
                compare(ground, names, loads, requests, runs, seed),
                len(names) * len(loads),
            )
        )
    picture = picture or output_file(f"allocators-{workload.stem}-{cluster.stem}.png")
    draw_rows(rows, picture)
    if as_json:
        print_json(
            {"rows": [row_keys(row) for row in rows], "planner": planner, "picture": str(picture)}
        )
        return
    out = console()
    out.print(comparison(rows))
    out.print()
    out.print(facts({"picture": str(picture)}))


@allocate.command("train")
def train_policy(
    workload: WorkloadFile,
    cluster: ClusterFile,
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="FILE", help="The policy (.onnx).")
    ],
    steps: Annotated[
        int, typer.Option("--steps", metavar="N", min=1, help="Of 32 requests each.")
    ] = TRAINING_STEPS,
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            "--checkpoint",
            metavar="FILE",
            help="Keep there what is learnt, and go on from it.  [default: beside the policy]",
        ),
    ] = None,
    logs: Annotated[
        Path | None,
        typer.Option("--logs", metavar="FOLDER", help="For TensorBoard."),
    ] = None,
    seed: Seed = 0,
    planner: Planner = DEFAULT_PLANNER,
    as_json: AsJson = False,
) -> None:
    """Learn when to ask which prices, on workloads like this one; then compare, on ones never
    learnt on. Stopped, it goes on where it was."""
    check_training()
    for path in (output, checkpoint):
        check_writable(path)
    training = Training(steps, seed, checkpoint or output.with_suffix(".checkpoint"), logs)
    started = time.monotonic()
    with Display(quiet=as_json) as display:
        ground = _ground(workload, cluster, planner, display)
        display.step("training")

        def tell(done: int, reward: float) -> None:
            display.amount(f"training (reward {reward:+.3f})", done, steps)

        train(ground, training, output, tell)
        seconds = time.monotonic() - started
        names = [info.name for info in known_allocators()]
        loads = [parse_load(part) for part in LOADS.split(",")]
        ground = replace(ground, policy=output)
        rows = list(
            display.count(
                "comparing",
                compare(ground, names, loads, REQUESTS, EVALUATIONS, NEVER_TRAINED_ON + seed),
                len(names) * len(loads),
            )
        )
    if as_json:
        print_json(
            {
                "policy": str(output),
                "steps": steps,
                "seconds": seconds,
                "rows": [row_keys(row) for row in rows],
            }
        )
        return
    out = console()
    out.print(comparison(rows))
    out.print()
    out.print(
        facts(
            {
                "policy": str(output),
                "trained": f"{steps} steps in {seconds / 60:.3g} min",
                "checkpoint": str(training.checkpoint),
            }
        )
    )


@allocate.command("list")
def list_allocators(as_json: AsJson = False) -> None:
    """What is registered."""
    if as_json:
        print_json(
            {
                "allocators": [
                    {"name": info.name, "summary": info.summary} for info in known_allocators()
                ]
            }
        )
        return
    console().print(facts({info.name: info.summary for info in known_allocators()}))


def _ground(
    workload: Path,
    cluster: Path,
    planner: str,
    display: Display,
    policy: Path | None = None,
    is_scaled: bool = True,
) -> Ground:
    """The services with all ways to carry them out; where their rates are scaled, some must be more
    than 0."""
    described = swath.load_workload(workload)
    if is_scaled:
        check_rates(described)
    costs = swath.api.costs(swath.load_cluster(cluster))
    display.step("loading the models")
    found = planned_menus(described, swath.load, costs, planner, display)
    return Ground.of(described, found, costs, policy)
