"""Where blocks of layers may begin: what EdgeCI takes for one layer, and its fixed blocks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise

from swath.graph.graph import Graph
from swath.planners.building.fusing import candidate_cuts
from swath.planners.building.survey import extent_before

LARGEST_UNIT = 8
"""Layers in the largest residual block or inception module; what has more of them between two legal
cuts is no module, and is cut anyhow."""

_POOLS = frozenset(["MaxPool", "AveragePool", "LpPool"])


def unit_cuts(graph: Graph) -> tuple[int, ...]:
    """Positions before which a block may begin, the first and the one behind the last included: no
    cut falls inside a skip, unless that is longer than a module's. Values without rows (what
    squeezes and excites) are no skips."""
    open_maps = _open_maps(graph)

    def modules(cuts: Sequence[int]) -> Iterator[int]:
        """Where the modules of a run begin: none is too large, and few maps are open there."""
        if len(cuts) - 1 <= LARGEST_UNIT:
            yield cuts[0]
            return
        fewest = min(
            range(1, len(cuts) - 1),
            key=lambda i: (open_maps[cuts[i]], abs(2 * i - len(cuts) + 1)),
        )
        yield from modules(cuts[: fewest + 1])
        yield from modules(cuts[fewest:])

    cuts = candidate_cuts(graph)
    legal = [0, *(i for i in range(1, len(cuts) - 1) if open_maps[cuts[i]] <= 1), len(cuts) - 1]
    runs = (cuts[start : stop + 1] for start, stop in pairwise(legal))
    return (*(cut for run in runs for cut in modules(run)), cuts[-1])


def fixed_cuts(graph: Graph) -> tuple[int, ...]:
    """Positions before which a block begins that is not chosen: what lies between two pools is a
    block, with the pool behind it. So is each single layer where the network has no pools, and each
    residual block or inception module wherever it is. Maps end where a block ends."""
    layers = set(candidate_cuts(graph))
    units = unit_cuts(graph)
    has_pools = _has_pool(graph, 0, len(graph.nodes))
    ends = [0]
    is_open = False
    for start, stop in pairwise(units):
        is_module = any(position in layers for position in range(start + 1, stop))
        if is_open and not is_module and _has_rows(graph, start) == _has_rows(graph, stop):
            ends.pop()
        ends.append(stop)
        is_open = has_pools and not is_module and not _has_pool(graph, start, stop)
    return tuple(ends)


def _has_pool(graph: Graph, start: int, stop: int) -> bool:
    return any(graph.nodes[position].type in _POOLS for position in range(start, stop))


def _has_rows(graph: Graph, cut: int) -> bool:
    return extent_before(graph, cut, 2) > 1


def _open_maps(graph: Graph) -> list[int]:
    """How many maps are made before each position and read behind it. The model's inputs do not
    count: whoever hands maps out has them."""
    changes = [0] * (len(graph.nodes) + 2)
    for name, producer in graph.producers.items():
        shape = graph.tensors[name].shape or ()
        if len(shape) > 2 and shape[2] > 1:
            last = max(graph.consumers.get(name, ()), default=producer)
            changes[producer + 1] += 1
            changes[last + 1] -= 1
    return list(accumulate(changes))
