"""Costs from profiles: what was measured of each device, at the CPU load that it has now."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from swath.cluster.cluster import Cluster
from swath.cluster.profile import DeviceProfile, MessageSample
from swath.cost.cost import NO_COOLING, TILE_OVERHEAD, Cooling, Costs, MessageCost, Quota
from swath.cost.curves import Curves
from swath.cost.fcpm import fitted
from swath.cost.features import (
    BLOCKING,
    CONVOLUTION,
    UNBLOCKING,
    Features,
)
from swath.cost.kernels import Work, cuts_of, work_of
from swath.cost.parametric import HIGHEST_LOAD, relative_fit
from swath.graph.geometry import TileGeometry
from swath.graph.graph import Graph
from swath.ops import Demand, Region

SEND, RECEIVE = "send", "receive"
SEND_WITHIN, RECEIVE_WITHIN = "send-within", "receive-within"

_TYPICAL = ((64, 56), (128, 28), (256, 14))
"""Channels and side of the 3 x 3 convolutions that a device's speed is told by."""


class ProfiledDevice:
    """What a profile says of one device, ready to be asked."""

    def __init__(
        self, profile: DeviceProfile, load: float = 0.0, refill: float | None = None
    ) -> None:
        """``load``: share of the CPU that others use now; ``refill`` as in `Curves`."""
        model = fitted(profile.samples, tuple(sorted(profile.chosen.items())))
        self.curves = Curves(model, load, refill)
        self.slowdown = float(model.stretch_.of(min(load, HIGHEST_LOAD)))
        self.overhead = profile.overhead * self.slowdown
        self.copy = profile.copy * self.slowdown
        self.request = profile.request * self.slowdown
        self.speed = _speed(self.curves)
        self.sending = self._message(profile, SEND)
        self.receiving = self._message(profile, RECEIVE)
        # Memory that both ends share takes a fraction of what a network takes of the CPU. Whoever
        # was profiled from elsewhere has no figures of it.
        self.sending_within = self._message(profile, SEND_WITHIN) or self.sending
        self.receiving_within = self._message(profile, RECEIVE_WITHIN) or self.receiving

    def _message(self, profile: DeviceProfile, side: str) -> MessageCost | None:
        found = message_cost([sample for sample in profile.messages if sample.side == side])
        if found is None:
            return None
        return MessageCost(found.fixed * self.slowdown, found.per_byte * self.slowdown)


@dataclass(frozen=True)
class ProfiledCosts(Costs):
    """Costs of a cluster some of whose devices have profiles; the others go by their ``gflops``.

    ``overhead`` is the mean of what tiles of profiled devices take besides their operators.
    """

    profiled: Mapping[str, ProfiledDevice] = field(default_factory=dict)
    quotas: Mapping[str, Quota] = field(default_factory=dict)
    coolings: Mapping[str, Cooling] = field(default_factory=dict)

    def sending(self, device: str, receiver: str | None = None) -> MessageCost:
        known = self.profiled.get(device)
        found = known and (known.sending_within if receiver == device else known.sending)
        return found or super().sending(device, receiver)

    def receiving(self, device: str, sender: str | None = None) -> MessageCost:
        known = self.profiled.get(device)
        found = known and (known.receiving_within if sender == device else known.receiving)
        return found or super().receiving(device, sender)

    def copy(self, device: str, nbytes: int) -> float:
        known = self.profiled.get(device)
        return super().copy(device, nbytes) if known is None else nbytes * known.copy

    def request(self, device: str) -> float:
        known = self.profiled.get(device)
        return super().request(device) if known is None else known.request

    def cooling(self, device: str) -> Cooling:
        return self.coolings.get(device, NO_COOLING)

    def quota(self, device: str) -> Quota | None:
        return self.quotas.get(device)

    def speed(self, device: str) -> float:
        """FLOP/s of a device; of a profiled one on typical convolutions, at its load."""
        known = self.profiled.get(device)
        return super().speed(device) if known is None else known.speed

    def kind(self, device: str) -> Hashable:
        known = self.profiled.get(device)
        return super().kind(device) if known is None else id(known)

    def node(self, device: str, graph: Graph, position: int, demand: Demand) -> float:
        """One node's part, with what its engine fuses when the whole graph is one tile."""
        known = self.profiled.get(device)
        if known is None:
            return super().node(device, graph, position, demand)
        share = graph.recall(_unsplit).shares.get(position, 1.0)
        if not share:
            return 0.0
        return share * known.curves.seconds(graph.operators[position], demand, graph.weight_bytes)

    def least(self, device: str, graph: Graph, position: int, covered: float) -> float:
        known = self.profiled.get(device)
        if known is None:
            return super().least(device, graph, position, covered)
        share = graph.recall(_unsplit).shares.get(position, 1.0)
        return share * known.curves.least(graph.operators[position], graph.weight_bytes)

    def tile(self, device: str, graph: Graph, geometry: TileGeometry) -> float:
        """One tile, alone on its device: its kernels, fused as the engine fuses them, and the
        reordering of maps between them and at its edges."""
        known = self.profiled.get(device)
        if known is None:
            return super().tile(device, graph, geometry)
        cuts = cuts_of(graph, geometry)
        work = graph.recall(work_of, tuple(geometry.demands), cuts)
        away = graph.weight_bytes
        seconds = known.overhead
        for position, demand in geometry.demands.items():
            op = graph.operators[position]
            share = work.shares.get(position, 1.0)
            if share:
                seconds += share * known.curves.seconds(op, demand, away)
        for kind, names in ((BLOCKING, work.entering), (UNBLOCKING, work.leaving)):
            for name in names:
                region = _held(graph, geometry, name)
                if region is not None:
                    seconds += known.curves.reordering(kind, graph.tensors[name], region)
        for position, name in cuts:
            index = graph.nodes[position].reads.index(name)
            region = geometry.demands[position].inputs[index]
            if region is not None:
                seconds += known.curves.cutting(graph.tensors[name], region)
        return seconds


