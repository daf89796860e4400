"""Sweeps: models x clusters x planners, a scenario each; what a scenario's row says.

A sweep goes on where it was stopped: rows are known by scenario, not by when they were made.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, lru_cache

from swath.cluster.cluster import Cluster, Device, Link, Network
from swath.cluster.profile_file import load_profiles
from swath.cost import costs_for
from swath.graph.codec import weightless
from swath.graph.graph import Graph
from swath.planners.bound import lower_bound
from swath.planners.comparing import BUDGET, Outcome, Refusal, compare
from swath.planners.registry import Problem

Loader = Callable[[str], Graph]
"""A model's name or path -> its graph. A function of a module, so that processes can share it."""

Key = tuple[str, str]

LINK_LATENCY = 1e-3
"""Seconds, of every link of the clusters that `uniform_clusters` makes."""

UNEVEN_GFLOPS = (5.0, 10.0, 2.5)
"""Speeds of uneven devices, by turns."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """One planner on one model and cluster. ``place``: what a person calls the cluster; ``budget``:
    seconds that the planner has."""

    model: str
    place: str
    cluster: Cluster
    planner: str
    budget: float = BUDGET

    @property
    def problem_id(self) -> str:
        """What the planners of one model on one cluster share, and no others."""
        return hashlib.sha256(repr((self.model, self.cluster)).encode()).hexdigest()[:16]

    @property
    def key(self) -> Key:
        """By which its row is known."""
        return self.problem_id, self.planner


@dataclass(frozen=True, slots=True)
class Row:
    """What came of a scenario, flat: a line of a table.

    ``devices``: those that compute; ``rate_mbit``: Mbit/s of the links, None where they differ;
    ``speedup``: over the one device that is done first, None where each is too small;
    ``computing_share``: of the latency, for which the busiest device computes;
    ``devices_used`` and ``stages``: numbers; ``reason``: of a refusal, which has no figures.
    """

    problem_id: str
    model: str
    cluster: str
    network: str
    devices: int
    rate_mbit: float | None
    planner: str
    budget_s: float
    predicted_ms: float | None = None
    lower_bound_ms: float | None = None
    speedup: float | None = None
    bytes_moved: int | None = None
    redundant_flops_share: float | None = None
    computing_share: float | None = None
    peak_memory_bytes: int | None = None
    plan_ms: float | None = None
    stages: int | None = None
    devices_used: int | None = None
    reason: str | None = None

    @property
    def key(self) -> Key:
        """That of its scenario."""
        return self.problem_id, self.planner


def uniform_clusters(
    sizes: Iterable[int],
    rates: Iterable[float],
    networks: Iterable[Network],
    gflops: Sequence[float],
) -> list[tuple[str, Cluster]]:
    """Clusters with names: so many devices with these speeds by turns, every link of one rate
    (bytes per second), in each kind of network. The first is the source, and the hub of a star."""
    speeds = f"{gflops[0]:g}" if len(gflops) == 1 else "uneven"
    found = []
    for network, rate, size in itertools.product(networks, rates, sizes):
        devices = tuple(
            Device(f"device-{index}", gflops=gflops[index % len(gflops)]) for index in range(size)
        )
        source = devices[0].name
        hub = source if network == "star" else None
        cluster = Cluster(devices, source, network, Link(rate, LINK_LATENCY), hub=hub)
        found.append((f"{size}x{speeds}", cluster))
    return found


def scenarios(
    models: Iterable[str],
    places: Iterable[tuple[str, Cluster]],
    planners: Iterable[str],
    budget: float = BUDGET,
) -> list[Scenario]:
    """All combinations, model by model: so each process loads the first one first."""
    return [
        Scenario(model, place, cluster, planner, budget)
        for model, (place, cluster), planner in itertools.product(models, places, planners)
    ]


def remaining(asked: Iterable[Scenario], finished: Mapping[Key, Row]) -> list[Scenario]:
    """Those without a row. A refusal is tried again with more time than it had."""
    return [
        scenario
        for scenario in asked
        if (row := finished.get(scenario.key)) is None
        or (row.reason is not None and row.budget_s < scenario.budget)
    ]


def run_scenario(scenario: Scenario, load: Loader) -> Row:
    """The row of one scenario. Raises ModelError and ClusterError for what cannot be read."""
    costs = costs_for(scenario.cluster, load_profiles(scenario.cluster))
    problem = Problem(_graph(scenario.model, load), costs)
    ((_, outcome),) = compare(problem, [scenario.planner], scenario.budget)
    return _row(scenario, outcome, _references(_Posed(scenario.problem_id, problem)))


@dataclass(frozen=True, slots=True)
class _Posed:
    """A problem that is known by its id."""

    problem_id: str
    problem: Problem = field(compare=False)


@dataclass(frozen=True, slots=True)
class _References:
    """What a plan is held against, in seconds. ``alone``: the one device that is done first; None
    where each is too small. ``bound``: nothing is faster."""

    alone: float | None
    bound: float


@lru_cache(maxsize=8)
def _references(posed: _Posed) -> _References:
    """Found once for all planners of a problem: these come one after the other."""
    ((_, whole),) = compare(posed.problem, ["whole"])
    alone = whole.predicted if isinstance(whole, Outcome) else None
    return _References(alone, lower_bound(posed.problem))


@cache
def _graph(model: str, load: Loader) -> Graph:
    """Loaded once in each process; planners need no weights, only where they are and how large."""
    return weightless(load(model))


def _row(scenario: Scenario, outcome: Outcome | Refusal, references: _References) -> Row:
    cluster = scenario.cluster
    rate = None if cluster.links else cluster.default_link.bandwidth * 8 / 1e6
    given = Row(
        problem_id=scenario.problem_id,
        model=scenario.model,
        cluster=scenario.place,
        network=cluster.network,
        devices=len(cluster.workers),
        rate_mbit=rate,
        planner=scenario.planner,
        budget_s=scenario.budget,
    )
    if isinstance(outcome, Refusal):
        return replace(given, reason=outcome.reason)
    return replace(
        given,
        predicted_ms=outcome.predicted * 1e3,
        lower_bound_ms=references.bound * 1e3,
        speedup=None if references.alone is None else references.alone / outcome.predicted,
        bytes_moved=outcome.bytes_moved,
        redundant_flops_share=outcome.redundant,
        computing_share=outcome.computing,
        peak_memory_bytes=max(outcome.peaks.values(), default=0),
        plan_ms=outcome.planning * 1e3,
        stages=len(outcome.plan.stages),
        devices_used=len(outcome.plan.devices_used),
    )
