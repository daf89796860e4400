"""Instances of offloading, drawn by chance, and what planners make of them.

Used by `benchmarks.offloading`. Costs are nominal (from `gflops`), nothing is measured here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from itertools import product

import numpy as np

import swath
from swath.cluster import Cluster, Device, Link
from swath.cost import nominal_costs
from swath.errors import PlanError
from swath.graph.codec import weightless
from swath.graph.graph import Graph
from swath.plan.compile import compile_plan
from swath.plan.plan import Plan
from swath.planners import Problem, make_planner
from swath.planners.methods.offload.brute_force import soonest
from swath.planners.methods.offload.laying_out import plan_of
from swath.planners.methods.offload.psomw import swarmed
from swath.planners.methods.offload.setting import Setting
from swath.planners.methods.offload.ways import Ways
from swath.planners.objective import predicted_seconds

NFL = ("nfl-local", "nfl-remote", "nfl-bestcut")

SEED = 20_230_202
"""No test and no constant of the planners was looked at with it."""

ENUMERATED, LARGE = "enumerated", "large"

MODELS = ("alexnet", "vgg16", "resnet34", "mobilenet_v2", "tiny_yolov2")
DRAWN = 60
"""Enumerated instances of each model."""

PATHS = 4
LARGE_MODELS = ("vgg16", "resnet34", "mobilenet_v2")
LARGE_PATHS, LARGE_SERVERS, LARGE_DRAWN = (4, 8), (1, 2, 3), 6
"""Large instances: models, paths at most, servers, and how many are drawn of each of these."""

DEVICE_GFLOPS, FASTER, MBIT = (0.5, 10.0), (2.0, 50.0), (1.0, 200.0)
"""Least and most: of the device, of a server's speed over it, of an uplink. Logarithms are drawn
evenly."""

LATENCY = 1e-3
"""Seconds, of every link."""

LIMIT = 3_000_000
"""Cuts and orders that are enumerated at most."""


@dataclass(frozen=True)
class Instance:
    """``paths``: at most; ``gflops``: of the device; by server: how many times as fast it is
    (``faster``), and Mbit/s of its link (``mbit``), up and down."""

    kind: str
    number: int
    model: str
    paths: int
    gflops: float
    faster: tuple[float, ...]
    mbit: tuple[float, ...]

    @property
    def cluster(self) -> Cluster:
        servers = [f"server-{number}" for number in range(len(self.faster))]
        devices = (
            Device("device", self.gflops),
            *(
                Device(name, self.gflops * faster)
                for name, faster in zip(servers, self.faster, strict=True)
            ),
        )
        links = {}
        for name, mbit in zip(servers, self.mbit, strict=True):
            links["device", name] = links[name, "device"] = Link(mbit * 125e3, LATENCY)
        between = Link(max(self.mbit) * 125e3, LATENCY)
        return Cluster(devices, "device", default_link=between, links=links)


@dataclass(frozen=True)
class Found:
    """What planners make of an instance. ``said``: seconds of `psomw`'s way by the rules that it
    searches with; ``optimum``: of the best of all, None where it is beyond the limit; both None
    where that was not looked for; ``simulated``: seconds of plans on virtual time, by planner."""

    instance: Instance
    said: float | None
    optimum: float | None
    simulated: Mapping[str, float]

    @property
    def above(self) -> float | None:
        """Share by which the way takes longer than the best of all."""
        if self.said is None or self.optimum is None:
            return None
        return self.said / self.optimum - 1

    def times(self, planner: str) -> float:
        """How many times as long as `psomw`'s plan another one's takes."""
        return self.simulated[planner] / self.simulated["psomw"]


def instances() -> Iterator[Instance]:
    """All of them."""
    for model in MODELS:
        for number in range(DRAWN):
            yield _drawn(ENUMERATED, number, model, PATHS, 1)
    for model, paths, servers in product(LARGE_MODELS, LARGE_PATHS, LARGE_SERVERS):
        for number in range(LARGE_DRAWN):
            yield _drawn(LARGE, number, model, paths, servers)


def _drawn(kind: str, number: int, model: str, paths: int, servers: int) -> Instance:
    entropy = (SEED, kind == LARGE, MODELS.index(model), paths, servers, number)
    generator = np.random.default_rng([int(each) for each in entropy])

    def draw(least: float, most: float) -> float:
        return float(np.exp(generator.uniform(np.log(least), np.log(most))))

    return Instance(
        kind, number, model, paths, draw(*DEVICE_GFLOPS),
        tuple(draw(*FASTER) for _ in range(servers)), tuple(draw(*MBIT) for _ in range(servers)),
    )  # fmt: skip


def solved(instance: Instance) -> Found:
    """What `psomw`, `mw`, those that do not fuse and, for an enumerated one, brute force find."""
    problem = Problem(_graph(instance.model), nominal_costs(instance.cluster))
    names = [device.name for device in instance.cluster.workers]
    setting = Setting(problem, instance.paths, names)
    ways: dict[str, Ways] = {}
    said = optimum = None
    if instance.kind == ENUMERATED:
        seconds, found = swarmed(setting, 0)
        said, ways["psomw"] = float(seconds[0]), found.take([0])
        with suppress(PlanError):  # Beyond the limit, which the page counts.
            optimum, ways["offload-brute-force"] = soonest(setting, LIMIT)
    plans = {
        name: plan_of(name, problem, setting.layouts, setting.blocks, setting.parties.names, way)
        for name, way in ways.items()
    }
    for name in {"psomw", "mw"} - plans.keys():
        plans[name] = make_planner(name, paths=instance.paths).plan(problem)
    plans |= {name: make_planner(name).plan(problem) for name in NFL}
    simulated = {name: _simulated(plan, problem) for name, plan in plans.items()}
    return Found(instance, said, optimum, simulated)


def _simulated(plan: Plan, problem: Problem) -> float:
    return predicted_seconds(plan, compile_plan(plan), problem.costs)


@lru_cache(maxsize=1)
def _graph(model: str) -> Graph:
    return weightless(swath.load(f"zoo:{model}"))
