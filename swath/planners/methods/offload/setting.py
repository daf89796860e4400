"""One network, one device that offloads, its servers: the ways there are, and what they take."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import product

import numpy as np

from swath.cost import NO_COOLING, Costs
from swath.errors import PlanError
from swath.plan.compile import sketch_plan
from swath.plan.plan import Plan
from swath.planners.building.fitting import fitting_of
from swath.planners.building.layouts import Layouts
from swath.planners.building.tables import Tables
from swath.planners.building.weighing import span_seconds
from swath.planners.methods.offload.blocks import Blocks, blocks_of
from swath.planners.methods.offload.bounds import soonest_ends
from swath.planners.methods.offload.flow_shop import minimising_waiting
from swath.planners.methods.offload.laying_out import plan_of
from swath.planners.methods.offload.parties import (
    SOURCE,
    Parties,
    check_servers,
    of_use,
    parties_among,
)
from swath.planners.methods.offload.paths import paths_of
from swath.planners.methods.offload.timing.loads import loads_of
from swath.planners.methods.offload.timing.timing import Timing
from swath.planners.methods.offload.ways import Ways, chunks
from swath.planners.objective import predicted_seconds
from swath.planners.registry import Problem

PATHS = 4
"""Paths at most, unless told otherwise; fewer where a block has fewer rows."""

SURE = 1 - 1e-9
"""What is not sooner by more than rounding is not sooner."""

_BOUNDED_AT_ONCE = 2**15
"""Ways whose bounds are told together."""

_SIMULATED = 12
"""Ways of which the one is chosen whose plan is the soonest on virtual time."""

_ALIKE = 0.1
"""Plans for devices with quotas, or with caches that go cold, whose predictions are nearer than
that may well be measured the other way round: the simplest is taken. Quotients of two such plans
were 8 % off the predicted ones (root mean square of 16 pairs on a host that shares its cores)."""

_SINGLES = 4
"""Single cuts that are simulated besides, the soonest that the flow shop knows."""

_PAIRS_AT_ONCE = 2**24
"""Pairs of connections, of all ways that are timed together: what memory is needed for."""


class Setting:
    """``paths``: into how many a block may be cut at most; None: `PATHS`, or as many as there are
    rows; ``names``: the devices that compute. Raises PlanError where there are more paths than
    rows."""

    def __init__(self, problem: Problem, paths: int | None, names: Sequence[str]) -> None:
        self.layouts = Layouts(problem.graph)
        self.blocks: Blocks = blocks_of(self.layouts, PATHS if paths is None else paths)
        self.parties: Parties = parties_among(problem, names)
        self.most = int(self.blocks.paths.max())
        if paths is not None and self.most < paths:
            raise PlanError(
                f"{paths} paths need as many rows, but no block of this model can be cut into more "
                f"than {self.most}; ask for {self.most} paths or fewer"
            )
        self.timing = _timing(problem, self.layouts, self.blocks, self.parties)
        self.ends = self.blocks.ends
        self.last = self.blocks.last
        self.is_all = self.ends == self.last
        servers = range(self.parties.servers)
        self.rests = np.array([*servers, SOURCE] if self.parties.computes else [*servers])

    def seconds(self, ways: Ways) -> np.ndarray:
        """Until the result is there, by row."""
        at_once = max(1, _PAIRS_AT_ONCE // (1 + self.parties.servers) ** 2)
        some = (ways.take(rows) for rows in chunks(np.arange(len(ways)), at_once))
        return np.concatenate([np.zeros(0), *(self.timing.seconds(each) for each in some)])

    def in_turn(
        self, block: np.ndarray, paths: np.ndarray, rest: np.ndarray, cut: np.ndarray,
        server: np.ndarray,
    ) -> Ways:  # fmt: skip
        """These, path after path. Cuts are moved to where they may be."""
        rest = np.where(self.is_all[block], SOURCE, rest)
        end = self.ends[block][:, None]
        # A camera sends all; where there is no server, nothing is sent.
        low = np.where(self.parties.servers, 0, end)
        high = np.where(self.parties.computes, end, 0)
        cut = np.clip(cut, low, high)
        natural = np.broadcast_to(np.arange(cut.shape[1]), cut.shape)
        server = np.broadcast_to(server, cut.shape)
        return Ways(block, paths, rest, cut, server, natural)

    def ordered(self, ways: Ways) -> Ways:
        """These, in the order that minimises waiting."""
        order = minimising_waiting(*self.timing.jobs(ways), ways.cut == 0, ways.paths)
        return replace(ways, order=order)

    def with_rests(self, block: np.ndarray, paths: np.ndarray, cut: np.ndarray,
                   server: np.ndarray) -> Ways:  # fmt: skip
        """These, path after path, with every one who may compute the rest, in turn for each."""
        turns = len(self.rests)
        return self.in_turn(
            np.repeat(block, turns), np.repeat(paths, turns), np.tile(self.rests, len(block)),
            np.repeat(cut, turns, axis=0), np.repeat(server, turns, axis=0),
        )  # fmt: skip

    def sooner(self, ways: Ways, than: np.ndarray | float) -> np.ndarray:
        """Rows of those that may be over sooner, whatever the order of their paths."""
        limits = np.broadcast_to(than * SURE, len(ways))
        some = chunks(np.arange(len(ways)), _BOUNDED_AT_ONCE)
        kept = [rows[soonest_ends(self.timing, ways.take(rows)) < limits[rows]] for rows in some]
        return np.concatenate([np.zeros(0, dtype=int), *kept])

    def choices(self, cuts: np.ndarray) -> np.ndarray:
        """(cut, server) that a path may have, by row, if it may be cut there: a camera sends all,
        and what is not cut has no server."""
        if not self.parties.computes:
            cuts = cuts[:1]
        every = range(max(1, self.parties.servers))
        return np.array(list(product(cuts.tolist(), every)))

    def unfused(self) -> Ways:
        """All of the network on one path: every cut, every server."""
        choices = self.choices(np.arange(self.last + 1))
        every = np.ones(len(choices), dtype=int)
        columns = np.ones((1, self.most), dtype=int)
        return self.in_turn(
            (len(self.ends) - 1) * every, every, SOURCE * every,
            choices[:, :1] * columns, choices[:, 1:] * columns,
        )  # fmt: skip

    def soonest_first(self, ways: Ways) -> Ways:
        """These, by the seconds that they take."""
        return ways.take(np.argsort(self.seconds(ways), kind="stable"))

    def best(self, ways: Ways) -> tuple[float, Ways]:
        """(seconds, the way) of the soonest."""
        seconds = self.seconds(ways)
        row = int(np.argmin(seconds))
        return float(seconds[row]), ways.take([row])


def offloaded(
    planner: str,
    problem: Problem,
    paths: int | None,
    choose: Callable[[Setting], Ways],
    *,
    or_single: bool = False,
) -> Plan:
    """The plan of the way that is chosen among all computing devices that can be of use, or among
    those that have the memory. ``choose``: ways, the best first; ``or_single``: where the simulator
    chooses among them, one path with one cut may win, too. Raises PlanError where there is no
    server, or for more ``paths`` than rows."""
    check_servers(problem)

    def plan_among(names: Sequence[str]) -> Plan:
        setting = Setting(problem, paths, names)
        ways = choose(setting)
        # The simulator alone sees what one server sends another on a port that paths come by, too,
        # quotas in less than the long run, and caches that go cold.
        emulated = any(_is_emulated(problem.costs, name) for name in names)
        if emulated or setting.parties.servers > 1:
            chosen = _firsts(ways, _SIMULATED)
            if or_single:
                chosen += _firsts(setting.soonest_first(setting.unfused()), _SINGLES)
        else:
            chosen = _firsts(ways, 1)
        plans = [
            plan_of(planner, problem, setting.layouts, setting.blocks, setting.parties.names, way)
            for way in chosen
        ]
        if len(plans) == 1:
            return plans[0]
        seconds = [predicted_seconds(plan, sketch_plan(plan), problem.costs) for plan in plans]
        enough = min(seconds) * (1 + _ALIKE if emulated else 1)
        simplest = min(
            (int(way.paths[0]), taken, row)
            for row, (way, taken) in enumerate(zip(chosen, seconds, strict=True))
            if taken <= enough
        )
        return plans[simplest[-1]]

    cluster = problem.costs.cluster
    names = of_use(problem.costs, PATHS if paths is None else paths)
    if all(cluster.device(name).memory is None for name in names):
        return plan_among(names)
    return fitting_of(names, plan_among)


def _is_emulated(costs: Costs, device: str) -> bool:
    """Whether it has a quota, or caches that go cold, as a lab's devices do."""
    quota = costs.quota(device)
    return costs.cooling(device) != NO_COOLING or (quota is not None and quota.share < 1)


