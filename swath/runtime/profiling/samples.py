"""From timed kernels to samples: which operator a kernel computes, and what that one is like."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from swath.cluster.profile import Sample
from swath.cost.features import EDGE, FREE, Features, describe, edge, family
from swath.ops import Operator, Region
from swath.runtime.profiling.kernels import Kernel
from swath.runtime.profiling.networks import TimedTile

FLOAT_BYTES = 4

SHORTEST = 4e-6
"""Kernels that take less are left out: too short for a clock of whole microseconds."""

_REORDERINGS = frozenset(["ReorderInput", "ReorderOutput"])

_COSTLY = frozenset(["Clip", "LeakyRelu", "HardSwish", "HardSigmoid", "Sigmoid", "Tanh", "Add"])
"""What a convolution's kernel may do on the way out for a price; a Relu is free."""


@dataclass(frozen=True, slots=True)
class Timing:
    """A kernel's time, and what it computes."""

    family: str
    shape: str
    features: Features
    seconds: float

    def sample(self, load: float = 0.0, slowdown: float = 1.0) -> Sample:
        """``slowdown``: how much longer it took under the load than without."""
        f = self.features
        return Sample(
            self.family, self.shape, f.flops, f.read, f.written, f.weights, f.kernel, f.channels,
            f.width, round(load, 4), float(f"{self.seconds * slowdown:.4g}"),
        )  # fmt: skip


def timings(tile: TimedTile, kernels: Iterable[Kernel]) -> list[Timing]:
    """What the kernels of a tile's session took, by what they compute."""
    graph = tile.graph
    names = {node.name: position for position, node in enumerate(graph.nodes)}
    names.update(graph.producers)
    edges = []
    by_node: dict[int, float] = {}
    for kernel in kernels:
        if kernel.operator in _REORDERINGS:
            features = edge(Region.whole(kernel.shape), FLOAT_BYTES)
            text = _text(kernel.operator, kernel.shape)
            edges.append(Timing(EDGE, text, features, kernel.seconds))
            continue
        position = _position(kernel, names)
        if position is not None and "Conv" in kernel.operator:
            position = _convolution(tile, position)
        if position is not None:
            by_node[position] = by_node.get(position, 0.0) + kernel.seconds
    found = edges + [_timing(tile, position, seconds) for position, seconds in by_node.items()]
    return [timing for timing in found if timing.family != FREE and timing.seconds >= SHORTEST]


def _timing(tile: TimedTile, position: int, seconds: float) -> Timing:
    op, demand = tile.graph.operators[position], tile.geometry.demands[position]
    flops = tile.graph.rules[position].flops(op, demand.outputs)
    made = next((region.shape for region in demand.outputs if region is not None), ())
    return Timing(family(op), _text(_said(op), made), describe(op, flops, demand), seconds)


def _position(kernel: Kernel, names: Mapping[str, int]) -> int | None:
    """The node whose name, or whose output's name, the kernel's name begins with."""
    said = kernel.name.removeprefix("fused ")
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
        shape = op.inputs[0].shape
        parts.append(f"from {shape[1] if len(shape) > 1 else shape[0]}")
    return " ".join(parts)


def _text(what: str, made: Iterable[int]) -> str:
    return f"{what} to {'x'.join(map(str, tuple(made)[1:]))}"
