"""`swath allocate run`: many services at once for real, on a cluster that is up or in the lab."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any

import typer

import swath
from swath.cli.allocations import figure_keys, live_table
from swath.cli.clusters import FIND_TIMEOUT
from swath.cli.grounds import real_place
from swath.cli.options import AsJson
from swath.cli.output import console, facts, print_json
from swath.cli.progress import Display
from swath.cli.report import lab_facts
from swath.cli.services import (
    ClusterFile,
    Planner,
    PolicyFile,
    Seed,
    WorkloadFile,
    check_load,
    check_policy,
    planned_menus,
)
from swath.cost import Costs
from swath.planners.choosing import DEFAULT_PLANNER
from swath.runtime.lab.cluster import LabCluster
from swath.workload.allocators import Setting, check_allocator, make_allocator
from swath.workload.arrivals import Offered, offer
from swath.workload.comparing import Ground, check_rates
from swath.workload.live import Checked, LiveServices, menus_in_use
from swath.workload.metrics import Figures, figures, utilisation
from swath.workload.serving import Served, serve

REQUESTS = 200

TOLERANCE = 1e-4
"""Of the largest value: what outputs may differ by from the unsplit model's."""


@dataclass(frozen=True)
class _Place:
    """Where requests are served. ``install`` gets the arguments of `LiveServices` after the
    session; ``check`` and ``serve`` are its methods; ``facts``: what was seen before, for people.
    """

    costs: Costs
    install: Callable[..., object]
    check: Callable[[], list[Checked]]
    serve: Callable[[Offered, Setting, str], Served]
    facts: Callable[[], dict[str, str]]


def run_services(
    workload: WorkloadFile,
    cluster: ClusterFile,
    allocator: Annotated[
        str, typer.Option("--allocator", metavar="A", help="See 'swath allocate list'.")
    ],
    load: Annotated[
        float | None,
        typer.Option(
            "--load",
            metavar="X",
            help="Ask for X times the FLOPs that the devices sustain.  [default: the rates of the "
            "file]",
        ),
    ] = None,
    requests: Annotated[
        int, typer.Option("--requests", metavar="N", min=1, help="In the mean.")
    ] = REQUESTS,
    seed: Seed = 0,
    policy: PolicyFile = None,
    planner: Planner = DEFAULT_PLANNER,
    as_json: AsJson = False,
) -> None:
    """Serve a workload for real, beside what is to be expected of the same requests: on the cluster
    file's devices where they have addresses, in the lab where they have 'cores' (needs root)."""
    check_allocator(allocator)
    check_load(load)
    check_policy(policy, [allocator])
    described = swath.load_workload(workload)
    if load is not None:
        check_rates(described)
    where = swath.load_cluster(cluster)
    place = real_place(where, "allocate run")
    with Display(quiet=as_json) as display:
        opened = _lab(where, display) if place == "lab" else _cluster(where, display)
        with opened as there:
            display.step("loading the models")
            graphs: dict[str, swath.Graph] = {}

            def loaded(model: str) -> swath.Graph:
                graphs[model] = swath.load(model)
                return graphs[model]

            found = planned_menus(described, loaded, there.costs, planner, display)
            ground = Ground.of(described, found, there.costs, policy)
            scale = 1.0 if load is None else ground.scale(load)
            offered = offer(described, ground.seconds(requests, scale), seed, scale)
            setting = Setting(described, found, ground.speeds, scale, seed, policy)
            used = menus_in_use(described, found, offered, make_allocator(allocator, setting))
            setting = Setting(described, used, ground.speeds, scale, seed, policy)
            expected = serve(described, used, offered, make_allocator(allocator, setting))
            there.install(described, used, graphs, seed)
            checks = there.check()
            served = there.serve(offered, setting, allocator)
            seen = there.facts()
    services = {
        menu.service.name: (figures(served, n), figures(expected, n)) for n, menu in enumerate(used)
    }
    everything = figures(served), figures(expected)
    differs = max((check.difference.relative for check in checks), default=0.0)
    use = utilisation(served, ground.speeds)
    if as_json:
        print_json(
            {
                "allocator": allocator,
                "load": ground.load if load is None else load,
                "place": place,
                "planner": planner,
                "seconds": served.seconds,
                **_keys(*everything),
                "utilisation": use.total,
                "max_rel_diff": differs,
                "within_tolerance": differs <= TOLERANCE,
                "services": [{"name": name, **_keys(*both)} for name, both in services.items()],
            }
        )
    else:
        out = console()
        rows = {
            "asked for": f"{everything[0].requests:.0f} requests in {served.seconds:.3g} s, "
            f"{ground.load if load is None else load:.0%} of the FLOPs that the devices sustain",
            "useful": f"{use.total:.1%} of those FLOPs",
            "installed": f"{sum(len(menu.ways) for menu in used)} plans of {len(graphs)} models; "
            + (
                f"outputs within tolerance of the unsplit models' (differ by {differs:.0e} of the "
                "largest value)"
                if differs <= TOLERANCE
                else f"OUTPUTS DIFFER from the unsplit models' (by {differs:.0e} of the largest)"
            ),
            **seen,
        }
        out.print(facts(rows))
        out.print()
        out.print(live_table({**services, "all": everything}))
    raise typer.Exit(int(differs > TOLERANCE))


def _keys(measured: Figures, expected: Figures) -> dict[str, Any]:
    return {**figure_keys(measured), "predicted": figure_keys(expected)}


@contextlib.contextmanager
def _cluster(described: swath.Cluster, display: Display) -> Iterator[_Place]:
    display.step("joining the workers")
    with swath.connect(described, timeout=FIND_TIMEOUT) as session:
        live: list[LiveServices] = []
        report = display.amount
        yield _Place(
            session.costs(display.step),
            lambda *given: live.append(LiveServices(session, *given, report=report)),  # type: ignore[misc]
            lambda: live[0].check(report),
            lambda offered, setting, name: live[0].serve(offered, setting, name, report),
            dict,
        )


@contextlib.contextmanager
def _lab(described: swath.Cluster, display: Display) -> Iterator[_Place]:
    with LabCluster(described, step=display.step) as lab:

        def serve(*arguments: Any) -> Any:
            with lab.in_force():
                lab.checks = lab.check()
                with lab.at_source():
                    return lab.ask("serve", *arguments, progress=display.amount)

        yield _Place(
            lab.costs,
            lambda *arguments: lab.keep(LiveServices, *arguments, progress=display.amount),
            lambda: lab.ask("check", progress=display.amount),
            serve,
            lambda: {} if lab.checks is None else lab_facts(lab.checks),
        )
