"""Which devices may share a stage, in which order and how: what a search has to choose from."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

from swath.cost import Costs
from swath.graph.graph import Graph
from swath.planners.layouts import Mode, Split

_ALL_ORDERS = 3
"""So many devices or fewer: every order of every subset."""

_ALL_SUBSETS = 4
"""So many devices or fewer: every subset, in the cluster's order."""

_SINGLES = 8
"""Devices that are tried alone, the strongest."""

_SIZES = (2, 3, 4, 5, 6, 7, 8, 10, 12, 16, 20, 24, 32, 48, 64, 96, 128, 192, 256)
"""How many of the strongest devices are tried together, and all of them."""


def candidate_splits(graph: Graph, costs: Costs) -> tuple[Split, ...]:
    """Splits by speed, and devices alone."""
    ranked = _ranked(costs)
    modes = _modes(graph)
    speed = {name: costs.sustained(name) for name in ranked[0]}
    alone = dict.fromkeys(name for order in ranked for name in order[:_SINGLES])
    return (
        *(Split.alone(name) for name in alone),
        *(
            Split(mode, group, tuple(speed[name] for name in group))
            for group in _groups(costs, ranked)
            for mode in modes
        ),
    )


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


def _groups(costs: Costs, ranked: Sequence[Sequence[str]]) -> Iterator[tuple[str, ...]]:
    """Subsets of several devices, in the order of their places on the map."""
    names = tuple(device.name for device in costs.cluster.workers)
    if len(names) <= _ALL_ORDERS:
        for count in range(2, len(names) + 1):
            yield from itertools.permutations(names, count)
        return
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
