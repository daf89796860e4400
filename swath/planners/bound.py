"""A lower bound on the latency of any plan, so that one sees how far a plan can be from the best.

Every node has to be computed once, by whomever and in whatever parts: whoever makes a share ``x``
of it spends ``x`` times its least seconds there (`Costs.least`), and no device has more CPU than
the time from when it can have its first data until when its last result can still reach the source.
So no plan is done before the smallest ``T`` for which

    sum over devices d of x[o, d] = 1             for every node o
    sum over nodes o of x[o, d] * least[o, d] <= rate[d] * (T - late[d]) + credit[d]

has a solution ``x >= 0``: a linear program. Nothing is said of maps that travel between devices, of
halos, of sessions that are started, of the order of nodes; so the bound is far off where links, not
processors, limit a plan. ``late``: what the coordinator and the first and the last message take;
``rate`` and ``credit``: of a device with a quota, its share and what it may use at once.

Nodes of equal ratios of speed, and devices of equal kind, count as one each.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from math import floor

import numpy as np

from swath.cost import Costs
from swath.errors import PlanError
from swath.graph.graph import Graph
from swath.ops import Operator, Region, Rule, whole_of
from swath.planners.registry import Problem


@dataclass(frozen=True, slots=True)
class _Class:
    """Devices that count as one: their kind of processor, seconds of CPU a second, seconds at the
    beginning and at the end without work, seconds of CPU on credit."""

    kind: Hashable
    rate: float
    late: float
    credit: float


def lower_bound(problem: Problem) -> float:
    """Seconds below which the predicted latency of no plan can be for this graph, on that cluster,
    at those costs."""
    costs = problem.costs
    example: dict[_Class, str] = {}
    members: Counter[_Class] = Counter()
    for device in costs.cluster.workers:
        found = _class_of(costs, device.name)
        example.setdefault(found, device.name)
        members[found] += 1
    classes = sorted(members, key=lambda found: found.late)
    work = _work(problem.graph, costs, [example[found] for found in classes])
    least = np.inf
    for count in range(1, len(classes) + 1):
        # Who cannot begin before the others are done takes no part.
        if classes[count - 1].late >= least:
            break
        least = min(least, _soonest(work[:, :count], classes[:count], members))
    return float(least)


def _class_of(costs: Costs, device: str) -> _Class:
    cluster, source = costs.cluster, costs.cluster.source
    quota = costs.quota(device)
    rate = 1.0 if quota is None else min(1.0, quota.share)
    credit = 0.0 if rate == 1.0 or quota is None else quota.share * quota.period + quota.tick
    if device == source:
        # The coordinator runs on the same processor.
        return _Class(costs.kind(device), rate, costs.request(source) / rate, credit)
    others = [other.name for other in cluster.devices if other.name != device]
    into = min(costs.path(other, device).latency for other in others)
    out = min(costs.path(device, other).latency for other in others)
    ends = costs.sending(source).fixed + costs.receiving(source).fixed + costs.request(source)
    return _Class(costs.kind(device), rate, into + out + ends, credit)


def _soonest(work: np.ndarray, classes: list[_Class], members: Mapping[_Class, int]) -> float:
    """Seconds until ``work`` (of each node, by class of who does it) can be done by these."""
    from scipy.optimize import linprog  # A quarter of a second, for those alone who need it.

    nodes, count = work.shape
    shares = nodes * count
    # Variables: the share of every node that each class does, node by node; then T.
    once = np.zeros((nodes, shares + 1))
    spent = np.zeros((count, shares + 1))
    limits = np.zeros(count)
    for node in range(nodes):
        once[node, node * count : (node + 1) * count] = 1.0
    for place, found in enumerate(classes):
        spent[place, place:shares:count] = work[:, place]
        spent[place, shares] = -members[found] * found.rate
        limits[place] = members[found] * (found.credit - found.rate * found.late)
    goal = np.zeros(shares + 1)
    goal[shares] = 1.0
    solved = linprog(goal, A_ub=spent, b_ub=limits, A_eq=once, b_eq=np.ones(nodes))
    return float(solved.fun) if solved.success else np.inf


def _work(graph: Graph, costs: Costs, devices: list[str]) -> np.ndarray:
    """Least seconds of every kind of node (rows) on each device; nodes whose ratios are equal are
    one."""
    groups: dict[tuple[float, ...], np.ndarray] = {}
    needed = _needed(graph)
    for position in range(len(graph.nodes)):
        share = needed[position]
        if share:
            covered = _covered(graph.operators[position], graph.rules[position])
            least = np.array([costs.least(d, graph, position, covered) for d in devices]) * share
            if least.any():
                ratios = tuple(np.round(least / least.max(), 9).tolist())
                groups[ratios] = groups.get(ratios, np.zeros(len(devices))) + least
    return np.array(list(groups.values())).reshape(len(groups), len(devices))


def _needed(graph: Graph) -> list[float]:
    """By node, the share of its outputs that anybody needs, at least."""
    share: defaultdict[str, float] = defaultdict(float)
    share.update(dict.fromkeys(graph.outputs, 1.0))
    found = [0.0] * len(graph.nodes)
    for position in reversed(range(len(graph.nodes))):
        node, op, rule = graph.nodes[position], graph.operators[position], graph.rules[position]
        found[position] = needed = min((share[name] for name in node.outputs if name), default=0.0)
        covered = needed * _covered(op, rule)
        asked = rule.demand(op, whole_of(op)).inputs
        for name, region in zip(node.reads, asked, strict=True):
            if region is not None and name in graph.producers:
                whole = graph.tensors[name].whole.size
                share[name] = max(share[name], covered * region.size / whole if whole else 0.0)
    return found


def _covered(op: Operator, rule: Rule) -> float:
    """The share of its inputs that an operator's outputs touch, at least: less than all where it
    steps over some."""
    tensor = op.outputs[0] if op.outputs else None
    if tensor is None or tensor.shape is None:
        return 0.0
    covered = 1.0
    for axis, extent in enumerate(tensor.shape):
        if extent < 2:
            continue
        middle = min(extent // 2, extent - 2)
        one, other = (_asked(op, rule, axis, entry) for entry in (middle, middle + 1))
        for first, second in zip(one, other, strict=True):
            if first is None or second is None:
                continue
            for (lo, hi), (next_lo, _) in zip(first, second, strict=True):
                if next_lo > hi:
                    covered *= (hi - lo) / (next_lo - lo)
    return covered


def _asked(op: Operator, rule: Rule, axis: int, entry: int) -> tuple[Region | None, ...]:
    wanted = list(whole_of(op))
    first = wanted[0]
    assert first is not None
    return rule.demand(op, (first.replace(axis, (entry, entry + 1)), *wanted[1:])).inputs


def check_reachable(deadline: float, bound: float) -> None:
    """Raises PlanError for a deadline below the `lower_bound`, both in seconds: nothing meets it,
    whatever the links do."""
    if deadline < bound:
        # Rounded down, so that it remains a bound.
        least = floor(bound * 1e6) / 1e3
        raise PlanError(
            f"no plan meets a deadline of {deadline * 1e3:.10g} ms: computing alone takes "
            f"{least:.10g} ms on these devices together; give more time or more devices"
        )
