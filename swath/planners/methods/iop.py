"""IOP: pairs of operators, output channels of one and input channels of the next.

Interleaved Operator Partitioning (arXiv 2409.07693, 2024; journal version 2025).

From the abstract and what successors tell: the first operator of a pair is split by output
channels, the second by input channels, so that what a device makes is just what it reads next and
nothing is put together in between; after the pair the partial sums are added up (an all-reduce);
adjacent operators are paired from the first one on, where that saves time. Reconstructed: operators
are convolutions and fully connected layers; what treats every channel by itself (activations,
pools, depthwise convolutions, flattening, the addition of a shortcut) goes with the operator before
it; shares are in proportion to speed; a pair has to be predicted sooner than the same two operators
one by one, each split by output channels or on one device (the source or the fastest), whichever is
sooner; the sum is made in shares of its channels, on one device, or by everybody who reads it,
whichever is sooner. Where a device has too little memory, nothing stays on one device; where that
is not enough, the tightest devices are left out.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import pairwise

from swath.cost import Costs
from swath.errors import PlanError
from swath.graph.geometry import handed_on, tile_geometry
from swath.graph.graph import Graph
from swath.graph.reductions import ReductionSplit, reducible_axes, split_reductions
from swath.ops import Region, split_by_shares
from swath.plan.compile import compile_plan
from swath.plan.plan import Plan
from swath.plan.validate import validate_memory
from swath.planners.building.assembling import assemble
from swath.planners.building.fitting import fitting
from swath.planners.building.fusing import Segment, candidate_cuts
from swath.planners.building.gathering import aggregator
from swath.planners.building.layouts import Layouts, Split
from swath.planners.building.survey import must_be_whole
from swath.planners.building.weighing import slowdown
from swath.planners.methods.whole import Whole
from swath.planners.registry import Problem

OPERATORS = ("Conv", "Gemm", "MatMul")
CHANNELS = 1
"""The axis of channels, or features, of what lies between the two of a pair."""

Names = tuple[str, ...]


class Iop:
    """No options."""

    def plan(self, problem: Problem) -> Plan:
        if must_be_whole(problem.graph, problem.costs):
            return replace(Whole().plan(problem), planner="iop")

        def among(names: Sequence[str]) -> Plan:
            shared = Split("channels", tuple(names), tuple(map(problem.costs.sustained, names)))
            alone = dict.fromkeys([aggregator(problem, names), shared.fastest])
            plan = _interleaved(problem, shared, [shared, *map(Split.alone, alone)])
            try:
                validate_memory(plan, compile_plan(plan))
            except PlanError:
                return _interleaved(problem, shared, [shared])
            return plan

        return fitting(problem, among)


def _interleaved(problem: Problem, shared: Split, splits: Sequence[Split]) -> Plan:
    """Pairs among the devices of ``shared``; what is not paired is split in one of ``splits``."""
    graph, costs = problem.graph, problem.costs
    runs = list(_runs(graph))
    reductions: list[ReductionSplit] = []
    weigher = _Weigher(graph, costs)
    way = _Way()
    at = 0
    while at < len(runs):
        first, second = runs[at], runs[at + 1] if at + 1 < len(runs) else range(0)
        single = weigher.continued(way, _names(graph, first), splits)
        reduction = _between(graph, first, second, shared)
        if reduction is not None:
            trial = _Weigher(split_reductions(graph, [*reductions, reduction]), costs)
            pair = trial.paired(way, _names(graph, first), _names(graph, second), reduction, shared)
            apart = weigher.continued(single, _names(graph, second), splits)
            if trial.summed(pair, splits).seconds < apart.seconds:
                weigher, way = trial, pair
                reductions.append(reduction)
                at += 2
                continue
        way = single
        at += 1
    way = weigher.summed(way, splits)
    index = weigher.graph.index
    segments = [
        Segment(index[names[0]], index[names[-1]] + 1, split) for names, split in way.stages
    ]
    return assemble("iop", problem, Layouts(weigher.graph), segments, reductions)


# What can be a pair


def _names(graph: Graph, positions: range) -> Names:
    return tuple(graph.nodes[position].name for position in positions)


def _runs(graph: Graph) -> Iterator[range]:
    """Positions of an operator and of what follows it and treats each of its channels by itself."""
    begun = 0
    for start, stop in pairwise(candidate_cuts(graph)):
        follows = any(graph.producers.get(name, -1) >= begun for name in graph.nodes[start].reads)
        if start and not (
            follows and all(_keeps_channels(graph, position) for position in range(start, stop))
        ):
            yield range(begun, start)
            begun = start
    yield range(begun, len(graph.nodes))


def _keeps_channels(graph: Graph, position: int) -> bool:
    """Whether an operator makes each channel (or some features) of just one channel, in order: by
    the last one."""
    node, op = graph.nodes[position], graph.operators[position]
    made = op.outputs[0]
    if made is None or made.shape is None or len(made.shape) <= CHANNELS or not all(made.shape):
        return False
    extent = made.shape[CHANNELS]
    read = {
        place: graph.tensors[name].shape
        for place, name in enumerate(node.reads)
        if name and name not in graph.constants
    }
    for place, shape in read.items():
        if shape is None or len(shape) <= CHANNELS or extent % shape[CHANNELS]:
            return False
        last = (extent - extent // shape[CHANNELS], extent)
        asked = (made.whole.replace(CHANNELS, last), *(None for _ in op.outputs[1:]))
        region = graph.rules[position].demand(op, asked).inputs[place]
        if region is None or region[CHANNELS] != (shape[CHANNELS] - 1, shape[CHANNELS]):
            return False
    return True


def _between(graph: Graph, first: range, second: range, shared: Split) -> ReductionSplit | None:
    """How the second of two operators is cut where they make a pair; None: they make none."""
    if not first or not second:
        return None
    one, two = graph.nodes[first.start], graph.nodes[second.start]
    data = two.inputs[0] if two.inputs else ""
    if (
        one.type not in OPERATORS
        or two.type not in OPERATORS
        or graph.producers.get(data, -1) not in first
        or CHANNELS not in reducible_axes(graph, second.start)
    ):
        return None
    shapes = [graph.tensors[name].shape for name in (one.outputs[0], data)]
    if any(shape is None or len(shape) <= CHANNELS for shape in shapes):
        return None
    channels, entries = (shape[CHANNELS] for shape in shapes if shape is not None)
    counts = _counts(channels, shared)
    if entries % channels or len([count for count in counts if count]) < 2:
        return None
    bounds = [0]
    for count in counts:
        if count:
            bounds.append(bounds[-1] + count * entries // channels)
    return ReductionSplit(two.name, CHANNELS, tuple(bounds))


def _counts(channels: int, shared: Split) -> tuple[int, ...]:
    return tuple(hi - lo for lo, hi in split_by_shares(channels, shared.weights))


# What it takes


@dataclass(frozen=True, slots=True)
class _Way:
    """Stages so far (nodes, split), the seconds they take, and by tensor how its stage is split.

    ``waiting``: the nodes that make a pair's sum, which are in no stage yet.
    """

    seconds: float = 0.0
    stages: tuple[tuple[Names, Split], ...] = ()
    made_by: Mapping[str, Split] = field(default_factory=dict)
    waiting: Names = ()


class _Weigher:
    """Goes on with ways through a graph some of whose reductions are split."""

    def __init__(self, graph: Graph, costs: Costs) -> None:
        self.graph = graph
        self._costs = costs
        self._layouts = Layouts(graph)
        self._computed = lru_cache(maxsize=None)(self._compute)

    def continued(self, way: _Way, names: Names, splits: Sequence[Split]) -> _Way:
        """The soonest way to have these nodes too: in a stage of their own, or in one with the sum
        that waits, which everybody then makes as far as he needs it."""
        ways = [self._with_stage(way, (*way.waiting, *names), split) for split in splits]
        if way.waiting:
            after = self.summed(way, splits)
            ways += [self._with_stage(after, names, split) for split in splits]
        return min(ways, key=lambda way: way.seconds)

    def summed(self, way: _Way, splits: Sequence[Split]) -> _Way:
        """The soonest way to have the sum that waits in a stage of its own."""
        if not way.waiting:
            return way
        ways = [self._with_stage(way, way.waiting, split) for split in splits]
        return min(ways, key=lambda way: way.seconds)

    def paired(
        self, way: _Way, first: Names, second: Names, reduction: ReductionSplit, shared: Split
    ) -> _Way:
        """The way that goes on with a pair, whose sum waits."""
        operator = self.graph.nodes[self.graph.index[first[0]]]
        counts = _counts(self.graph.tensors[operator.outputs[0]].whole.shape[CHANNELS], shared)
        taking = [(name, float(n)) for name, n in zip(shared.devices, counts, strict=True) if n]
        devices, weights = zip(*taking, strict=True)
        stage = (*first, f"{reduction.node}/partial")
        pair = self.continued(way, stage, [Split("channels", devices, weights)])
        return replace(pair, waiting=(f"{reduction.node}/combine", *second[1:]))

    def _with_stage(self, way: _Way, names: Names, split: Split) -> _Way:
        if not names:
            return way
        made, seconds, needs = self._computed(names, split)
        stages, stage = way.stages, names
        if stages and stages[-1][1] == split and len(split.devices) == 1:
            # What stays on a device is one stage with what it has made before.
            stages, stage = stages[:-1], (*stages[-1][0], *names)
            seconds -= self._costs.overhead * slowdown(self._costs, split.fastest)
        return _Way(
            way.seconds + seconds + self._exchange(needs, way.made_by),
            (*stages, (stage, split)),
            {**way.made_by, **dict.fromkeys(made, split)},
        )

    def _compute(
        self, names: Names, split: Split
    ) -> tuple[Names, float, tuple[tuple[str, str, Region], ...]]:
        """(tensors that a stage hands on, seconds of its slowest device, what each device needs:
        device, tensor, region)."""
        graph, costs = self.graph, self._costs
        nodes = [graph.index[name] for name in names]
        made = handed_on(graph, nodes)
        slowest = 0.0
        needs = []
        for index, device in enumerate(split.devices):
            regions = {name: self._layouts.of(name, split)[index] for name in made}
            outputs = {name: region for name, region in regions.items() if region is not None}
            if outputs:
                geometry = tile_geometry(graph, nodes, outputs)
                seconds = costs.tile(device, graph, geometry) * slowdown(costs, device)
                slowest = max(slowest, seconds)
                needs += [(device, name, region) for name, region in geometry.needs.items()]
        return made, slowest, tuple(needs)

    def _exchange(
        self, needs: Sequence[tuple[str, str, Region]], made_by: Mapping[str, Split]
    ) -> float:
        """Seconds until every device has what it needs, when all fetch at the same time: the CPU
        time of the messages at both ends, one from each who has something, and the network's."""
        costs = self._costs
        moved: dict[tuple[str, str], int] = defaultdict(int)
        for device, name, region in needs:
            for sender, nbytes in self._lacking(device, name, region, made_by):
                moved[sender, device] += nbytes
        spent: dict[str, float] = defaultdict(float)
        travelling: dict[str, float] = defaultdict(float)
        latency = 0.0
        for (sender, device), nbytes in moved.items():
            spent[device] += costs.receiving(device).seconds(nbytes) * slowdown(costs, device)
            spent[sender] += costs.sending(sender).seconds(nbytes) * slowdown(costs, sender)
            path = costs.path(sender, device)
            travelling[device] += nbytes / path.bandwidth
            latency = max(latency, path.latency)
        if costs.cluster.network == "shared":
            return max(spent.values(), default=0.0) + sum(travelling.values()) + latency
        return latency + max((spent[name] + travelling[name] for name in tuple(spent)), default=0.0)

    def _lacking(
        self, device: str, name: str, region: Region, made_by: Mapping[str, Split]
    ) -> Iterator[tuple[str, int]]:
        """(who has it, bytes) of what a device lacks of a region."""
        itemsize = self.graph.tensors[name].itemsize
        split = made_by.get(name)
        if split is None:  # An input of the model.
            source = self._costs.cluster.source
            if device != source:
                yield source, region.size * itemsize
            return
        for sender, held in zip(split.devices, self._layouts.of(name, split), strict=True):
            common = None if held is None else region.intersect(held)
            if common is not None and sender != device:
                yield sender, common.size * itemsize
