"""The best cuts and splits of a network by dynamic programming over all cuts, splits and subsets.

The recurrence is the one of `swath.planners.building.fusing`; here a stage may be split in any of
very many ways, among any of the devices, whose costs come from tables
(`swath.planners.building.strips`) for all of them at once. What devices send is estimated: what
each receives is exact where the map lies along one axis before and after, and what each sends is
its share of that.

Borders that others wait for can be computed first, and travel while the rest is computed. How much
of that comes about only the simulator knows; so a search takes it that a given share of it does.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from swath.cost import Costs
from swath.plan.memory import PACKING_FACTOR
from swath.planners.building.borders import WIDEST_BORDER
from swath.planners.building.fusing import LONGEST_STAGE, Segment, candidate_cuts
from swath.planners.building.layouts import Split
from swath.planners.building.strips import Ends, Strips
from swath.planners.building.weighing import slowdown

_BEAM = 16
"""Splits of the stage before that are looked at, the best so far."""

_PATIENCE = 3
"""Beginnings of a stage in turn that help nobody, after which none before them is looked at."""

_PARTS = 2
"""Tiles that computing borders first makes more of one."""


Rooms = Mapping[float, np.ndarray | None]
"""Bytes of memory by device that ways may take (None: whatever they take), for each hiding: a share
(0 to 1) of the time in which borders could travel unnoticed that they are taken to do."""


@dataclass(frozen=True, slots=True)
class _Moved:
    """What devices receive before a stage: bytes and messages, and the bytes and messages that each
    sends; by split before, split, device. ``is_border``: all of it is a border of what a device
    holds itself. Of the model's inputs, by split and device: ``scattered``: bytes that are on their
    way until a device has its own; ``handing``: seconds of the source's CPU until then, and of its
    own for taking them in where it is the source."""

    received: np.ndarray
    arriving: np.ndarray
    sent: np.ndarray
    leaving: np.ndarray
    is_border: np.ndarray
    scattered: np.ndarray
    handing: np.ndarray

    def of(self, before: np.ndarray) -> _Moved:
        """After some of the splits before alone."""
        return _Moved(
            self.received[before], self.arriving[before], self.sent[before], self.leaving[before],
            self.is_border[before], self.scattered, self.handing,
        )  # fmt: skip


@dataclass(slots=True)
class _Walk:
    """A walk back from a stage's end, of all splits and devices: what is needed from outside so
    far, seconds of CPU, who computes anything, and bytes of weights and of the maps that the stage
    makes for others (if bytes are asked for)."""

    needs: dict[str, Ends]
    seconds: np.ndarray
    is_used: np.ndarray
    weights: np.ndarray
    made: np.ndarray
    is_weighed: bool

    @classmethod
    def begin(cls, splits: int, devices: int, is_weighed: bool) -> _Walk:
        seconds, weights, made = np.zeros((3, splits, devices))
        used = np.zeros((splits, devices), dtype=bool)
        return cls({}, seconds, used, weights, made, is_weighed)


@dataclass(frozen=True, slots=True)
class _Best:
    """The best way to every cut (first axis) with a last stage of every split (second), if so much
    is hidden and no device takes more than its ``room`` (bytes; None: whatever it takes): its
    seconds, the cut where that stage begins, the split before it, and of each device (third axis)
    what it computes in it, the bytes that weights and messages take up so far, which they do all
    the time, and the most that maps took in any stage."""

    hiding: float
    room: np.ndarray | None
    seconds: np.ndarray
    starts: np.ndarray
    before: np.ndarray
    computing: np.ndarray
    occupied: np.ndarray
    maps: np.ndarray

    @classmethod
    def begin(
        cls, hiding: float, room: np.ndarray | None, cuts: int, splits: int, devices: int
    ) -> _Best:
        seconds = np.full((cuts, splits), np.inf)
        seconds[0] = 0.0
        index = np.zeros((cuts, splits), dtype=int)
        computing, occupied, maps = np.zeros((3, cuts, splits, devices))
        return cls(hiding, room, seconds, index, index.copy(), computing, occupied, maps)

    def ways(self, start: int) -> np.ndarray:
        """The best splits of a stage that ends at a cut."""
        return np.argsort(self.seconds[start], kind="stable")[: _BEAM if start else 1]


@dataclass(frozen=True, slots=True)
class Result:
    """What a search has found: how much it took to be hidden, estimated seconds, stages; bytes that
    each device takes at most, estimated too (0 where there is room for anything)."""

    hiding: float
    seconds: float
    segments: tuple[Segment, ...]
    peak: np.ndarray


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
            [statistics.median([costs.path(o, n).latency for o in everyone if o != n] or [0.0])
             for n in names]
        )  # fmt: skip
        from_source = [
            None if n == cluster.source else costs.path(cluster.source, n) for n in names
        ]
        # Its messages share one port, unless it is the hub of a star.
        self.is_one_port = not (cluster.network == "star" and cluster.hub == cluster.source)
        self.port_byte = min((1 / p.bandwidth for p in from_source if p is not None), default=0.0)
        self.source_byte = np.array([0.0 if p is None else 1 / p.bandwidth for p in from_source])
        self.source_latency = np.array([0.0 if p is None else p.latency for p in from_source])
        self.is_elsewhere = np.array([name != cluster.source for name in names])
        pace = slowdown(costs, cluster.source)
        # The source's own part and result take no network.
        source = cluster.source
        hands = [costs.sending(source, name) for name in names]
        takes = [costs.receiving(source, name) for name in names]
        homes = [costs.sending(name, source) for name in names]
        self.hand_fixed = np.array([cost.fixed for cost in hands]) * pace
        self.hand_byte = np.array([cost.per_byte for cost in hands]) * pace
        self.take_fixed = np.array([cost.fixed for cost in takes]) * pace
        self.take_byte = np.array([cost.per_byte for cost in takes]) * pace
        self.home_fixed = np.array([cost.fixed for cost in homes]) * self.slowdown
        self.home_byte = np.array([cost.per_byte for cost in homes]) * self.slowdown
        self.request = pace * costs.request(source)


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

    def best(self, rooms: Rooms) -> list[Result]:
        """The best stages for each hiding that, as far as is known here, take no more memory than
        there is room.

        Only the soonest way to every cut and split is followed, also where one that is later takes
        less memory; so there may be no result though there is a plan."""
        strips = self._strips
        shape = len(self._cuts), len(strips.splits), len(strips.tables.devices)
        bests = [_Best.begin(hiding, room, *shape) for hiding, room in rooms.items()]
        for end in range(1, len(self._cuts)):
            self._best_stages(end, bests)
        gathered = self._gathered()
        found = []
        for best in bests:
            total = best.seconds[-1] + gathered
            split = int(np.argmin(total))
            if total[split] < np.inf:
                segments = self._segments(split, best)
                peak = best.occupied[-1, split] + best.maps[-1, split]
                found.append(Result(best.hiding, float(total[split]), segments, peak))
        return found

    def seconds_of(self, result: Result) -> list[tuple[Split, np.ndarray]]:
        """By stage of a result its split, and the estimated seconds of the split's devices, waiting
        for data included."""
        found = []
        order = {split: row for row, split in enumerate(self._strips.splits)}
        place = {name: column for column, name in enumerate(self._strips.tables.devices)}
        before, meanwhile = 0, np.zeros((1, len(place)))
        for segment in result.segments:
            row = order[segment.split]
            walk = _Walk.begin(len(order), len(place), is_weighed=False)
            for position in range(segment.stop - 1, segment.start - 1, -1):
                self._visit(position, segment.stop, walk)
            needs = self._kept(segment.start, segment.stop, walk.needs)
            moved = self._moved(needs, np.array([before]))
            computing = self._alone(walk)
            exchanging = self._exchanging(moved, result.hiding * meanwhile)
            seconds = (computing + exchanging[0])[row]
            found.append((segment.split, seconds[[place[name] for name in segment.split.devices]]))
            before, meanwhile = row, computing[row][None]
        return found

    def _segments(self, split: int, best: _Best) -> tuple[Segment, ...]:
        found: list[Segment] = []
        end = len(self._cuts) - 1
        while end > 0:
            start = int(best.starts[end, split])
            made = Segment(self._cuts[start], self._cuts[end], self._strips.splits[split])
            if found and len(made.split.devices) == 1 and made.split == found[-1].split:
                # One device alone recomputes nothing: one stage is as good as two.
                made = Segment(made.start, found.pop().stop, made.split)
            found.append(made)
            end, split = start, int(best.before[end, split])
        return tuple(reversed(found))

    def _best_stages(self, end: int, bests: Sequence[_Best]) -> None:
        """Find the best last stage of every split before cut ``end``."""
        count, stop = len(self._strips.splits), self._cuts[end]
        is_weighed = any(best.room is not None for best in bests)
        walk = _Walk.begin(count, len(self._strips.tables.devices), is_weighed)
        every = np.arange(count)
        position, fruitless = stop, 0
        for start in range(end - 1, max(-1, end - 1 - LONGEST_STAGE), -1):
            while position > self._cuts[start]:
                position -= 1
                self._visit(position, stop, walk)
            alone = self._alone(walk)
            least = alone.max(axis=1)
            if not any((least < best.seconds[end]).any() for best in bests):
                break  # Going further back only adds computing.
            # Whom it could help even if nothing had to travel.
            helped = [
                (best, best.ways(start))
                for best in bests
                if (best.seconds[start].min() + least < best.seconds[end]).any()
            ]
            fruitless = 0 if helped else fruitless + 1
            if fruitless > _PATIENCE:
                break
            if not helped:
                continue
            ways = np.unique(np.concatenate([own for _, own in helped]))
            needs = self._kept(self._cuts[start], stop, walk.needs)
            moved = self._moved(needs, ways)
            for best, own in helped:
                own_moved = moved.of(np.searchsorted(ways, own))
                meanwhile = best.hiding * best.computing[start, own]
                exchanging = self._exchanging(own_moved, meanwhile)
                total = best.seconds[start, own][:, None] + (alone[None] + exchanging).max(2)
                if best.room is not None:
                    occupied = best.occupied[start, own][:, None] + PACKING_FACTOR * walk.weights
                    occupied += own_moved.received + own_moved.sent
                    maps = self._nbytes(needs) + walk.made
                    maps = np.maximum(best.maps[start, own][:, None], maps)
                    total = np.where((occupied + maps <= best.room).all(2), total, np.inf)
                way = np.argmin(total, axis=0)
                better = total[way, every] < best.seconds[end]
                best.seconds[end, better] = total[way, every][better]
                best.starts[end, better] = start
                best.before[end, better] = own[way[better]]
                best.computing[end, better] = alone[better]
                if best.room is not None:
                    best.occupied[end, better] = occupied[way[better], better]
                    best.maps[end, better] = maps[way[better], better]

    def _kept(self, start: int, stop: int, needs: Mapping[str, Ends]) -> dict[str, Ends]:
        """What a stage needs and what others behind it do: it is taken to be laid out anew by every
        stage in between, for nobody knows here by whom it was made."""
        kept = dict(needs)
        for name, last in self._last_reader.items():
            if self._graph.producers[name] < start and last >= stop:
                held = self._strips.held(name)
                kept[name] = kept[name].hull(held) if name in kept else held
        return kept

    def _alone(self, walk: _Walk) -> np.ndarray:
        """Seconds of computing by split and device."""
        devices = self._devices
        return np.asarray(walk.seconds * devices.slowdown + walk.is_used * devices.overhead)

    def _nbytes(self, strips: Mapping[str, Ends]) -> np.ndarray:
        """Bytes of strips of tensors, by split and device."""
        total = np.zeros((len(self._strips.splits), len(self._strips.tables.devices)))
        for name, ends in strips.items():
            total += ends.sizes / self._strips.extents(name) * self._graph.tensors[name].nbytes
        return total

    def _visit(self, position: int, stop: int, walk: _Walk) -> None:
        strips, needs = self._strips, walk.needs
        for name in self._graph.nodes[position].outputs:
            if not name:
                continue
            if self._last_reader[name] >= stop:
                held = strips.held(name)
                needs[name] = needs[name].hull(held) if name in needs else held
                if walk.is_weighed:
                    walk.made += self._nbytes({name: held})
            wanted = needs.pop(name, None)
            if wanted is None:
                continue
            work, sizes = strips.work(name), wanted.sizes
            walk.seconds += work.seconds[strips.tables.kinds[None, :], work.starts + sizes]
            if walk.is_weighed:
                walk.weights += work.weights[work.starts + sizes]
            walk.is_used |= sizes > 0
            for read, ends in work.needed(wanted):
                needs[read] = needs[read].hull(ends) if read in needs else ends

    def _exchanging(self, moved: _Moved, meanwhile: np.ndarray) -> np.ndarray:
        """Seconds that devices wait for what they need, and spend on messages. ``meanwhile``: how
        long borders can travel unnoticed, by split before and device, if the tile is cut into them
        and the rest."""
        devices = self._devices
        sending = moved.leaving * devices.send_fixed + moved.sent * devices.send_byte
        last = devices.receive_fixed * (moved.arriving > 0)
        receiving = moved.arriving * devices.receive_fixed + moved.received * devices.receive_byte
        per_byte = devices.port_byte if devices.is_one_port else devices.source_byte
        waiting = (moved.arriving > 0) * devices.latency + (moved.scattered * per_byte)[None]
        travelling = moved.received * devices.per_byte_down
        if devices.is_shared:  # Nobody sends while another does.
            travelling = np.broadcast_to(travelling.sum(2, keepdims=True), travelling.shape)
        else:
            travelling = np.maximum(travelling, moved.sent * devices.per_byte_up)
        waiting = waiting + travelling + moved.handing
        if meanwhile.any():
            hidden = np.maximum(waiting - meanwhile[:, None], 0.0) + _PARTS * devices.overhead
            waiting = np.where(moved.is_border, np.minimum(waiting, hidden), waiting)
        # What has come first is taken in while the rest is on its way.
        return np.asarray(
            np.maximum(sending + receiving, np.maximum(sending, receiving) + last + waiting)
        )

    def _moved(self, needs: Mapping[str, Ends], ways: np.ndarray) -> _Moved:
        strips, devices = self._strips, self._devices
        shape = (len(ways), len(strips.splits), len(strips.tables.devices))
        received, arriving = np.zeros(shape), np.zeros(shape)
        sent, leaving = np.zeros(shape), np.zeros(shape)
        is_border = np.ones(shape, dtype=bool)
        scattered, handing = np.zeros((2, *shape[1:]))
        for name, wanted in needs.items():
            tensor, extents, sizes = self._graph.tensors[name], strips.extents(name), wanted.sizes
            part = sizes / extents
            if name not in self._graph.producers:
                nbytes, is_asked = part * tensor.nbytes, sizes > 0
                # The coordinator hands the source its part, too, and one after the other has it.
                each = is_asked * devices.hand_fixed + nbytes * devices.hand_byte
                handing += each.sum(1, keepdims=True)
                own = is_asked * devices.take_fixed + nbytes * devices.take_byte
                handing += np.where(devices.is_elsewhere, 0.0, own)
                handed = nbytes * devices.is_elsewhere
                # On one port who gets its part last waits until all are handed out.
                scattered += handed.sum(1, keepdims=True) if devices.is_one_port else handed
                arriving = np.maximum(arriving, (is_asked & devices.is_elsewhere)[None])
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
            is_border &= is_along & (more <= WIDEST_BORDER * part)
            touched = strips.touched(name, ways, wanted)
            others = np.where(is_along, touched, holders[:, None, None]) - (has[:, None] > 0)
            others = np.where(more > 0, np.maximum(others, 1), 0)
            received += more * tensor.nbytes
            arriving = np.maximum(arriving, others)
            sent += (more.sum(2) * tensor.nbytes)[:, :, None] * has[:, None]
            share = (has > 0) / holders[:, None]
            leaving = np.maximum(leaving, others.sum(2)[:, :, None] * share[:, None])
        return _Moved(received, arriving, sent, leaving, is_border, scattered, handing)

    def _gathered(self) -> np.ndarray:
        """Seconds until the source has the outputs, by split, and what it spends on any request."""
        strips, devices = self._strips, self._devices
        total = np.full(len(strips.splits), devices.request)
        for name in self._graph.outputs:
            if name in self._graph.producers:
                sizes = strips.held(name).sizes
                nbytes = sizes / strips.extents(name) * self._graph.tensors[name].nbytes
                one = nbytes * devices.source_byte + (sizes > 0) * devices.source_latency
                spent = (sizes > 0) * devices.home_fixed + nbytes * devices.home_byte
                taken = (sizes > 0) * devices.take_fixed + nbytes * devices.take_byte
                total += (one + spent).max(1) + taken.sum(1)
        return total
