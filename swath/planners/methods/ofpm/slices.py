"""How high each device's slice of a layer is: equal slices, or such that nobody is waited for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from swath.planners.building.balancing import equal_finish, rebalanced
from swath.planners.building.fusing import Segment, candidate_cuts
from swath.planners.building.layouts import Layouts, Split
from swath.planners.building.survey import extent_before
from swath.planners.building.weighing import Part, parts_of, through_leader
from swath.planners.registry import Problem


@dataclass(frozen=True, slots=True)
class Layer:
    """Nodes ``start <= position < stop``, between two neighbouring cuts. ``entries``: rows of the
    map that they make, or features where it has no rows. ``whole``, ``half``: what each device has
    to do for all of them, and for the larger half."""

    start: int
    stop: int
    entries: int
    whole: Mapping[str, Part]
    half: Mapping[str, Part]


Slices = Callable[[Layer, tuple[str, ...], str], Split]
"""How a layer is cut: (layer, devices, who hands out and gathers) -> split."""


def layers_of(problem: Problem, layouts: Layouts, names: Sequence[str]) -> list[Layer]:
    """A graph's layers, one after the other, as these devices see them."""
    graph, costs = layouts.graph, problem.costs
    layers = []
    for start, stop in pairwise(candidate_cuts(graph)):
        rows = extent_before(graph, stop, 2)
        whole, half = {}, {}
        for name in names:
            (whole[name],) = parts_of(layouts, costs, Segment(start, stop, Split.alone(name)))
            halves = Split("rows", (name, name), (1.0, 1.0))
            half[name] = max(
                parts_of(layouts, costs, Segment(start, stop, halves)),
                key=lambda part: part.seconds,
            )
        entries = rows if rows > 1 else extent_before(graph, stop, 1)
        layers.append(Layer(start, stop, entries, whole, half))
    return layers


def equal_slices(layer: Layer, devices: tuple[str, ...], leader: str) -> Split:
    """As much for everyone."""
    return Split("rows", devices, (1.0,) * len(devices))


def even_finish(problem: Problem) -> Slices:
    """Slices with which all are done at the same time, in closed form.

    A slice's seconds, those for handing it out and gathering it included, are taken to be a
    straight line through those of a half and of the whole.
    """
    costs = problem.costs

    def slices(layer: Layer, devices: tuple[str, ...], leader: str) -> Split:
        parts = [part for device in devices for part in (layer.whole[device], layer.half[device])]
        twice = Split("rows", tuple(d for device in devices for d in (device, device)), ())
        seconds = through_leader(parts, twice, costs, leader)
        fixed = [max(0.0, 2 * h - w) for w, h in zip(seconds[::2], seconds[1::2], strict=True)]
        per_entry = [(w - f) / layer.entries for w, f in zip(seconds[::2], fixed, strict=True)]
        counts = equal_finish(layer.entries, per_entry, fixed)
        return Split("rows", devices, tuple(map(float, counts)))

    return slices


def with_entries_moved(problem: Problem, layouts: Layouts, segment: Segment) -> Segment:
    """The layer with one row (or feature) after the other moved from who is slowest to who is
    fastest, halos and transfers from and to its leader included. What nobody gathers stays as it
    is."""
    leader, split = segment.leader, segment.split
    if leader is None:
        return segment

    def moved(counts: tuple[int, ...]) -> Segment:
        return replace(segment, split=replace(split, weights=tuple(map(float, counts))))

    def seconds(counts: tuple[int, ...]) -> list[float]:
        parts = parts_of(layouts, problem.costs, moved(counts))
        return through_leader(parts, split, problem.costs, leader)

    return moved(rebalanced(tuple(map(int, split.weights)), seconds))
