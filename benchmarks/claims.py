"""Plans on described clusters held against each other, and against what a paper promises.

What `benchmarks.published` is made from: settings, simulated figures, and sentences that are
written from these by one rule.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from operator import attrgetter

import swath
from swath.cluster import Cluster, Device, Link
from swath.cost import Costs, nominal_costs
from swath.graph.codec import weightless
from swath.graph.graph import Graph
from swath.ops import Demand, whole_of
from swath.plan.plan import Plan
from swath.planners.bound import lower_bound
from swath.planners.comparing import Refusal, compare
from swath.planners.registry import Problem
from swath.simulate.script import tile_seconds

BOTH, FLOPS = COUNTINGS = ("FLOPs and bytes", "FLOPs alone")
"""How what a tile takes is counted."""

BUDGET = 120.0
"""Seconds that a planner has for one plan; none needs nearly as much."""


class FlopCosts(Costs):
    """As most papers count: a part takes its FLOPs over the device's speed."""

    def node(self, device: str, graph: Graph, position: int, demand: Demand) -> float:
        flops = graph.rules[position].flops(graph.operators[position], demand.outputs)
        return flops / self.speed(device)

    def least(self, device: str, graph: Graph, position: int, covered: float) -> float:
        op = graph.operators[position]
        return graph.rules[position].flops(op, whole_of(op)) / self.speed(device)


@dataclass(frozen=True, slots=True)
class Setting:
    """A model on a cluster. ``speeds``: GFLOP/s by device, the first of which is the source;
    ``mbit``: Mbit/s of every link, ``latency``: its seconds; ``counting``: one of `COUNTINGS`."""

    model: str
    speeds: tuple[float, ...]
    mbit: float
    latency: float
    counting: str = BOTH

    @property
    def devices(self) -> str:
        """Their speeds; one where all are equal."""
        are_equal = len(set(self.speeds)) == 1
        speeds = self.speeds[:1] if are_equal else self.speeds
        return " : ".join(format(speed, "g") for speed in speeds) + " GFLOP/s"

    @property
    def rate(self) -> str:
        return f"{self.mbit:g} Mbit/s" if self.mbit < 1e3 else f"{self.mbit / 1e3:g} Gbit/s"

    def __str__(self) -> str:
        count = len(self.speeds)
        return f"{self.model}, {count} devices, {self.devices}, {self.rate}, {self.counting}"


Job = tuple[Setting, str]
"""A setting, and the planner that is asked."""


@dataclass(frozen=True, slots=True)
class Cell:
    """What a plan takes. Seconds: of an inference as simulated; ``computing``: of each stage's
    slowest device, one stage after the other, without any message; ``bound``: no plan of any method
    is sooner. ``redundant``: FLOPs beyond the unsplit model's, as a share of those; ``moved``:
    bytes."""

    setting: Setting
    planner: str
    seconds: float
    computing: float
    bound: float
    redundant: float
    moved: int


Figures = Mapping[Job, Cell]


@cache
def graph_of(model: str) -> Graph:
    return weightless(swath.load(f"zoo:{model}"))


@cache
def problem_of(setting: Setting) -> Problem:
    devices = tuple(Device(f"d{n}", gflops=speed) for n, speed in enumerate(setting.speeds))
    link = Link(setting.mbit * 125e3, setting.latency)
    cluster = Cluster(devices, "d0", default_link=link)
    costs = FlopCosts(cluster, 0.0) if setting.counting == FLOPS else nominal_costs(cluster)
    return Problem(graph_of(setting.model), costs)


@cache
def bound_of(setting: Setting) -> float:
    return lower_bound(problem_of(setting))


def solved(setting: Setting, planner: str) -> Cell | Refusal:
    """A planner's plan, simulated."""
    problem = problem_of(setting)
    ((_, outcome),) = compare(problem, [planner], BUDGET)
    if isinstance(outcome, Refusal):
        return outcome
    seconds = outcome.predicted
    # Where neighbours exchange halos, a stage may begin before all are done with the last one.
    computing = min(seconds, computing_seconds(outcome.plan, problem.costs))
    bound, redundant, moved = bound_of(setting), outcome.redundant, outcome.bytes_moved
    return Cell(setting, planner, seconds, computing, bound, redundant, moved)


