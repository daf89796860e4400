"""From timed kernels to samples: which operator a kernel computes, and what that one is like."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from swath.cluster.profile import Sample
from swath.cost.features import (
    BLOCKING,
    CUTTING,
    NEAR,
    UNBLOCKING,
    Features,
    describe,
    family,
    moving,
)
from swath.graph.graph import Graph
from swath.ops import Operator, Region
from swath.runtime.profiling.kernels import Kernel
from swath.runtime.profiling.tiles import TimedTile

FLOAT_BYTES = 4

SHORTEST = 4e-6
"""Kernels that take less are left out: too short for a clock of whole microseconds."""

_MOVING = {"ReorderInput": BLOCKING, "ReorderOutput": UNBLOCKING, "Slice": CUTTING}
"""Kernels that an engine or a tile puts between operators, which only move a map."""

_CROP = "crop "
"""What the names of a tile's own slices begin with."""

_SILU = "QuickGelu"
"""The kernel of a SiLU, which bears the name of its Mul; what takes the time is its Sigmoid."""

_COSTLY = frozenset(["Clip", "LeakyRelu", "HardSwish", "HardSigmoid", "Sigmoid", "Tanh", "Add"])
"""What a convolution's kernel may do on the way out for a price; a Relu is free."""


def rounded(value: float) -> float:
    """To four digits; no figure is known better."""
    return float(f"{value:.4g}")


@dataclass(frozen=True, slots=True)
class Timing:
    """A kernel's time, and what it computes."""

    family: str
    shape: str
    features: Features
    seconds: float

    def sample(self, load: float = 0.0, slowdown: float = 1.0, away: float = NEAR) -> Sample:
        """``slowdown``: how much longer it took under the load than without; ``away``: bytes
        that are read between two runs."""
        f = self.features
        return Sample(
            self.family, self.shape, f.flops, f.read, f.written, f.weights, f.kernel, f.channels,
            f.width, round(away), round(load, 4), rounded(self.seconds * slowdown),
        )  # fmt: skip


def timings(tile: TimedTile, kernels: Sequence[Kernel]) -> list[Timing]:
    """What the kernels of a tile's session took, by what they compute.

    The first is left out: it finds neither its code nor its data in a cache, which is the tile's
    overhead rather than its own time. Kernels of one shape count as one, the mean of all: where in
    memory a map comes to lie, and what is in the cache of it, is chance.
    """
    graph = tile.graph
    names = {node.name: position for position, node in enumerate(graph.nodes)}
    names.update(graph.producers)
    moves = []
    by_node: dict[int, float] = {}
    for kernel in kernels[1:]:
        said = kernel.name.removeprefix("fused ")
        kind = _MOVING.get(kernel.operator)
        if kind is not None and (kind != CUTTING or said.startswith(_CROP)):
            features = moving(kind, Region.whole(kernel.shape), FLOAT_BYTES)
            text = _text(kernel.operator, kernel.shape)
            moves.append(Timing(kind, text, features, kernel.seconds))
            continue
        position = _position(said, names)
        if position is not None and "Conv" in kernel.operator:
            position = _convolution(tile, position)
        elif position is not None and kernel.operator == _SILU:
            position = _sigmoid(graph, position)
        if position is not None:
            by_node[position] = by_node.get(position, 0.0) + kernel.seconds
    found = moves + [_timing(tile, position, seconds) for position, seconds in by_node.items()]
    alike: dict[tuple[str, str], list[Timing]] = {}
    for timing in found:
        if timing.family in tile.families:
            alike.setdefault((timing.family, timing.shape), []).append(timing)
    means = (replace(of[0], seconds=fmean(t.seconds for t in of)) for of in alike.values())
    return [timing for timing in means if timing.seconds >= SHORTEST]


def _timing(tile: TimedTile, position: int, seconds: float) -> Timing:
    op, demand = tile.graph.operators[position], tile.geometry.demands[position]
    flops = tile.graph.rules[position].flops(op, demand.outputs)
    made = next((region.shape for region in demand.outputs if region is not None), ())
    return Timing(family(op), _text(_said(op), made), describe(op, flops, demand), seconds)


def _position(said: str, names: Mapping[str, int]) -> int | None:
    """The node whose name, or whose output's name, a kernel's name begins with."""
    fitting = [name for name in names if said.startswith(name)]
    return names[max(fitting, key=len)] if fitting else None


def _convolution(tile: TimedTile, position: int) -> int | None:
    """The convolution whose kernel took in what follows it, up to this node; None where that takes
    time of its own, which is not the convolution's."""
    graph = tile.graph
    while graph.nodes[position].type == "Relu":
        position = graph.producers[graph.nodes[position].inputs[0]]
    followers = graph.consumers.get(graph.nodes[position].outputs[0], ())
    is_alone = len(followers) != 1 or graph.nodes[followers[0]].type not in _COSTLY
    return position if is_alone and graph.nodes[position].type not in _COSTLY else None


def _sigmoid(graph: Graph, position: int) -> int:
    """The Sigmoid of the SiLU whose Mul this is."""
    makers = (graph.producers.get(name, position) for name in graph.nodes[position].inputs)
    return next((maker for maker in makers if graph.nodes[maker].type == "Sigmoid"), position)


def _said(op: Operator) -> str:
    """An operator in short: ``Conv 3x3/2 g32``."""
    parts = [op.type]
    window = op.integers("kernel_shape")
    if window:
        strides = op.integers("strides")
        stride = f"/{max(strides)}" if strides and max(strides) > 1 else ""
        parts.append("x".join(map(str, window)) + stride)
    groups = int(op.attribute("group", 1))
    if groups > 1:
        parts.append(f"g{groups}")
    if op.inputs and op.inputs[0] is not None and op.inputs[0].shape is not None:
        parts.append("from " + "x".join(map(str, op.inputs[0].shape[1:])))
    return " ".join(parts)


def _text(what: str, made: Sequence[int]) -> str:
    several = f", {made[0]} at once" if made and made[0] > 1 else ""
    return f"{what} to {'x'.join(map(str, made[1:]))}{several}"
