"""A DAG as a sequence of pieces, with as little as can be passing from one to the next."""

from __future__ import annotations

from itertools import accumulate, pairwise

from swath.graph.graph import Graph
from swath.planners.building.fusing import candidate_cuts

LONGEST_PIECE = 8
"""Layers of a piece, at most; a longer one is cut where least passes."""


def piece_cuts(graph: Graph) -> tuple[int, ...]:
    """Positions before which a piece may begin, the first and the one behind the last included.

    Pieces end where a single tensor passes on; between two such places that are far apart (a dense
    block, the two sides of a U) also where several do, the fewest bytes first.
    """
    cuts = candidate_cuts(graph)
    count, nbytes = _passing(graph)
    chosen = [index for index, cut in enumerate(cuts) if count[cut] <= 1]
    places = {0, len(cuts) - 1, *chosen}
    pending = list(pairwise(sorted(places)))
    while pending:
        first, last = pending.pop()
        if last - first > LONGEST_PIECE:
            middle = (first + last) / 2
            narrowest = min(
                range(first + 1, last), key=lambda i: (nbytes[cuts[i]], abs(i - middle))
            )
            places.add(narrowest)
            pending += [(first, narrowest), (narrowest, last)]
    return tuple(cuts[index] for index in sorted(places))


def _passing(graph: Graph) -> tuple[list[int], list[int]]:
    """How many tensors, and bytes, are there before each position and read at it or behind it."""
    count = [0] * (len(graph.nodes) + 2)
    nbytes = [0] * (len(graph.nodes) + 2)
    made = {**dict.fromkeys(graph.inputs, -1), **graph.producers}
    for name, producer in made.items():
        readers = graph.consumers.get(name, ())
        if readers:
            size = graph.tensors[name].nbytes
            for places, amount in ((count, 1), (nbytes, size)):
                places[producer + 1] += amount
                places[max(readers) + 1] -= amount
    return list(accumulate(count)), list(accumulate(nbytes))