def computing_seconds(plan: Plan, costs: Costs) -> float:
    """The sum over stages of what their slowest devices compute."""
    spent: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for tile, seconds in zip(plan.tiles, tile_seconds(plan, costs), strict=True):
        spent[tile.stage][tile.device] += seconds
    return sum(max(by_device.values()) for by_device in spent.values())


@dataclass(frozen=True, slots=True)
class Claim:
    """A plan beside the one that it is held against. How many times as fast it is: as simulated
    (``times``), if it had only to compute (``tiles``), and the best of all plans at most
    (``most``)."""

    own: Cell
    over: Cell

    @property
    def times(self) -> float:
        return self.over.seconds / self.own.seconds

    @property
    def tiles(self) -> float:
        return self.over.seconds / self.own.computing

    @property
    def most(self) -> float:
        return self.over.seconds / self.own.bound


def claim(figures: Figures, own: Job, over: Job) -> Claim | None:
    """None where one of the two has no plan."""
    return Claim(figures[own], figures[over]) if own in figures and over in figures else None


def present(found: Iterable[Claim | None]) -> list[Claim]:
    return [each for each in found if each is not None]


Style = Callable[[float], str]
"""How many times as fast -> text."""


def as_times(times: float) -> str:
    return f"{times:.2f}×"


def as_saved(times: float) -> str:
    return f"{1 - 1 / times:.1%}"


def of_saved(share: float) -> float:
    """Times as fast, of a share of the time that is saved."""
    return 1 / (1 - share)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a headline is reached: a line of a summary, and a sentence."""

    what: str
    headline: str
    best: str
    reached: str
    sentence: str


def verdict(what: str, headline: float, found: Sequence[Claim], style: Style) -> Verdict:
    """By rule, from the claims of all settings. ``headline``: times as fast."""
    best = max(found, key=attrgetter("times"))
    reached = [each for each in found if each.times >= headline]
    share, goal = f"{len(reached)} of {len(found)}", f"{what}: {style(headline)}"
    if reached:
        least = min(reached, key=attrgetter("times"))
        sentence = (
            f"{goal} is **reached** in {share} settings, from {style(least.times)} "
            f"({least.own.setting}) to {style(best.times)} ({best.own.setting})."
        )
    else:
        causes = Counter(_cause(each, headline) for each in found).most_common()
        told = "; ".join(f"in {count} of {len(found)} settings {cause}" for cause, count in causes)
        sentence = (
            f"{goal} is **not reached**: {told}. The nearest is {style(best.times)} "
            f"({best.own.setting}; {best.own.redundant:.0%} of FLOPs are recomputed); without "
            f"messages it would be {style(best.tiles)}, and no plan of any method is better than "
            f"{style(best.most)} there."
        )
    return Verdict(what, style(headline), style(best.times), share, sentence)


def _cause(found: Claim, headline: float) -> str:
    if found.most < headline:
        return "no plan of any method could (lower bound)"
    if found.tiles < headline:
        return "its tiles alone take too long (halos, uneven rows, what one device does alone)"
    return "messages take what is missing"


def no_slower(found: Sequence[Claim]) -> str:
    """In how many settings one planner is no slower than another."""
    worst = min(found, key=attrgetter("times"))
    count = sum(each.times >= 1 for each in found)
    return (
        f"`{worst.own.planner}` is no slower than `{worst.over.planner}` in {count} of "
        f"{len(found)} settings; least: {as_times(worst.times)} ({worst.own.setting})."
    )


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    rule = ["---" if place == 0 else "---:" for place in range(len(heads))]
    return [f"| {' | '.join(row)} |" for row in (heads, rule, *rows)]


def grid(
    heads: Sequence[str], rows: Sequence[tuple[Sequence[str], Sequence[Claim | None]]], style: Style
) -> list[str]:
    """A table whose rows are labels, then claims; the best of all is bold."""
    best = max(each.times for _, found in rows for each in present(found))

    def entry(found: Claim | None) -> str:
        if found is None:
            return "–"
        return f"**{style(found.times)}**" if found.times == best else style(found.times)

    return table(heads, ([*labels, *map(entry, found)] for labels, found in rows))
