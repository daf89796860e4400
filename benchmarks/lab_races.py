"""Plans that race in the lab: the scenarios of `benchmarks.lab_plans`, and how races are done."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import onnx
from onnx.utils import Extractor

import swath
from benchmarks.prediction import described
from swath import zoo
from swath.errors import SwathError
from swath.plan.compile import compile_plan
from swath.plan.plan import Plan
from swath.planners import Problem, known_planners
from swath.planners.comparing import Outcome, compare
from swath.runtime.lab.cluster import Figure, LabCluster
from swath.runtime.profiling.effort import FULL

CLUSTERS = {
    "2x0.25": (0.25,) * 2,
    "4x0.25": (0.25,) * 4,
    "0.1:0.2:0.3:0.4": (0.1, 0.2, 0.3, 0.4),
    "8x0.15": (0.15,) * 8,
}
"""Cores of the devices, by the name of the cluster. The last device is the source."""

RATES = (100, 1000)
"""Mbit/s of every link."""

FIRST_LAYERS = "yolov2, first 16 layers"

Scenario = tuple[str, int, str]
"""A cluster, the rate of its links, a model."""

SPEEDUPS: Mapping[Scenario, tuple[float, float]] = {
    ("2x0.25", 1000, "vgg16"): (1.85, 1.97),
    ("4x0.25", 1000, "vgg16"): (3.3, 3.8),
    ("8x0.15", 1000, "vgg16"): (5.5, 7.2),
    ("2x0.25", 100, "vgg16"): (1.7, 1.85),
    ("4x0.25", 100, "vgg16"): (2.9, 3.4),
    ("8x0.15", 100, "vgg16"): (4.0, 6.0),
    ("4x0.25", 1000, FIRST_LAYERS): (3.3, 3.8),
}
"""(what must be reached, what is striven for)."""

SCENARIOS: Mapping[str, Sequence[Scenario]] = {
    "against": tuple(
        itertools.product(
            ("4x0.25", "0.1:0.2:0.3:0.4", "8x0.15"), RATES, ("vgg16", "resnet34", "googlenet")
        )
    ),
    "speedup": tuple(SPEEDUPS),
}

OTHERS = 3
"""Plans of other planners that are measured: those predicted to be the best."""

ALWAYS = ("dpfp", "modnn")
"""Planners whose plans are measured besides."""

ROUNDS, FIGURES = 5, 7
"""Figures of each plan against others; of a split model and of plain ONNX Runtime."""


@dataclass(frozen=True)
class Timed:
    """A plan in the lab: the planners whose plan it is, what is predicted, a figure for each
    round; milliseconds."""

    planners: Sequence[str]
    devices: int
    stages: int
    predicted: float
    figures: Sequence[float]

    @property
    def measured(self) -> float:
        return statistics.median(self.figures)


@dataclass(frozen=True)
class Race:
    """Plans for one scenario, measured in turn, first that of the planner which all others are held
    against. ``predicted``: milliseconds for every planner that has a plan."""

    scenario: Scenario
    plans: Sequence[Timed]
    predicted: Mapping[str, float]

    def of(self, planner: str) -> Timed:
        return next(timed for timed in self.plans if planner in timed.planners)

    def ratio(self, planner: str, other: str) -> float:
        """Time by one planner as a share of that by another: the median over rounds, within which
        both have met the same machine."""
        pairs = zip(self.of(planner).figures, self.of(other).figures, strict=True)
        return statistics.median(one / two for one, two in pairs)

    @property
    def first(self) -> str:
        """The planner that all others are held against."""
        return self.plans[0].planners[0]

    @property
    def best_other(self) -> str:
        """The planner beside which the first does worst. With the same plan it is as fast."""
        others = [name for timed in self.plans for name in timed.planners if name != self.first]
        return max(others, key=lambda name: self.ratio(self.first, name))

    @property
    def share(self) -> float:
        """Time by the first planner as a share of that by the best other one."""
        return self.ratio(self.first, self.best_other)


def race_of(raw: Mapping[str, Any]) -> Race:
    """What ``asdict`` made of one."""
    plans = [Timed(**plan) for plan in raw["plans"]]
    return Race(tuple(raw["scenario"]), plans, raw["predicted"])


@dataclass(frozen=True)
class Gain:
    """`auto` and plain ONNX Runtime on one device, in turn; milliseconds. ``off``: the outputs'
    largest difference, relative to the largest of them."""

    scenario: Scenario
    devices: int
    stages: int
    split: Sequence[float]
    single: Sequence[float]
    speedup: float
    predicted: float
    off: float


def each_in_its_lab(
    clusters: Mapping[str, Sequence[float]],
    wanted: Iterable[Scenario],
    do: Callable[[LabCluster, Scenario], None],
) -> None:
    """Do something with every scenario, lab after lab; ``clusters``: cores of the devices, by name.
    A lab that cannot be is told, and left out."""
    by_lab: dict[tuple[str, int], list[Scenario]] = {}
    for scenario in wanted:
        by_lab.setdefault(scenario[:2], []).append(scenario)
    for (cluster, rate), scenarios in by_lab.items():
        print(f"# {cluster} at {rate} Mbit/s", flush=True)
        try:
            with LabCluster(described(clusters[cluster], rate), effort=FULL) as lab:
                _ = lab.costs  # Finding out what is known deploys other networks.
                with lab.in_force():
                    lab.check()
                for scenario in scenarios:
                    do(lab, scenario)
        except SwathError as error:
            print(f"{cluster} at {rate} Mbit/s: {error}", flush=True)


def load(model: str) -> swath.Graph:
    return swath.load(_first_layers() if model == FIRST_LAYERS else f"zoo:{model}")


def _first_layers() -> onnx.ModelProto:
    """YOLOv2 without what follows its first 12 convolutions and 4 pools, those that DeepThings
    fuses."""
    model = zoo.build("yolov2", 608, 608)
    layer = next(node for node in model.graph.node if "models.16.conv13.weight" in node.input)
    return Extractor(model).extract_model(["input"], [layer.input[0]])


def candidates(problem: Problem) -> tuple[dict[tuple[str, ...], Outcome], dict[str, float]]:
    """(what is to be measured, by the planners whose plan it is, that of `auto` first; milliseconds
    predicted for every planner that has a plan)."""
    made = {
        name: outcome
        for name, outcome in compare(problem, [info.name for info in known_planners()])
        if isinstance(outcome, Outcome)
    }
    ranked = sorted(made, key=lambda name: (name != "auto", made[name].predicted))
    chosen = {
        names: made[names[0]]
        for place, names in enumerate(alike({name: made[name].plan for name in ranked}))
        if place <= OTHERS or set(ALWAYS) & set(names)
    }
    return chosen, {name: 1e3 * made[name].predicted for name in ranked}


def alike(plans: Mapping[str, Plan]) -> list[tuple[str, ...]]:
    """Planners whose plans devices carry out alike, together; in the order given."""
    same: dict[str, list[str]] = {}
    for name, plan in plans.items():
        same.setdefault(identity(plan), []).append(name)
    return [tuple(names) for names in same.values()]


def identity(plan: Plan) -> str:
    """The same for plans that devices carry out alike, whatever their stages are called."""
    called = {stage.name: str(place) for place, stage in enumerate(plan.stages)}
    stages = tuple(replace(stage, name=called[stage.name]) for stage in plan.stages)
    tiles = tuple(replace(tile, stage=called[tile.stage]) for tile in plan.tiles)
    return compile_plan(replace(plan, stages=stages, tiles=tiles)).version


def taken_in_turn(
    lab: LabCluster, graph: swath.Graph, plans: Mapping[tuple[str, ...], Plan]
) -> dict[tuple[str, ...], list[Figure]]:
    """Figures of each plan, one a round, by its planners. Every second round goes backwards, so
    that a machine that becomes slower favours nobody."""
    inputs = swath.random_inputs(graph)
    figures: dict[tuple[str, ...], list[Figure]] = {names: [] for names in plans}
    for number in range(ROUNDS):
        for names in list(plans)[:: 1 if number % 2 == 0 else -1]:
            lab.deploy(graph, plans[names], inputs)
            with lab.in_force():
                figures[names].append(lab.figure())
        print(f"  round {number + 1} of {ROUNDS}:",
              ", ".join(f"{names[0]} {1e3 * taken[-1].seconds:.1f} ms"
                        for names, taken in figures.items()), flush=True)  # fmt: skip
    return figures


def race(lab: LabCluster, scenario: Scenario) -> Race:
    """What `auto` and others plan."""
    graph = load(scenario[-1])
    chosen, predicted = candidates(Problem(graph, lab.costs))
    print(f"  {len(predicted)} planners have a plan; measured:",
          ", ".join("=".join(names) for names in chosen), flush=True)  # fmt: skip
    figures = taken_in_turn(lab, graph, {names: chosen[names].plan for names in chosen})
    plans = [
        Timed(names, len(outcome.plan.devices_used), len(outcome.plan.stages),
              1e3 * outcome.predicted, [1e3 * figure.seconds for figure in figures[names]])
        for names, outcome in chosen.items()
    ]  # fmt: skip
    done = Race(scenario, plans, predicted)
    print(f"  auto takes {done.share:.3f} of the time by {done.best_other}", flush=True)
    return done


def gain(lab: LabCluster, scenario: Scenario) -> Gain:
    graph = load(scenario[-1])
    plan = lab.plan(graph, "auto")
    lab.deploy(graph, plan, swath.random_inputs(graph))
    with lab.in_force():
        measured = lab.measure(FIGURES)
    report = lab.report(plan, measured)
    assert report.speedup and report.predicted and report.single
    assert report.max_rel_diff is not None
    print(f"  speed-up {report.speedup:.2f}: {report.latency.median:.1f} ms, predicted "
          f"{report.predicted:.1f} ms, one device {report.single.median:.1f} ms",
          flush=True)  # fmt: skip
    split, single = ([1e3 * taken for taken in part] for part in (measured.split, measured.single))
    return Gain(scenario, len(plan.devices_used), len(plan.stages), split, single, report.speedup,
                report.predicted, report.max_rel_diff)  # fmt: skip
