"""Which devices may share a stage, in which order and how: what a search has to choose from."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

from swath.cost import Costs
from swath.graph.graph import Graph
from swath.planners.building.layouts import Mode, Split

_ALL_ORDERS = 3
FEW_NODES = 24
"""So many devices or fewer, for so many nodes or fewer: every order of every subset."""

_ALL_SUBSETS = 4
"""So many devices or fewer: every subset, in the cluster's order."""

_SINGLES = 8
"""Devices that are tried alone, the strongest."""

_SIZES = (2, 3, 4, 5, 6, 7, 8, 10, 12, 16, 20, 24, 32, 48, 64, 96, 128, 192, 256)
"""How many of the strongest devices are tried together, and all of them."""


def candidate_splits(graph: Graph, costs: Costs) -> tuple[Split, ...]:
    """Devices alone, and groups that share by speed, or by how soon each has what it needs, has
    computed it and has sent it."""
    ranked = _ranked(costs)
    alone = dict.fromkeys(name for order in ranked for name in order[:_SINGLES])
    seconds = {name: _seconds(graph, costs, name) for name in ranked[0]}
    weights = [{name: 1 / computing for name, (computing, _) in seconds.items()}]
    if len(graph.nodes) <= FEW_NODES:  # In a longer network inputs and outputs matter little.
        weights.append({name: 1 / sum(both) for name, both in seconds.items()})
    shared = (
        Split(mode, group, _relative([by_device[name] for name in group]))
        for group in _groups(graph, costs, ranked)
        for mode in _modes(graph)
        for by_device in weights
    )
    return (*(Split.alone(name) for name in alone), *dict.fromkeys(shared))


def _seconds(graph: Graph, costs: Costs, device: str) -> tuple[float, float]:
    """(for computing everything, for moving all inputs there and all outputs back)."""
    source = costs.cluster.source
    given, made = (
        sum(graph.tensors[name].nbytes for name in names) for names in (graph.inputs, graph.outputs)
    )
    moving = costs.transfer(source, device, given) + costs.transfer(device, source, made)
    return max(sum(graph.node_flops), 1) / costs.sustained(device), moving


def _relative(weights: Sequence[float]) -> tuple[float, ...]:
    """The weights by the largest, to two digits: what differs less is the same split."""
    return tuple(round(weight / max(weights), 2) or 0.01 for weight in weights)


def _ranked(costs: Costs) -> tuple[tuple[str, ...], ...]:
    """The computing devices, the most useful first: by their speed, and by how soon they have what
    the source sends them (where that differs)."""
    names = [device.name for device in costs.cluster.workers]
    source = costs.cluster.source

    def reached(name: str) -> float:
        return costs.transfer(source, name, 1 << 16)

    by_speed = sorted(names, key=lambda name: (-costs.sustained(name), reached(name)))
    by_link = sorted(names, key=lambda name: (reached(name), -costs.sustained(name)))
    return tuple(dict.fromkeys((tuple(by_speed), tuple(by_link))))


def _groups(
    graph: Graph, costs: Costs, ranked: Sequence[Sequence[str]]
) -> Iterator[tuple[str, ...]]:
    """Subsets of several devices, in the order of their places on the map."""
    names = tuple(device.name for device in costs.cluster.workers)
    is_short = len(graph.nodes) <= FEW_NODES
    if len(names) <= _ALL_ORDERS and is_short:
        for count in range(2, len(names) + 1):
            yield from itertools.permutations(names, count)
        return
    yield from _subsets(names, ranked)
    source = costs.cluster.source
    if is_short and source in names:
        # Who hands out the picture and takes the results is served at once and has less time for
        # anything else: it may be best at an end, in the middle, or left out.
        for group in _subsets(names, ranked):
            others = [name for name in group if name != source]
            for place in (0, len(others) // 2, len(others)):
                yield (*others[:place], source, *others[place:])
        yield from _subsets(
            [name for name in names if name != source],
            [[name for name in order if name != source] for order in ranked],
        )


def _subsets(names: Sequence[str], ranked: Sequence[Sequence[str]]) -> Iterator[tuple[str, ...]]:
    """In the cluster's order."""
    if len(names) <= _ALL_SUBSETS:
        for count in range(2, len(names) + 1):
            yield from itertools.combinations(names, count)
        return
    seen = set()
    for order in ranked:
        for count in (*(size for size in _SIZES if size < len(names)), len(names)):
            chosen = set(order[:count])
            group = tuple(name for name in names if name in chosen)
            if group not in seen:
                seen.add(group)
                yield group


def _modes(graph: Graph) -> tuple[Mode, ...]:
    """Rows and channels; columns where a map is wider than high, the batch where there is one."""
    shapes = [graph.tensors[name].shape for name in graph.inputs]
    modes: list[Mode] = ["rows", "channels"]
    if any(shape is not None and len(shape) >= 4 and shape[3] > shape[2] for shape in shapes):
        modes.append("cols")
    if any(shape is not None and shape and shape[0] > 1 for shape in shapes):
        modes.append("batch")
    return tuple(modes)
