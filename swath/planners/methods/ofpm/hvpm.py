"""Horizontal and vertical partition: how many devices compute a layer, which, and who gathers it.

What `fpm` and `ofpm` share; the papers stand there. A layer runs on one device, or is cut among the
fastest so and so many (horizontal); then one device, the aggregator, gathers what they made and
hands out what the next layer needs. Who computes and who gathers may change from layer to layer
(vertical). Which way each layer goes is a shortest path: from the source, over a node for each
layer and each way to compute it, back to the source.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from swath.graph.geometry import handed_on, tile_geometry
from swath.ops import Region
from swath.planners.building.fusing import Segment
from swath.planners.building.gathering import Port, aggregator, degrees, strongest
from swath.planners.building.layouts import Layouts, Split
from swath.planners.building.weighing import slowdown
from swath.planners.methods.ofpm.slices import Layer, Slices, layers_of
from swath.planners.registry import Problem

MOST_HOLDERS = 8
"""Devices that may compute a layer alone or gather it: the strongest, that the search ends soon."""

Array = NDArray[np.float64]


def shortest_path(
    problem: Problem, layouts: Layouts, names: Sequence[str], slices: Slices
) -> list[Segment]:
    """The layers in the ways that take least in total; one that is cut names who gathers it.

    A device keeps what it made, and nothing is gathered where nobody lacks anything. A tensor from
    an earlier layer is taken to be laid out as what the layer just before made.
    """
    search = _Search(problem, layouts, names)
    source = problem.costs.cluster.source
    taken: list[tuple[_Ways, NDArray[np.intp]]] = []
    totals: Array = np.zeros(1)
    for layer in layers_of(problem, layouts, names):
        ways = search.ways(layer, slices)
        moving = search.moving(taken[-1][0], ways) if taken else np.zeros((1, len(ways.segments)))
        reached = totals[:, None] + moving
        totals = reached.min(axis=0) + ways.seconds
        taken.append((ways, reached.argmin(axis=0)))
    if not taken:
        return []
    made = sum(layouts.graph.tensors[name].nbytes for name in dict.fromkeys(layouts.graph.outputs))
    returning = {
        holder: search.port.gathering(source, [(holder, made)]) for holder in search.holders
    }
    last = taken[-1][0]
    totals = totals + last.gathering + np.array([returning[holder] for holder in last.holders])
    place = int(totals.argmin())
    segments = []
    for ways, came_from in reversed(taken):
        segments.append(ways.segments[place])
        place = int(came_from[place])
    return segments[::-1]


@dataclass(frozen=True, slots=True)
class _Shares:
    """What the devices of a split have to do of a layer: what each must have, the seconds of the
    slowest, (device, bytes that it makes)."""

    needs: Mapping[str, Mapping[str, Region]]
    slowest: float
    made: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class _Ways:
    """All ways to compute a layer: stages, who holds the result once it is gathered, the seconds of
    computing and of handing out the model's inputs, those of gathering. ``places``: where each
    way's split stands in ``splits``, and what that has to do in ``shares``."""

    segments: tuple[Segment, ...]
    holders: tuple[str, ...]
    seconds: Array
    gathering: Array
    places: tuple[int, ...]
    splits: tuple[Split, ...]
    shares: tuple[_Shares, ...]


