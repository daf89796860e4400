"""The best cuts and splits of a network by dynamic programming over all cuts, splits and subsets.

The recurrence is the one of `swath.planners.building.fusing`; here a stage may be split in any of
very many ways, among any of the devices, whose costs come from tables
(`swath.planners.building.strips`) for all of them at once. What devices send is estimated: what
each receives is exact where the map lies along one axis before and after, and what each sends is
its share of that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from swath.cost import Costs
from swath.planners.building.fusing import LONGEST_STAGE, Segment, candidate_cuts
from swath.planners.building.layouts import Split
from swath.planners.building.strips import Ends, Strips
from swath.planners.building.weighing import slowdown

_BEAM = 16
"""Splits of the stage before that are looked at, the best so far."""


@dataclass(frozen=True, slots=True)
class _Moved:
    """What devices receive before a stage: bytes and messages, and the bytes and messages that each
    sends; by split before, split, device. ``scattered``: bytes of the model's inputs that the
    source hands out, by split."""

    received: np.ndarray
    arriving: np.ndarray
    sent: np.ndarray
    leaving: np.ndarray
    scattered: np.ndarray


@dataclass(slots=True)
class _Walk:
    """A walk back from a stage's end, of all splits and devices: what is needed from outside so
    far, seconds of CPU, bytes of weights, and who computes anything."""

    needs: dict[str, Ends]
    seconds: np.ndarray
    weights: np.ndarray
    is_used: np.ndarray

    @classmethod
    def begin(cls, splits: int, devices: int) -> _Walk:
        shape = (splits, devices)
        return cls({}, np.zeros(shape), np.zeros(shape), np.zeros(shape, dtype=bool))


class _Devices:
    """What messages cost each device, by the clock."""

    def __init__(self, names: Sequence[str], costs: Costs) -> None:
        cluster = costs.cluster
        self.slowdown = np.array([slowdown(costs, name) for name in names])
        self.overhead = costs.overhead * self.slowdown
        sending = [costs.sending(name) for name in names]
        receiving = [costs.receiving(name) for name in names]
        self.send_fixed = np.array([cost.fixed for cost in sending]) * self.slowdown
        self.send_byte = np.array([cost.per_byte for cost in sending]) * self.slowdown
        self.receive_fixed = np.array([cost.fixed for cost in receiving]) * self.slowdown
        self.receive_byte = np.array([cost.per_byte for cost in receiving]) * self.slowdown
        self.source = cluster.source
        self.is_shared = cluster.network == "shared"
        everyone = dict.fromkeys([*names, cluster.source])
        # On a switch each device has a rate of its own each way, and a path is as fast as the
        # slower of the two; where every pair has its own link this is a guess from above.
        down = [max((costs.path(o, n).bandwidth for o in everyone if o != n), default=np.inf)
                for n in names]  # fmt: skip
        up = [max((costs.path(n, o).bandwidth for o in everyone if o != n), default=np.inf)
              for n in names]  # fmt: skip
        self.per_byte_down, self.per_byte_up = 1 / np.array(down), 1 / np.array(up)
        self.latency = np.array(
            [min((costs.path(o, n).latency for o in everyone if o != n), default=0.0)
             for n in names]
        )  # fmt: skip
        from_source = [
            None if n == cluster.source else costs.path(cluster.source, n) for n in names
        ]
        self.scatter_byte = min(
            (1 / p.bandwidth for p in from_source if p is not None), default=0.0
        )
        self.source_byte = np.array([0.0 if p is None else 1 / p.bandwidth for p in from_source])
        self.source_latency = np.array([0.0 if p is None else p.latency for p in from_source])
        self.is_elsewhere = np.array([name != cluster.source for name in names])


class Search:
    """A search for one graph under some splits."""

    def __init__(self, strips: Strips, costs: Costs) -> None:
        self._strips = strips
        self._graph = strips.tables.graph
        self._devices = _Devices(strips.tables.devices, costs)
        self._cuts = candidate_cuts(self._graph)
        self._last_reader = {
            name: len(self._graph.nodes)
            if name in self._graph.outputs
            else max(self._graph.consumers.get(name, ()), default=-1)
            for name in self._graph.producers
        }

    def best(self, price: np.ndarray | float = 0.0) -> tuple[float, tuple[Segment, ...]]:
        """(estimated seconds, stages). ``price``: seconds that a byte of weights costs besides, by
        device, where memory is scarce."""
        count, ends = len(self._strips.splits), len(self._cuts)
        seconds = np.full((ends, count), np.inf)
        seconds[0] = 0.0
        starts = np.zeros((ends, count), dtype=int)
        before = np.zeros((ends, count), dtype=int)
        for end in range(1, ends):
            self._best_stage(end, price, seconds, starts, before)
        total = seconds[-1] + self._gathered()
        split = int(np.argmin(total))
        return float(total[split]), self._segments(split, starts, before)

    def seconds_of(self, segments: Sequence[Segment]) -> list[tuple[Split, np.ndarray]]:
        """By stage its split, and the estimated seconds of the split's devices, waiting for data
        included."""
        found = []
        order = {split: row for row, split in enumerate(self._strips.splits)}
        place = {name: column for column, name in enumerate(self._strips.tables.devices)}
        before = 0
        for segment in segments:
            row = order[segment.split]
            walk = _Walk.begin(len(order), len(place))
            for position in range(segment.stop - 1, segment.start - 1, -1):
                self._visit(position, segment.stop, walk)
            needs = self._kept(segment.start, segment.stop, walk.needs)
            exchanging = self._exchanging(self._moved(needs, np.array([before])))
            seconds = (self._alone(walk, 0.0) + exchanging[0])[row]
            found.append((segment.split, seconds[[place[name] for name in segment.split.devices]]))
            before = row
        return found

    def _segments(self, split: int, starts: np.ndarray, before: np.ndarray) -> tuple[Segment, ...]:
        found: list[Segment] = []
        end = len(self._cuts) - 1
        while end > 0:
            start = int(starts[end, split])
            made = Segment(self._cuts[start], self._cuts[end], self._strips.splits[split])
            if found and len(made.split.devices) == 1 and made.split == found[-1].split:
                # One device alone recomputes nothing: one stage is as good as two.
                made = Segment(made.start, found.pop().stop, made.split)
            found.append(made)
            end, split = start, int(before[end, split])
        return tuple(reversed(found))

    def _best_stage(
        self,
        end: int,
        price: np.ndarray | float,
        seconds: np.ndarray,
        starts: np.ndarray,
        before: np.ndarray,
    ) -> None:
        """Fill in row ``end``: of each split the best last stage before that cut."""
        strips = self._strips
        stop = self._cuts[end]
        shape = (len(strips.splits), len(strips.tables.devices))
        walk = _Walk.begin(*shape)
        every = np.arange(shape[0])
        position = stop
        for start in range(end - 1, max(-1, end - 1 - LONGEST_STAGE), -1):
            while position > self._cuts[start]:
                position -= 1
                self._visit(position, stop, walk)
            alone = self._alone(walk, price)
            if not (alone.max(axis=1) < seconds[end]).any():
                break  # Going further back only adds computing.
            ways = np.argsort(seconds[start], kind="stable")[: _BEAM if start else 1]
            moved = self._moved(self._kept(self._cuts[start], stop, walk.needs), ways)
            stage = (alone[None] + self._exchanging(moved)).max(2)
            total = seconds[start, ways][:, None] + stage
            best = np.argmin(total, axis=0)
            reached = total[best, every]
            better = reached < seconds[end]
            seconds[end, better] = reached[better]
            starts[end, better] = start
            before[end, better] = ways[best[better]]

    def _kept(self, start: int, stop: int, needs: Mapping[str, Ends]) -> dict[str, Ends]:
        """What a stage needs and what others behind it do: it is taken to be laid out anew by every
        stage in between, for nobody knows here by whom it was made."""
        kept = dict(needs)
        for name, last in self._last_reader.items():
            if self._graph.producers[name] < start and last >= stop:
                held = self._strips.held(name)
                kept[name] = kept[name].hull(held) if name in kept else held
        return kept

    def _alone(self, walk: _Walk, price: np.ndarray | float) -> np.ndarray:
        """Seconds of computing by split and device, and the price of its weights."""
        devices = self._devices
        seconds = walk.seconds * devices.slowdown + walk.is_used * devices.overhead
        return np.asarray(seconds + walk.weights * price)

    def _visit(self, position: int, stop: int, walk: _Walk) -> None:
        strips, needs = self._strips, walk.needs
        for name in self._graph.nodes[position].outputs:
            if not name:
                continue
            if self._last_reader[name] >= stop:
                held = strips.held(name)
                needs[name] = needs[name].hull(held) if name in needs else held
            wanted = needs.pop(name, None)
            if wanted is None:
                continue
            work, sizes = strips.work(name), wanted.sizes
            walk.seconds += work.seconds[strips.tables.kinds[None, :], work.starts + sizes]
            walk.weights += work.weights[work.starts + sizes]
            walk.is_used |= sizes > 0
            for read, ends in work.needed(wanted):
                needs[read] = needs[read].hull(ends) if read in needs else ends

    def _exchanging(self, moved: _Moved) -> np.ndarray:
        """Seconds that devices wait for what they need, and spend on messages."""
        devices = self._devices
        sending = moved.leaving * devices.send_fixed + moved.sent * devices.send_byte
        last = devices.receive_fixed * (moved.arriving > 0)
        receiving = moved.arriving * devices.receive_fixed + moved.received * devices.receive_byte
        # Who gets its part of the inputs last waits until all are handed out.
        waiting = (moved.arriving > 0) * devices.latency
        waiting = waiting + (moved.scattered * devices.scatter_byte)[None, :, None]
        travelling = moved.received * devices.per_byte_down
        if devices.is_shared:  # Nobody sends while another does.
            travelling = np.broadcast_to(travelling.sum(2, keepdims=True), travelling.shape)
        else:
            travelling = np.maximum(travelling, moved.sent * devices.per_byte_up)
        # What has come first is taken in while the rest is on its way.
        return np.asarray(
            np.maximum(
                sending + receiving, np.maximum(sending, receiving) + last + waiting + travelling
            )
        )

    def _moved(self, needs: Mapping[str, Ends], ways: np.ndarray) -> _Moved:
        strips, devices = self._strips, self._devices
        shape = (len(ways), len(strips.splits), len(strips.tables.devices))
        received, arriving = np.zeros(shape), np.zeros(shape)
        sent, leaving = np.zeros(shape), np.zeros(shape)
        scattered = np.zeros(shape[1])
        for name, wanted in needs.items():
            tensor, extents, sizes = self._graph.tensors[name], strips.extents(name), wanted.sizes
            part = sizes / extents
            if name not in self._graph.producers:
                scattered += (part * tensor.nbytes * devices.is_elsewhere).sum(1)
                arriving = np.maximum(arriving, ((sizes > 0) & devices.is_elsewhere)[None])
                continue
            held = strips.held(name)
            lo, hi = held.lo[ways][:, None], held.hi[ways][:, None]
            has = held.sizes[ways] / extents[ways]
            holders = (has > 0).sum(1)
            axes = strips.axes(name)
            is_along = (axes[ways][:, None] == axes[None])[:, :, None]
            own = np.maximum(np.minimum(hi, wanted.hi) - np.maximum(lo, wanted.lo), 0) / extents
            own = np.where(is_along, own, part * has[:, None])
            more = np.maximum(part - own, 0.0)
            touched = strips.touched(name, ways, wanted)
            others = np.where(is_along, touched, holders[:, None, None]) - (has[:, None] > 0)
            others = np.where(more > 0, np.maximum(others, 1), 0)
            received += more * tensor.nbytes
            arriving = np.maximum(arriving, others)
            sent += (more.sum(2) * tensor.nbytes)[:, :, None] * has[:, None]
            share = (has > 0) / holders[:, None]
            leaving = np.maximum(leaving, others.sum(2)[:, :, None] * share[:, None])
        return _Moved(received, arriving, sent, leaving, scattered)

    def _gathered(self) -> np.ndarray:
        """Seconds until the source has the outputs, by split."""
        strips, devices = self._strips, self._devices
        total = np.zeros(len(strips.splits))
        for name in self._graph.outputs:
            if name in self._graph.producers:
                sizes = strips.held(name).sizes
                nbytes = sizes / strips.extents(name) * self._graph.tensors[name].nbytes
                one = nbytes * devices.source_byte + (sizes > 0) * devices.source_latency
                spent = (sizes > 0) * devices.send_fixed + nbytes * devices.send_byte
                total += (one + spent).max(1)
        return total
