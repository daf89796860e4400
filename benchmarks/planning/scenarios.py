"""The grid on which planners are compared.

Every level of each factor (model, number of devices, speeds, network, rate, camera, memory) comes
as often as its place in the lists below says; which levels meet is drawn, always in the same way.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import swath
from swath.cluster import Cluster, Device, Link, local_cluster
from swath.cluster.cluster import Network
from swath.cost import nominal_costs
from swath.graph.codec import weightless
from swath.planners import Problem, known_planners
from swath.planners.comparing import Outcome, compare
from swath.planners.sweep.sweeping import Scenario, scenarios

SEED = 4

MODELS: Mapping[str, int] = {
    "alexnet": 24, "vgg11": 20, "vgg16": 24, "vgg16@112x112": 32, "resnet18": 24,
    "resnet18@112x112": 24, "resnet34": 16, "resnet34@112x112": 16, "squeezenet": 16,
    "squeezenet@112x112": 16, "mobilenet_v1": 24, "mobilenet_v2": 12, "mobilenet_v3_small": 8,
    "googlenet": 12, "tiny_yolov2": 24, "yolov2@416x416": 6, "unet@128x128": 6, "dncnn": 6,
    "resnet50": 4, "efficientnet_b0": 3, "densenet121": 3,
}  # fmt: skip
"""How many scenarios each model has; those that all planners take long for have few."""

SIZES = (1, 2, 2, 3, 3, 4, 4, 4, 5, 6, 6, 8, 8, 8, 8, 10, 12, 12, 16, 16)
"""Computing devices."""

SPEEDS = ("equal", "uneven", "mixed")
"""All the same; each another, up to ten times as fast; slow and fast ones."""

NETWORKS = ("switch", "switch", "shared", "star")
LATENCIES = {10: 2e-3, 30: 1e-3, 100: 1e-3, 300: 5e-4, 1000: 3e-4, 10_000: 1e-4}
"""Seconds, by Mbit/s of the links."""

CAMERA = (True, False, False, False, False, False)
"""Whether the source is a further device, which computes nothing."""

TIGHT = (True, False, False, False, False)
"""Whether no device alone has memory enough for the model."""

EQUAL_GFLOPS, UNEVEN_GFLOPS, SLOW_GFLOPS, FAST_GFLOPS = (2.0, 12.0), (1.5, 15.0), 2.5, 10.0
MEMORY = (0.65, 0.95)
"""Of what the model takes on one device."""

OFFLOADING = {"psomw", "mw", "nfl-local", "nfl-remote", "nfl-bestcut", "offload-brute-force"}
"""Planners for one device and its servers, which are compared elsewhere."""

BUDGET = 60.0
"""Seconds for each planner."""


@dataclass(frozen=True, slots=True)
class Setting:
    """A scenario before its cluster is made; ``rate`` in Mbit/s."""

    number: int
    model: str
    size: int
    speeds: str
    network: Network
    rate: int
    has_camera: bool
    is_tight: bool

    @property
    def place(self) -> str:
        """What a person calls the cluster: ``017 8 uneven camera tight``."""
        camera, tight = " camera" * self.has_camera, " tight" * self.is_tight
        return f"{self.number:03} {self.size} {self.speeds}{camera}{tight}"


def settings() -> list[Setting]:
    """All of the grid, model by model."""
    drawn = random.Random(SEED)
    models = [model for model, count in MODELS.items() for _ in range(count)]
    decks = []
    for levels in (SIZES, SPEEDS, NETWORKS, tuple(LATENCIES), CAMERA, TIGHT):
        deck = [levels[place % len(levels)] for place in range(len(models))]
        drawn.shuffle(deck)
        decks.append(deck)
    return [
        # One device that is too small is no scenario.
        Setting(number, model, size, speeds, network, rate, has_camera, is_tight and size > 1)
        for number, (model, size, speeds, network, rate, has_camera, is_tight) in enumerate(
            zip(models, *decks, strict=True), 1
        )
    ]


def cluster_of(setting: Setting) -> Cluster:
    drawn = random.Random(f"{SEED} {setting.number}")
    devices = tuple(
        Device(f"device-{place}", gflops=gflops, memory=_memory(setting, drawn))
        for place, gflops in enumerate(_gflops(setting, drawn))
    )
    hub = devices[0].name if setting.network == "star" else None
    if setting.has_camera:
        devices = (Device("camera", compute=False), *devices)
    link = Link(setting.rate * 1e6 / 8, LATENCIES[setting.rate])
    return Cluster(devices, devices[0].name, setting.network, link, hub=hub)


def _gflops(setting: Setting, drawn: random.Random) -> list[float]:
    if setting.speeds == "equal":
        return [round(drawn.uniform(*EQUAL_GFLOPS), 1)] * setting.size
    if setting.speeds == "uneven":
        low, high = map(math.log, UNEVEN_GFLOPS)
        return [round(math.exp(drawn.uniform(low, high)), 1) for _ in range(setting.size)]
    kinds = (SLOW_GFLOPS, FAST_GFLOPS)
    further = (drawn.choice(kinds) for _ in range(setting.size - 2))
    speeds = [*kinds, *further] if setting.size > 1 else [drawn.choice(kinds)]
    drawn.shuffle(speeds)
    return speeds


def _memory(setting: Setting, drawn: random.Random) -> int | None:
    return int(drawn.uniform(*MEMORY) * _bytes_alone(setting.model)) if setting.is_tight else None


@cache
def _bytes_alone(model: str) -> int:
    """What the model takes on one device."""
    problem = Problem(graph_of(f"zoo:{model}"), nominal_costs(local_cluster(["alone"])))
    ((_, found),) = compare(problem, ["whole"])
    assert isinstance(found, Outcome)
    return max(found.peaks.values())


@cache
def graph_of(model: str) -> swath.Graph:
    return weightless(swath.load(model))


def planners() -> list[str]:
    """All that plan for latency and split layers among devices, ours first."""
    names = [info.name for info in known_planners() if "latency" in info.objectives]
    return sorted(set(names) - OFFLOADING, key=lambda name: (name != "auto", names.index(name)))


def scenarios_of(setting: Setting) -> list[Scenario]:
    """One setting under all planners."""
    place = (setting.place, cluster_of(setting))
    return scenarios([f"zoo:{setting.model}"], [place], planners(), BUDGET)