class _Search:
    def __init__(self, problem: Problem, layouts: Layouts, names: Sequence[str]) -> None:
        self.costs = problem.costs
        self.layouts = layouts
        self.ranked = strongest(problem, names)
        first = aggregator(problem, names)
        self.holders = tuple(dict.fromkeys([first, *self.ranked]))[:MOST_HOLDERS]
        self.port = Port(problem.costs)
        legs = [[self.port.out(one, other) for other in self.ranked] for one in self.holders]
        self._per_byte = np.array([[leg.per_byte for leg in row] for row in legs])
        self._each = np.array([[leg.each for leg in row] for row in legs])
        self._latency = np.array([[leg.latency for leg in row] for row in legs])

    def ways(self, layer: Layer, slices: Slices) -> _Ways:
        """A layer on each of the holders alone, and on the fastest so and so many with each of the
        holders as aggregator."""
        segments = list(self._segments(layer, slices))
        splits = tuple(dict.fromkeys(segment.split for segment in segments))
        shares = tuple(self._shares(layer, split) for split in splits)
        holders, seconds, gathering, places = [], [], [], []
        for segment in segments:
            place = splits.index(segment.split)
            share = shares[place]
            holder = segment.leader or segment.split.fastest
            spent = share.slowest + self._entering(share)
            if segment.leader is None:  # Between neighbours it is part of one tile.
                spent -= self.costs.overhead * slowdown(self.costs, holder)
            holders.append(holder)
            seconds.append(spent)
            gathering.append(self.port.gathering(holder, share.made))
            places.append(place)
        return _Ways(
            tuple(segments),
            tuple(holders),
            np.array(seconds),
            np.array(gathering),
            tuple(places),
            splits,
            shares,
        )

    def _segments(self, layer: Layer, slices: Slices) -> Iterator[Segment]:
        start, stop = layer.start, layer.stop
        for holder in self.holders:
            yield Segment(start, stop, Split.alone(holder))
        for degree in degrees(min(len(self.ranked), layer.entries)):
            for holder in self.holders:
                yield Segment(start, stop, slices(layer, self.ranked[:degree], holder), holder)

    def _shares(self, layer: Layer, split: Split) -> _Shares:
        graph = self.layouts.graph
        nodes = range(layer.start, layer.stop)
        regions = {name: self.layouts.of(name, split) for name in handed_on(graph, nodes)}
        needs, made, slowest = {}, [], 0.0
        for index, device in enumerate(split.devices):
            of_device = {name: by_device[index] for name, by_device in regions.items()}
            outputs = {name: region for name, region in of_device.items() if region is not None}
            if outputs:
                geometry = tile_geometry(graph, nodes, outputs)
                seconds = self.costs.tile(device, graph, geometry) * slowdown(self.costs, device)
                slowest = max(slowest, seconds)
                needs[device] = geometry.needs
                made.append((device, self._nbytes(outputs)))
        return _Shares(needs, slowest, tuple(made))

    def _entering(self, shares: _Shares) -> float:
        """Seconds for handing out what is needed of the model's inputs."""
        inputs = self.layouts.graph.inputs
        needed = [
            (device, self._nbytes({name: r for name, r in needs.items() if name in inputs}))
            for device, needs in shares.needs.items()
        ]
        return self.port.handing_out(self.costs.cluster.source, needed)

    def moving(self, before: _Ways, ways: _Ways) -> Array:
        """Seconds for gathering what the layer before made and handing out what this one's devices
        lack of it, by the way of the layer before and that of this one."""
        lacking = self._lacking(before, ways)
        holders = [self.holders.index(holder) for holder in before.holders]
        from_split = lacking[list(before.places)]
        lacks = from_split > 0
        seconds = np.einsum("bwd,bd->bw", from_split, self._per_byte[holders])
        seconds += np.einsum("bwd,bd->bw", lacks, self._each[holders])
        seconds += (lacks * self._latency[holders][:, None, :]).max(axis=2)
        seconds += lacks.any(axis=2) * before.gathering[:, None]
        found: Array = seconds[:, list(ways.places)]
        return found

    def _lacking(self, before: _Ways, ways: _Ways) -> Array:
        """Bytes by the split before, the present split and the device."""
        graph = self.layouts.graph
        names = dict.fromkeys(
            name
            for shares in ways.shares
            for needs in shares.needs.values()
            for name in needs
            if name in graph.producers
        )
        lacking = np.zeros((len(before.splits), len(ways.splits), len(self.ranked)))
        for name in names:
            axes = len(graph.tensors[name].whole)
            held = np.zeros((len(before.splits), len(self.ranked), axes, 2))
            for place, split in enumerate(before.splits):
                regions = self.layouts.of(name, split)
                for device, region in zip(split.devices, regions, strict=True):
                    if region is not None:
                        held[place, self.ranked.index(device)] = region
            needed = np.zeros((len(ways.splits), len(self.ranked), axes, 2))
            for place, shares in enumerate(ways.shares):
                for device, needs in shares.needs.items():
                    if name in needs:
                        needed[place, self.ranked.index(device)] = needs[name]
            lacking += graph.tensors[name].itemsize * (_sizes(needed) - _common(held, needed))
        return lacking

    def _nbytes(self, regions: Mapping[str, Region]) -> int:
        tensors = self.layouts.graph.tensors
        return sum(region.size * tensors[name].itemsize for name, region in regions.items())


def _sizes(boxes: Array) -> Array:
    """Entries of boxes ``[..., axis, (low, high)]``."""
    sizes: Array = (boxes[..., 1] - boxes[..., 0]).prod(axis=-1)
    return sizes


def _common(held: Array, needed: Array) -> Array:
    """Entries that boxes have in common: by the first one's place, the second's, the device."""
    common: Array = np.ones(1)
    for axis in range(held.shape[2]):
        one, other = held[:, None, :, axis], needed[None, :, :, axis]
        high = np.minimum(one[..., 1], other[..., 1])
        low = np.maximum(one[..., 0], other[..., 0])
        common = common * np.clip(high - low, 0, None)
    return common
