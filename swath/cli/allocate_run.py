"""`swath allocate run`: many services at once for real, on a cluster that is up or in the lab."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Protocol

import typer

import swath
from swath.cli.allocations import figure_keys, live_table
from swath.cli.clusters import FIND_TIMEOUT
from swath.cli.grounds import Place, real_place
from swath.cli.options import AsJson
from swath.cli.output import console, facts, print_json
from swath.cli.progress import Display
from swath.cli.report import lab_facts, machine_facts
from swath.cli.services import (
    AllocatorName,
    ClusterFile,
    Load,
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
from swath.runtime.lab.conditions import Conditions, Stolen
from swath.workload.allocators import Setting, check_allocator, make_allocator
from swath.workload.arrivals import Offered, offer
from swath.workload.comparing import Ground, check_rates
from swath.workload.live import Checked, LiveServices, menus_in_use
from swath.workload.metrics import Figures, figures, utilisation
from swath.workload.serving import Served, serve
from swath.workload.ways import Menu
from swath.workload.workload import Workload

REQUESTS = 200


_Services = tuple[Workload, tuple[Menu, ...], Mapping[str, swath.Graph], int]
"""What `LiveServices` is made of besides a session: workload, menus, graphs by model, a seed."""


class _Place(Protocol):
    """Where requests are served; ``install`` makes `LiveServices`, ``check`` and ``serve`` do what
    its methods do."""

    costs: Costs

    def install(self, services: _Services) -> None: ...

    def check(self) -> list[Checked]: ...

    def serve(
        self, offered: Offered, setting: Setting, allocator: str
    ) -> tuple[Served, Conditions]: ...

    def facts(self) -> dict[str, str]:
        """What was seen before anything was measured, for people."""


def run_services(
    workload: WorkloadFile,
    cluster: ClusterFile,
    allocator: AllocatorName,
    load: Load = None,
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
    with Display(quiet=as_json) as display, _opened(where, place, display) as there:
        asked = _Asked(described, allocator, load, requests, seed, policy, planner)
        outcome = _serve(there, asked, display)
    if as_json:
        print_json({"place": place, "planner": planner, **_keys(outcome)})
    else:
        _tell(outcome)
    raise typer.Exit(int(not outcome.is_close))


@dataclass(frozen=True)
class _Asked:
    """What is to be served, and how."""

    workload: Workload
    allocator: str
    load: float | None
    requests: int
    seed: int
    policy: Path | None
    planner: str


@dataclass(frozen=True)
class _Outcome:
    """What was served for real, and what was to be ``expected`` of the same requests on devices as
    slow as these were. ``menus``: the ways that were used; ``seen``: `_Place.facts`."""

    allocator: str
    load: float
    menus: tuple[Menu, ...]
    speeds: Sequence[float]
    served: Served
    expected: Served
    conditions: Conditions
    checks: Sequence[Checked]
    seen: Mapping[str, str]

    @property
    def useful(self) -> float:
        """Share of the devices' sustained FLOP/s."""
        return utilisation(self.served, self.speeds).total

    @property
    def differs(self) -> float:
        """From the unsplit models, as a share of the largest value."""
        return max((check.difference.relative for check in self.checks), default=0.0)

    @property
    def is_close(self) -> bool:
        return all(check.is_close for check in self.checks)

    def figures(self, service: int | None = None) -> tuple[Figures, Figures]:
        """Measured and expected, of a service or of all."""
        return figures(self.served, service), figures(self.expected, service)


def _serve(there: _Place, asked: _Asked, display: Display) -> _Outcome:
    display.step("loading the models")
    graphs: dict[str, swath.Graph] = {}

    def loaded(model: str) -> swath.Graph:
        graphs[model] = swath.load(model)
        return graphs[model]

    workload = asked.workload
    menus = planned_menus(workload, loaded, there.costs, asked.planner, display)
    ground = Ground.of(workload, menus, there.costs)
    scale = 1.0 if asked.load is None else ground.scale(asked.load)
    offered = offer(workload, ground.seconds(asked.requests, scale), asked.seed, scale)

    def setting() -> Setting:
        return Setting(workload, menus, ground.speeds, scale, asked.seed, asked.policy)

    first = make_allocator(asked.allocator, setting())
    menus = menus_in_use(workload, menus, offered, first)
    there.install((workload, menus, graphs, asked.seed))
    checks = there.check()
    served, conditions = there.serve(offered, setting(), asked.allocator)
    again = make_allocator(asked.allocator, setting())
    expected = serve(workload, menus, offered, again, conditions.slowdown)
    return _Outcome(
        asked.allocator,
        ground.load if asked.load is None else asked.load,
        menus,
        ground.speeds,
        served,
        expected,
        conditions,
        checks,
        there.facts(),
    )