def _firsts(ways: Ways, most: int) -> list[Ways]:
    """So many of the first ways, each once."""
    rows = {ways.key(row): row for row in reversed(range(len(ways)))}
    return [ways.take([row]) for row in sorted(rows.values())[:most]]


def checked_number(name: str, value: int | None, least: int = 1) -> int | None:
    """The number; raises PlanError for what is none from ``least`` on."""
    if value is not None and (not isinstance(value, int) or value < least):
        raise PlanError(f"{name} {value!r} is not understood; it is a number from {least} on")
    return value


def _timing(problem: Problem, layouts: Layouts, blocks: Blocks, parties: Parties) -> Timing:
    graph, costs = problem.graph, problem.costs
    tables = Tables(layouts, costs)
    place = dict(zip(tables.devices, tables.kinds.tolist(), strict=True))
    # A source that does not compute is of no kind; none of its numbers is looked at.
    kinds = np.array([place.get(name, place[parties.names[0]]) for name in parties.names])
    spans = {
        kind: np.array(span_seconds(graph, costs, name, blocks.cuts)) / pace
        for name, kind, pace in zip(parties.names, kinds, parties.pace, strict=True)
        if name in place
    }
    behind = {kind: np.append(np.cumsum(found[::-1])[::-1], 0.0) for kind, found in spans.items()}
    rest = np.array([
        behind[kind][blocks.ends] * pace for kind, pace in zip(kinds, parties.pace, strict=True)
    ])  # fmt: skip
    result = sum(graph.tensors[name].nbytes for name in dict.fromkeys(graph.outputs)
                 if name in graph.producers)  # fmt: skip
    paths = paths_of(problem, tables, blocks)
    return Timing(paths, loads_of(paths, parties, kinds), parties, rest, result)