def _unsplit(graph: Graph) -> Work:
    """What the engine does of the whole graph as one tile."""
    return work_of(graph, range(len(graph.nodes)))


def costs_for(
    cluster: Cluster,
    profiles: Mapping[str, DeviceProfile],
    loads: Mapping[str, float] | None = None,
    quotas: Mapping[str, Quota] | None = None,
    coolings: Mapping[str, Cooling] | None = None,
) -> ProfiledCosts:
    """Costs of a cluster. ``profiles``: by device; ``loads``: share of a device's CPU that others
    use now (0 where not named); ``quotas``: of devices that the kernel rations; ``coolings``: what
    pauses cost them, where that is known."""
    loads, quotas, coolings = loads or {}, quotas or {}, coolings or {}

    def refill(name: str) -> float | None:
        is_stopped = name in quotas and quotas[name].share < 1
        return coolings.get(name, NO_COOLING).refill if is_stopped else None

    # Devices of one profile, as a lab's are, share their curves.
    keys = {
        name: (id(profile), loads.get(name, 0.0), refill(name))
        for name, profile in profiles.items()
    }
    known = {keys[name]: ProfiledDevice(profiles[name], *keys[name][1:]) for name in profiles}
    profiled = {name: known[key] for name, key in keys.items()}
    overheads = [device.overhead for device in profiled.values()]
    return ProfiledCosts(
        cluster,
        overhead=float(np.mean(overheads)) if overheads else TILE_OVERHEAD,
        profiled=profiled,
        quotas=quotas,
        coolings=coolings,
    )


def message_cost(samples: Sequence[MessageSample]) -> MessageCost | None:
    """The line through message times, small in relative error, neither part negative; None where
    nothing was measured."""
    if not samples:
        return None
    terms = np.array([[1.0, float(sample.nbytes)] for sample in samples])
    fixed, per_byte = relative_fit(terms, np.array([sample.seconds for sample in samples]))
    return MessageCost(float(fixed), float(per_byte))


def _speed(curves: Curves) -> float:
    features = []
    for channels, side in _TYPICAL:
        entries = channels * side * side
        features.append(
            Features(
                2.0 * 9 * channels * entries, 4.0 * entries, 4.0 * entries,
                4.0 * 9 * channels * channels, 9.0, float(channels), float(side),
            )
        )  # fmt: skip
    seconds = curves.model.predict(CONVOLUTION, features, curves.load)
    return float(sum(feature.flops for feature in features) / seconds.sum())


def _held(graph: Graph, geometry: TileGeometry, name: str) -> Region | None:
    """What a tile holds of a tensor: is given, or makes."""
    if name in geometry.needs:
        return geometry.needs[name]
    position = graph.producers[name]
    return geometry.demands[position].outputs[graph.nodes[position].outputs.index(name)]