def _keys(outcome: _Outcome) -> dict[str, Any]:
    """For ``--json``."""

    def both(service: int | None = None) -> dict[str, Any]:
        found, expected = outcome.figures(service)
        return {**figure_keys(found), "predicted": figure_keys(expected)}

    return {
        "allocator": outcome.allocator,
        "load": outcome.load,
        "seconds": outcome.served.seconds,
        **both(),
        "utilisation": outcome.useful,
        "slowdown": outcome.conditions.slowdown,
        "stolen": outcome.conditions.stolen,
        "max_rel_diff": outcome.differs,
        "within_tolerance": outcome.is_close,
        "services": [
            {"name": menu.service.name, **both(place)} for place, menu in enumerate(outcome.menus)
        ],
    }


def _tell(outcome: _Outcome) -> None:
    """For people."""
    requests, seconds = len(outcome.served.latencies), outcome.served.seconds
    verdict = "within tolerance" if outcome.is_close else "BEYOND TOLERANCE"
    out = console()
    out.print(
        facts(
            {
                "asked for": f"{requests} requests in {seconds:.3g} s, {outcome.load:.0%} of the "
                "FLOPs that the devices sustain",
                "useful": f"{outcome.useful:.1%} of those FLOPs",
                "installed": f"{sum(len(menu.ways) for menu in outcome.menus)} plans",
                "results": f"{verdict} of the unsplit models': differ by {outcome.differs:.0e} of "
                "the largest value",
                **machine_facts(outcome.conditions),
                **outcome.seen,
            }
        )
    )
    out.print()
    services = {menu.service.name: outcome.figures(n) for n, menu in enumerate(outcome.menus)}
    out.print(live_table({**services, "all": outcome.figures()}))


class _OnCluster:
    """Devices that are up."""

    def __init__(self, session: swath.ClusterSession, display: Display) -> None:
        self.costs: Costs = session.costs(display.step)
        self._session = session
        self._report = display.amount

    def install(self, services: _Services) -> None:
        self._live = LiveServices(self._session, *services, self._report)

    def check(self) -> list[Checked]:
        return self._live.check(self._report)

    def serve(
        self, offered: Offered, setting: Setting, allocator: str
    ) -> tuple[Served, Conditions]:
        return self._live.serve(offered, setting, allocator, self._report), Conditions()

    def facts(self) -> dict[str, str]:
        return {}


class _InLab:
    """Emulated devices; requests are served by the coordinator's process at the source."""

    def __init__(self, lab: LabCluster, display: Display) -> None:
        self.costs: Costs = lab.costs
        self._lab = lab
        self._report = display.amount

    def install(self, services: _Services) -> None:
        self._lab.keep(LiveServices, *services, progress=self._report)

    def check(self) -> list[Checked]:
        checks: list[Checked] = self._lab.ask("check", progress=self._report)
        return checks

    def serve(
        self, offered: Offered, setting: Setting, allocator: str
    ) -> tuple[Served, Conditions]:
        with self._lab.in_force():
            self._lab.checks = self._lab.check()
            stolen = Stolen()
            with self._lab.at_source(), self._lab.paced() as paces:
                served: Served = self._lab.ask(
                    "serve", offered, setting, allocator, progress=self._report
                )
            taken = stolen.share()
        return served, self._lab.conditions(paces, taken)

    def facts(self) -> dict[str, str]:
        return {} if self._lab.checks is None else lab_facts(self._lab.checks)


@contextlib.contextmanager
def _opened(described: swath.Cluster, place: Place, display: Display) -> Iterator[_Place]:
    if place == "lab":
        with LabCluster(described, step=display.step) as lab:
            yield _InLab(lab, display)
    else:
        display.step("joining the workers")
        with swath.connect(described, timeout=FIND_TIMEOUT) as session:
            yield _OnCluster(session, display)
