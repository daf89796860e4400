"""Brute force: the referee of small instances.

The optimum by the simulator among all plans of this space:

- the graph is cut anywhere `candidate_cuts` allows, into any number of stages;
- the devices stand in one order for the whole plan (all orders are tried), which is that of their
  parts on the maps;
- every stage is computed by one device, any of them, or is split by one of ``modes`` (rows,
  columns, channels) among any of the devices that are at least two, in shares that are whole
  multiples of one ``steps``-th of the map, rounded to entries by largest remainder; what cannot be
  cut that way is cut along another axis, or made by who has the largest share, as `Layouts` has it;
- what devices lack they get from their peers, or everything goes through the primary device
  (`primary`), throughout the plan;
- devices compute stage by stage; reductions are not split, and where a model draws random numbers
  no stage is; plans that a device's memory does not hold are none.

Outside of it, and so perhaps better: finer shares, grids, splits over input channels, several tiles
of one stage on one device, tiles in another order, leaders of single stages. Where the objective is
latency, a plan is not simulated if its tiles, each after those that it reads from and after the
messages between them, already take longer than the best plan does: that cannot change the result.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import combinations, pairwise, permutations
from math import comb, factorial, inf

from swath.errors import PlanError
from swath.graph.geometry import handed_on, tile_geometry
from swath.ops import Region
from swath.plan.compile import compile_plan
from swath.plan.memory import peak_memory
from swath.plan.plan import Plan
from swath.plan.program import Programs
from swath.plan.validate import validate_memory
from swath.planners.building.assembling import assemble
from swath.planners.building.fusing import Segment, candidate_cuts
from swath.planners.building.layouts import MODES, Layouts, Mode, Split
from swath.planners.building.survey import must_be_whole, primary
from swath.planners.objective import check_deadline, predicted_seconds, score
from swath.planners.registry import Problem

ROUNDING = 1e-9
"""Relative; two sums of the same seconds differ by less."""


class BruteForce:
    """Options: ``steps``: parts of a map that shares are multiples of; ``modes``: how stages may be
    split; ``limit``: plans above which it refuses."""

    def __init__(
        self, steps: int = 4, modes: str = "rows,cols,channels", limit: int = 20_000
    ) -> None:
        for name, value in (("steps", steps), ("limit", limit)):
            if not isinstance(value, int) or value < 1:
                raise PlanError(f"{name} {value!r} is not understood; it is a number from 1 on")
        known = {mode for mode in MODES if mode in str(modes).split(",")}
        if not known or len(known) != len(str(modes).split(",")):
            raise PlanError(f"modes {modes!r} is not understood; list some of {','.join(MODES)}")
        self.steps = steps
        self.modes: tuple[Mode, ...] = tuple(mode for mode in MODES if mode in known)
        self.limit = limit

    def count(self, problem: Problem) -> int:
        """How many plans there are to try, those counted again that are the same under several
        orders of the devices or in several modes."""
        devices = len(problem.costs.cluster.workers)
        further = len(candidate_cuts(problem.graph)) - 2
        ways, repeated = devices, 1
        if not must_be_whole(problem.graph, problem.costs):
            ways += len(self.modes) * sum(
                comb(devices, taking) * comb(self.steps - 1, taking - 1)
                for taking in range(2, devices + 1)
            )
            repeated = 2 * factorial(devices)
        count: int = repeated * ways * (ways + 1) ** further
        return count

    def plan(self, problem: Problem) -> Plan:
        count = self.count(problem)
        if count > self.limit:
            shown = f"{count:,}" if count < 10**15 else f"about 10^{len(str(count)) - 1}"
            raise PlanError(
                f"brute-force would have to try {shown} plans, more than its limit of "
                f"{self.limit:,}; take a smaller model, fewer devices or steps, or raise the limit"
            )
        best = _best(problem, _Space(problem, self.steps, self.modes))
        if best is None:
            soonest = self.plan(replace(problem, objective="latency", deadline=None))
            check_deadline(
                problem, predicted_seconds(soonest, compile_plan(soonest), problem.costs)
            )
        assert best is not None
        return best


def _best(problem: Problem, space: _Space) -> Plan | None:
    """The best plan; None where there are some, but each misses the deadline. Raises PlanError
    where memory holds none."""
    best: tuple[float, Plan | None] = inf, None
    closest: tuple[float, Plan] | None = None
    is_held = False
    for least, segments, leader in sorted(space.plans(), key=lambda found: found[0]):
        if problem.objective == "latency" and least * (1 - ROUNDING) > best[0]:
            break
        plan = assemble("brute-force", problem, space.layouts, segments, leader=leader)
        programs = compile_plan(plan)
        missing = _missing_memory(plan, programs)
        if missing > 0:
            if closest is None or missing < closest[0]:
                closest = missing, plan
            continue
        is_held = True
        found = score(problem, plan, programs)
        if found < best[0]:
            best = found, plan
    if not is_held and closest is not None:
        validate_memory(closest[1], compile_plan(closest[1]))
    return best[1]


def _missing_memory(plan: Plan, programs: Programs) -> int:
    """Bytes that the tightest device lacks; 0 where none does."""
    memory = {d.name: d.memory for d in plan.devices if d.memory is not None}
    peaks = peak_memory(programs) if memory else {}
    return max(0, 0, *(peaks.get(name, 0) - has for name, has in memory.items()))


@dataclass(frozen=True, slots=True)
class _Tile:
    """What a device does of a stage: seconds of its CPU, what it reads and what it makes."""

    device: str
    seconds: float
    needs: tuple[tuple[str, Region], ...]
    outputs: tuple[tuple[str, Region], ...]


@dataclass(frozen=True, slots=True)
class _Stage:
    """``number``: of its tiles; two of one number are the same."""

    segment: Segment
    tiles: tuple[_Tile, ...]
    number: int


_Message = tuple[int, str, str]
"""(number of the tile whose results it carries, -1: the model's inputs; sender, receiver)."""


@dataclass(frozen=True, slots=True)
class _Begun:
    """The first stages of a plan, and how far its devices can be with them at the soonest.

    ``used``: seconds that a device's CPU has worked; ``free``: when its last tile is done and what
    it made is sent. ``last``: number of that tile. ``made``: by tensor (number of the tile that
    makes it, device, region, when). ``sent``: messages so far.
    """

    stages: tuple[_Stage, ...]
    used: Mapping[str, float]
    free: Mapping[str, float] = field(default_factory=dict)
    last: Mapping[str, int] = field(default_factory=dict)
    made: Mapping[str, tuple[tuple[int, str, Region, float], ...]] = field(default_factory=dict)
    sent: frozenset[_Message] = frozenset()


class _Space:
    def __init__(self, problem: Problem, steps: int, modes: tuple[Mode, ...]) -> None:
        self.layouts = Layouts(problem.graph)
        self._graph = problem.graph
        self._costs = problem.costs
        self._steps = steps
        self._modes = modes
        self._is_shared = not must_be_whole(problem.graph, problem.costs)
        self._cuts = candidate_cuts(problem.graph)
        self._numbers: dict[tuple[int, tuple[_Tile, ...]], int] = {}
        self._stages = lru_cache(maxsize=None)(self._make_stages)
        self._moved = lru_cache(maxsize=None)(self._moving)
        cluster = problem.costs.cluster
        self._is_steady = not any(
            link.burst or link.channel for link in (cluster.default_link, *cluster.links.values())
        )

    def plans(self) -> Iterator[tuple[float, tuple[Segment, ...], str | None]]:
        """(seconds that it takes at least, stages, leader) of every plan, each once."""
        names = [device.name for device in self._costs.cluster.workers]
        source = self._costs.cluster.source
        nothing = _Begun((), {source: self._costs.request(source) / 2})
        leaders = (None, primary(self._costs)) if self._is_shared else (None,)
        seen = set()
        for order in permutations(names):
            for leader in leaders:
                for plan in self._continued(order, leader, 0, nothing):
                    key = leader, tuple(stage.number for stage in plan.stages)
                    is_exchanging = len(plan.free) > 1
                    if key not in seen and (is_exchanging or leader is None):
                        seen.add(key)
                        segments = tuple(stage.segment for stage in plan.stages)
                        yield self._least(plan), segments, leader
            if not self._is_shared:
                return  # Orders are of parts.

    def _continued(
        self, order: tuple[str, ...], leader: str | None, at: int, begun: _Begun
    ) -> Iterator[_Begun]:
        """All plans that begin so, up to cut number ``at``."""
        if at == len(self._cuts) - 1:
            yield begun
            return
        for end in range(at + 1, len(self._cuts)):
            for stage in self._stages(order, self._cuts[at], self._cuts[end]):
                longer = self._with_stage(begun, stage, leader)
                yield from self._continued(order, leader, end, longer)

    def _make_stages(self, order: tuple[str, ...], start: int, stop: int) -> tuple[_Stage, ...]:
        """All ways to compute these nodes, each once."""
        found: dict[int, _Stage] = {}
        for split in self._splits(order):
            segment = Segment(start, stop, split)
            tiles = self._tiles(segment)
            number = self._numbers.setdefault((start, tiles), len(self._numbers))
            found.setdefault(number, _Stage(segment, tiles, number))
        return tuple(found.values())

    def _splits(self, order: tuple[str, ...]) -> Iterator[Split]:
        yield from map(Split.alone, order)
        if self._is_shared:
            for taking in range(2, len(order) + 1):
                for devices in combinations(order, taking):
                    for weights in _shares(self._steps, taking):
                        for mode in self._modes:
                            yield Split(mode, devices, weights)

    def _tiles(self, segment: Segment) -> tuple[_Tile, ...]:
        graph, split = self._graph, segment.split
        nodes = range(segment.start, segment.stop)
        regions = {name: self.layouts.of(name, split) for name in handed_on(graph, nodes)}
        tiles = []
        for index, device in enumerate(split.devices):
            of_device = {name: by_device[index] for name, by_device in regions.items()}
            outputs = {name: region for name, region in of_device.items() if region is not None}
            if outputs:
                geometry = tile_geometry(graph, nodes, outputs)
                seconds = self._costs.tile(device, graph, geometry)
                needs = tuple(geometry.needs.items())
                tiles.append(_Tile(device, seconds, needs, tuple(outputs.items())))
        return tuple(tiles)

    # How soon a plan can be done

    def _with_stage(self, begun: _Begun, stage: _Stage, leader: str | None) -> _Begun:
        used, free, last = dict(begun.used), dict(begun.free), dict(begun.last)
        made, sent = dict(begun.made), set(begun.sent)
        tiles = sum(len(stage.tiles) for stage in begun.stages)
        there = []
        for tile in stage.tiles:
            soonest = 0.0
            for name, region in tile.needs:
                for number, at, hops in self._ways(begun, tile.device, name, region, leader):
                    for sender, receiver, nbytes in hops:
                        at += self._moved(sender, receiver, nbytes)
                        if (number, sender, receiver) not in sent:
                            sent.add((number, sender, receiver))
                            sending, receiving = self._ends(sender, receiver, nbytes)
                            used[sender] = used.get(sender, 0.0) + sending
                            used[receiver] = used.get(receiver, 0.0) + receiving
                            if last.get(sender) == number:
                                free[sender] += sending
                    soonest = max(soonest, at)
            there.append(soonest)
        for tile, soonest in zip(stage.tiles, there, strict=True):
            device, before = tile.device, used.get(tile.device, 0.0)
            end = max(soonest, before, free.get(device, 0.0)) + tile.seconds
            used[device], free[device] = before + tile.seconds, end
            last[device] = number = tiles = tiles + 1
            for name, region in tile.outputs:
                made[name] = (*made.get(name, ()), (number, device, region, end))
        return _Begun((*begun.stages, stage), used, free, last, made, frozenset(sent))

    def _ways(
        self, begun: _Begun, device: str, name: str, region: Region, leader: str | None
    ) -> Iterator[tuple[int, float, tuple[tuple[str, str, int], ...]]]:
        """(tile, when it is done, sender, receiver and bytes of every hop) of all that a device
        needs for a region."""
        itemsize = self._graph.tensors[name].itemsize
        if name in self._graph.inputs:
            source = self._costs.cluster.source
            begins = self._costs.request(source) / 2
            yield -1, begins, _hops(source, device, region.size * itemsize)
            return
        for number, holder, held, end in begun.made[name]:
            common = region.intersect(held)
            if common is None or holder == device:
                continue
            nbytes = common.size * itemsize
            if leader in (None, holder):
                yield number, end, _hops(holder, device, nbytes)
            else:
                to_leader = _hops(holder, leader, held.size * itemsize)
                yield number, end, to_leader + _hops(leader, device, nbytes)

    def _moving(self, sender: str, receiver: str, nbytes: int) -> float:
        """Seconds that bytes take at least from the end of one tile to the beginning of another."""
        path = self._costs.path(sender, receiver)
        sending = self._costs.sending(sender, receiver)
        receiving = self._costs.receiving(receiver, sender)
        # Rates that vary, or buckets that are full, may carry them sooner than the link's rate.
        travelling = nbytes / path.bandwidth if self._is_steady else 0.0
        leaving = max(travelling, sending.per_byte * nbytes)  # Bytes leave while they are written.
        return sending.fixed + leaving + path.latency + receiving.seconds(nbytes)

    def _ends(self, sender: str, receiver: str, nbytes: int) -> tuple[float, float]:
        """Seconds of CPU of a message's ends."""
        costs = self._costs
        sent, received = costs.sending(sender, receiver), costs.receiving(receiver, sender)
        return sent.seconds(nbytes), received.seconds(nbytes)

    def _least(self, plan: _Begun) -> float:
        """Seconds that a plan takes at least, its outputs brought home."""
        costs, source = self._costs, self._costs.cluster.source
        soonest = max(plan.free.values(), default=0.0)
        for name in self._graph.outputs:
            itemsize = self._graph.tensors[name].itemsize
            for _, holder, region, end in plan.made.get(name, ()):
                for hop in _hops(holder, source, region.size * itemsize):
                    soonest = max(soonest, end + self._moved(*hop))
        return soonest + costs.request(source) / 2


def _hops(sender: str, receiver: str, nbytes: int) -> tuple[tuple[str, str, int], ...]:
    return ((sender, receiver, nbytes),) if sender != receiver else ()


def _shares(steps: int, parts: int) -> Iterator[tuple[float, ...]]:
    """All ways to share out so many steps, at least one to each part."""
    for cuts in combinations(range(1, steps), parts - 1):
        edges = (0, *cuts, steps)
        yield tuple(float(high - low) for low, high in pairwise(edges))
