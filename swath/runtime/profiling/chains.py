"""The chains that are timed while others load the CPU: one layer again and again, per family.

By the clock, as a whole: what single kernels take is chance where the scheduler gives and takes the
CPU in slices longer than they are.
"""

from __future__ import annotations

from collections.abc import Callable

from swath.runtime.profiling.layers import Layers
from swath.runtime.profiling.tiles import EVERYWHERE, TimedTile, whole_tile

LENGTH = 6
EDGE = "edge"
"""The chain in which maps change their layout."""


def draw_chain(name: str) -> TimedTile:
    """The chain of this name, one of `CHAINS`."""
    graph = CHAINS[name]().graph()
    return whole_tile(graph) if name == EDGE else whole_tile(graph, EVERYWHERE)


def _convolutions(channels: int, side: int, kernel: int) -> Callable[[], Layers]:
    def build() -> Layers:
        layers = Layers(1, channels, side, side)
        value = layers.input
        for _ in range(LENGTH):
            value = layers.same("Relu", layers.conv(value, channels, kernel))
        return layers

    return build


def _depthwise() -> Layers:
    layers = Layers(1, 192, 28, 28)
    value = layers.input
    for _ in range(LENGTH):
        value = layers.same("Relu", layers.depthwise(value, 3))
    return layers


def _dense() -> Layers:
    layers = Layers(1, 1024)
    value = layers.input
    for _ in range(LENGTH):
        value = layers.linear(value, 1024)
    return layers


def _pooling() -> Layers:
    layers = Layers(1, 128, 28, 28)
    value = layers.input
    for _ in range(LENGTH):
        value = layers.pool(value, 3, 1)
    return layers


def _reduction() -> Layers:
    layers = Layers(1, 64, 28, 28)
    value = layers.input
    for _ in range(LENGTH):
        value = layers.same("Mul", value, layers.global_pool(value))
    return layers


def _elementwise() -> Layers:
    layers = Layers(1, 128, 28, 28)
    value = layers.input
    for _ in range(LENGTH):
        value = layers.same("Add", layers.same("Mul", value, layers.input), layers.input)
    return layers


def _movement() -> Layers:
    layers = Layers(1, 64, 28, 28)
    value = layers.input
    for _ in range(LENGTH):
        value = layers.concat(value, layers.input)
    return layers


def _transposed() -> Layers:
    layers = Layers(1, 32, 28, 28)
    value = layers.input
    for _ in range(LENGTH // 2):
        value = layers.transposed(value, 32, 3, 1)
    return layers


def _edges() -> Layers:
    """Convolutions work on the blocked layout, an absolute value only on the plain one."""
    layers = Layers(1, 64, 28, 28)
    value = layers.input
    for _ in range(LENGTH):
        value = layers.same("Abs", layers.conv(value, 64, 1))
    return layers


CHAINS: dict[str, Callable[[], Layers]] = {
    "convolution-3": _convolutions(96, 28, 3),
    "depthwise": _depthwise,
    "dense": _dense,
    "pooling": _pooling,
    "elementwise": _elementwise,
    "movement": _movement,
    "reduction": _reduction,
    EDGE: _edges,
    "transposed": _transposed,
    "convolution-1": _convolutions(256, 14, 1),
    "convolution-narrow": _convolutions(24, 56, 3),
    "convolution-deep": _convolutions(384, 7, 3),
}
"""By name."""
