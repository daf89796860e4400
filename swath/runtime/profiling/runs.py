"""Runs of layers of one size, for operators that move data rather than compute.

What they take depends on what lies in the cache, and that on the maps before them and on which
memory a map is given. In a run of maps of one size both are settled: each map takes the memory of
the one before the last.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from swath.cost.features import CHANNEL_BLOCK
from swath.runtime.profiling.layers import Layers, Value
from swath.runtime.profiling.shapes import channels_of, height_of, side_of

LENGTH = 3


LEAST = 1 << 14
"""Entries of a map: of fewer the clock says little."""


def _start(rng: random.Random, least: int = 7, most: int = 224) -> tuple[Layers, Value]:
    """A map of some size, or a slab of one."""
    while True:
        side = side_of(rng, least, most)
        channels, height = channels_of(rng, side), height_of(rng, side)
        if channels * height * side >= LEAST:
            layers = Layers(1, channels, height, side)
            return layers, layers.input


def _orders(rng: random.Random) -> Layers:
    """To and fro between pools, which work on blocks of channels, and what does not."""
    layers, value = _start(rng)
    for _ in range(LENGTH):
        value = layers.same("Abs", layers.pool(value, 3, 1))
    return layers


def _heads(rng: random.Random) -> Layers:
    """Maps whose channels fill no blocks (boxes, classes, colours), from ones that do and back."""
    while True:
        _, like = _start(rng, 7, 160)
        _, _, height, side = like.shape
        few = rng.choice((1, 2, 3, 10, 21) if side > 40 else (21, 85, 125, 255, 425, 1000))
        full = -(-few // CHANNEL_BLOCK) * CHANNEL_BLOCK
        # No more weights than a map has entries: they would push maps out of the cache.
        if full <= height * side and few * height * side >= LEAST:
            break
    layers = Layers(1, full, height, side)
    value = layers.same("Abs", layers.conv(layers.input, few, 1))
    for _ in range(LENGTH):
        value = layers.same("Abs", layers.conv(layers.conv(value, full, 1), few, 1))
    return layers


def _pools(rng: random.Random) -> Layers:
    layers, value = _start(rng)
    kind = rng.choice(("MaxPool", "AveragePool"))
    for _ in range(LENGTH):
        value = layers.pool(value, rng.choice((3, 3, 5)), 1, kind)
    return layers


def _filters(rng: random.Random) -> Layers:
    layers, value = _start(rng, 7, 160)
    kernel = rng.choice((3, 3, 5, 7))
    for _ in range(LENGTH):
        value = layers.same("Relu", layers.depthwise(value, kernel))
    return layers


def _halved(rng: random.Random) -> Layers:
    """Made twice as large and half as large again."""
    layers, value = _start(rng, 7, 112)
    kind, mode = rng.choice(("MaxPool", "AveragePool")), rng.choice(("nearest", "linear"))
    kernel = rng.choice((2, 3))
    value = layers.pool(value, 3, 1)
    for _ in range(LENGTH):
        value = layers.pool(layers.enlarged(value, mode), kernel, 2, kind)
    return layers


def _plain_pools(rng: random.Random) -> Layers:
    """Channels that fill no blocks are pooled in their plain order."""
    _, like = _start(rng, 7, 112)
    _, channels, height, side = like.shape
    layers = Layers(1, channels + rng.choice((-8, -4, 4, 8)), height, side)
    value, kind = layers.input, rng.choice(("MaxPool", "AveragePool"))
    for _ in range(LENGTH):
        value = layers.pool(value, 3, 1, kind)
    return layers


def _means(rng: random.Random) -> Layers:
    """Gates: a mean of each channel, by which it is multiplied."""
    layers, value = _start(rng, 7, 160)
    value = layers.pool(value, 3, 1)
    for _ in range(LENGTH):
        value = layers.same("Mul", value, layers.global_pool(value))
    return layers


def _reductions(rng: random.Random) -> Layers:
    layers, value = _start(rng, 7, 160)
    kind = rng.choice(("ReduceMean", "ReduceMean", "ReduceMax", "ReduceSum"))
    for _ in range(LENGTH):
        value = layers.same("Mul", value, layers.reduced(kind, value))
    return layers


def _chances(rng: random.Random) -> Layers:
    """Classes of a picture."""
    return _likely(Layers(1, int(2 ** rng.uniform(8, 14))))


def _labels(rng: random.Random) -> Layers:
    """Classes of each entry of a map."""
    side = side_of(rng, 14, 80)
    return _likely(Layers(1, rng.choice((2, 5, 10, 21, 40, 80)), side, side))


def _likely(layers: Layers) -> Layers:
    value = layers.input
    for _ in range(LENGTH):
        value = layers.same("Softmax", value, axis=1)
    return layers


def _scaled(rng: random.Random) -> Layers:
    layers, value = _start(rng)
    for _ in range(LENGTH):
        value = layers.batch_norm(layers.pool(value, 3, 1))
    return layers


def _activations(rng: random.Random) -> Layers:
    layers, value = _start(rng)
    kind = rng.choice(("Relu", "LeakyRelu", "HardSigmoid"))
    for _ in range(LENGTH):
        value = layers.same(kind, layers.same("Neg", value))
    return layers


def _functions(rng: random.Random) -> Layers:
    """Functions of an entry that are more than a comparison."""
    layers, value = _start(rng, 7, 160)
    kinds = ("Sigmoid", "Tanh", "Exp", "Elu", "Softplus", "Erf", "Sigmoid")
    for kind in rng.sample(kinds, LENGTH):
        value = layers.same(kind, layers.same(kind, value))
    return layers


def _silus(rng: random.Random) -> Layers:
    layers, value = _start(rng, 7, 160)
    for _ in range(LENGTH):
        value = layers.pool(value, 3, 1)
        value = layers.same("Mul", value, layers.same("Sigmoid", value))
    return layers


def _sums(rng: random.Random) -> Layers:
    layers, value = _start(rng)
    for kind in rng.sample(("Mul", "Add", "Sub", "Add", "Max"), LENGTH):
        value = layers.same(kind, value, layers.input)
    return layers


def _joined(rng: random.Random) -> Layers:
    """Two or three maps side by side, in turns."""
    layers, value = _start(rng, 7, 112)
    if rng.random() < 0.5:
        value = layers.pool(value, 3, 1)
    other = layers.same("Neg", value)
    pairs = rng.choice(
        (
            ((value, other), (other, value), (value, value)),
            ((value, other, value), (other, value, value), (value, value, other)),
        )
    )
    first, second, third = (layers.concat(*pair) for pair in pairs)
    layers.same("Add", layers.same("Add", first, second), third)
    return layers


def _cuts(rng: random.Random) -> Layers:
    """Rows cut off, as tiles do where convolutions and their shortcuts meet."""
    layers, value = _start(rng)
    rows = max(1, value.shape[2] - 2)
    parts = [layers.cut(value, begin, rows) for begin in range(value.shape[2] - rows + 1)]
    total = parts[0]
    for part in parts[1:]:
        total = layers.same("Add", total, part)
    return layers


def _stems(rng: random.Random) -> Layers:
    """First convolutions of networks: they read a picture as it is."""
    side = side_of(rng, 64)
    layers = Layers(1, 3, height_of(rng, side, 16), side)
    value = layers.same("Abs", layers.input)
    for _ in range(LENGTH):
        least = min(value.shape[2:])
        sizes = [size for size in ((3, 1), (3, 2), (5, 2), (7, 2), (11, 4)) if size[0] <= least]
        kernel, stride = rng.choice(sizes)
        value = layers.conv(value, rng.choice((16, 24, 32, 48, 64, 64)), kernel, stride)
        value = layers.conv(layers.same("Relu", value), 3, 1)
    return layers


def _shuffled(rng: random.Random) -> Layers:
    layers, value = _start(rng, 7, 112)
    groups = rng.choice([groups for groups in (2, 3, 4, 8) if value.channels % groups == 0])
    for _ in range(LENGTH):
        value = layers.shuffled(value, groups)
    return layers


def _rearranged(rng: random.Random) -> Layers:
    """Space to channels and back."""
    _, like = _start(rng, 8, 112)
    layers = Layers(1, like.channels, *(extent + extent % 2 for extent in like.shape[2:]))
    value = layers.input
    for _ in range(LENGTH):
        value = layers.depth_to_space(layers.space_to_depth(value))
    return layers


RUNS: tuple[Callable[[random.Random], Layers], ...] = (
    _orders, _pools, _stems, _halved, _means, _scaled, _activations, _filters, _sums, _joined,
    _cuts, _silus, _functions, _reductions, _chances, _rearranged, _shuffled, _heads, _plain_pools,
    _halved, _functions, _joined, _cuts, _pools, _labels, _plain_pools, _orders, _scaled,
    _reductions, _heads, _stems, _filters, _activations, _rearranged, _orders, _plain_pools,
    _reductions, _means, _silus, _orders, _joined, _activations, _plain_pools, _reductions,
    _shuffled, _stems, _heads, _activations, _filters, _labels, _labels,
)  # fmt: skip
"""In the order in which they are drawn."""

LAYOUT_RUNS = (_orders, _heads)
"""Those in which maps change their layout again and again."""
