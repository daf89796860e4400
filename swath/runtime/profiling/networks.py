"""The networks whose kernels are timed: short runs of layers as CNNs have them, of many shapes.

Kernels are timed in context, inside tiles as workers run them, fused as they are fused there.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from swath.runtime.profiling.layers import Layers, Value
from swath.runtime.profiling.shapes import blocks, channels_of, side_of

_MOST_WEIGHTS = 1 << 24
"""Of a matrix: 64 MB."""


def _start(rng: random.Random, least: int = 7, most: int = 224) -> tuple[Layers, Value]:
    """A network on a map of some size."""
    side = side_of(rng, least, most)
    layers = Layers(1, channels_of(rng, side), side, side)
    return layers, layers.input


def _start_narrow(rng: random.Random, least: int, most: int) -> tuple[Layers, Value]:
    """As light networks begin, whose channels are but multiples of 8."""
    side = side_of(rng, least, most)
    channels = channels_of(rng, side)
    layers = Layers(1, channels - 8 if rng.random() < 0.3 else channels, side, side)
    return layers, layers.input


def _plain(rng: random.Random) -> Layers:
    layers, value = _start(rng)
    for kernel in (3, rng.choice((1, 3, 5)), 3):
        channels = blocks(min(768, value.channels * rng.choice((0.5, 1, 1, 2))))
        value = layers.same("Relu", layers.conv(value, channels, kernel))
    if value.side >= 14:
        layers.pool(value, 2, 2)
    return layers


def _residual(rng: random.Random) -> Layers:
    layers, value = _start(rng, 7, 112)
    inner = layers.same("Relu", layers.conv(value, value.channels, 3))
    value = layers.same("Add", layers.conv(inner, value.channels, 3), value)
    value = layers.same("Relu", value)
    channels = min(768, value.channels * 2)
    layers.same("Relu", layers.conv(value, channels, rng.choice((1, 3)), rng.choice((1, 2))))
    return layers


def _bottleneck(rng: random.Random) -> Layers:
    layers, value = _start(rng, 7, 80)
    narrow = blocks(value.channels / 4)
    stride = 2 if value.side % 2 == 0 else 1
    inner = layers.same("Relu", layers.conv(value, narrow, 1))
    inner = layers.same("Relu", layers.conv(inner, narrow, 3, stride))
    inner = layers.conv(inner, value.channels, 1)
    short = layers.conv(value, value.channels, 1, stride)
    layers.same("Relu", layers.same("Add", inner, short))
    return layers


def _inverted(rng: random.Random) -> Layers:
    layers, value = _start_narrow(rng, 7, 160)
    narrow = blocks(value.channels / rng.choice((2, 4, 6)), 8)
    kernel = rng.choice((3, 3, 5, 7))
    activation = rng.choice(("Relu", "Relu", "Relu", "HardSwish"))
    for stride in (1, 2):
        wide = layers.same(activation, layers.conv(value, value.channels * 2, 1))
        wide = layers.same(activation, layers.depthwise(wide, kernel, stride))
        value = layers.conv(wide, narrow if stride == 2 else value.channels, 1)
    return layers


def _separable(rng: random.Random) -> Layers:
    layers, value = _start_narrow(rng, 7, 160)
    for stride in (1, 2, 1):
        value = layers.same("Relu", layers.depthwise(value, rng.choice((3, 5)), stride))
        value = layers.same("Relu", layers.conv(value, min(1024, value.channels * stride), 1))
    return layers


def _branches(rng: random.Random) -> Layers:
    layers, value = _start(rng, 7, 56)
    parts = []
    for kernel in (1, 3, 5):
        reduced = layers.same("Relu", layers.conv(value, max(16, blocks(value.channels / 4)), 1))
        parts.append(
            layers.same("Relu", layers.conv(reduced, channels_of(rng, value.side), kernel))
        )
    kind = rng.choice(("MaxPool", "AveragePool"))
    parts.append(
        layers.conv(layers.pool(value, 3, 1, kind), max(16, blocks(value.channels / 8)), 1)
    )
    layers.pool(layers.concat(*parts), 3, 2, rng.choice(("MaxPool", "AveragePool")))
    return layers


def _stem(rng: random.Random) -> Layers:
    kernel, stride = rng.choice(((3, 1), (3, 2), (5, 2), (7, 2), (11, 4)))
    side = side_of(rng, 96)
    layers = Layers(1, 3, side, side)
    value = layers.same("Relu", layers.conv(layers.input, rng.choice((16, 32, 64)), kernel, stride))
    layers.pool(value, *rng.choice(((3, 2), (2, 2))))
    return layers


def _dense_block(rng: random.Random) -> Layers:
    layers, value = _start(rng, 7, 80)
    growth = rng.choice((16, 32, 48))
    for _ in range(2):
        inner = layers.same("Relu", layers.batch_norm(value))
        inner = layers.same("Relu", layers.conv(inner, 4 * growth, 1))
        value = layers.concat(value, layers.conv(inner, growth, 3))
    value = layers.same("Relu", layers.batch_norm(value))
    layers.pool(layers.conv(value, blocks(value.channels / 2), 1), 2, 2, "AveragePool")
    return layers


def _squeeze_excite(rng: random.Random) -> Layers:
    layers, value = _start_narrow(rng, 7, 112)
    activation = rng.choice(("Relu", "HardSwish"))
    value = layers.same(activation, layers.depthwise(value, rng.choice((3, 5))))
    gate = layers.same(
        "Relu", layers.conv(layers.global_pool(value), blocks(value.channels / 4, 8), 1)
    )
    gate = layers.same("HardSigmoid", layers.conv(gate, value.channels, 1))
    value = layers.same("Mul", value, gate)
    layers.conv(value, channels_of(rng, value.side), 1)
    return layers


def _head(rng: random.Random) -> Layers:
    layers, value = _start(rng, 7, 28)
    value = layers.same("Relu", layers.conv(value, value.channels, 1))
    value = layers.flatten(layers.global_pool(value))
    for _ in range(3):
        value = layers.linear(value, rng.choice((256, 512, 1000, 1024, 1536, 2048, 3072)))
        value = layers.same("Relu", value)
    layers.same("Softmax", value)
    return layers


def _wide_head(rng: random.Random) -> Layers:
    """The matrices of old networks, larger than any core's own cache."""
    side = rng.choice((3, 4, 5, 6, 7))
    layers = Layers(1, rng.choice((64, 128, 256, 512)), 2 * side, 2 * side)
    value = layers.flatten(layers.pool(layers.input, 2, 2))
    most = _MOST_WEIGHTS // value.channels
    features = max(256, min(rng.choice((512, 1024, 2048, 4096)), most))
    value = layers.same("Relu", layers.linear(value, features))
    value = layers.same("Relu", layers.linear(value, rng.choice((512, 1024, 2048, 4096))))
    layers.linear(value, rng.choice((10, 100, 1000)))
    return layers


def _several(rng: random.Random) -> Layers:
    """Several pictures at once: what reads weights for one may compute for all."""
    layers = Layers(rng.choice((2, 3, 4, 8, 16, 32)), rng.choice((256, 512, 1024, 2048)))
    value = layers.input
    for _ in range(2):
        value = layers.linear(value, rng.choice((100, 256, 512, 1000, 1024, 2048, 4096)))
        value = layers.same("Relu", value)
    return layers


def _up_and_down(rng: random.Random) -> Layers:
    layers, value = _start(rng, 7, 80)
    value = layers.same("Relu", layers.conv(value, max(16, blocks(value.channels / 2)), 3))
    other = layers.enlarged(value, rng.choice(("nearest", "linear")))
    value = layers.transposed(value, value.channels, rng.choice((2, 2, 4)), 2)
    value = layers.concat(value, other)
    layers.same("LeakyRelu", layers.conv(value, blocks(value.channels / 2), 3), alpha=0.1)
    return layers


def _decoder(rng: random.Random) -> Layers:
    layers, value = _start(rng, 7, 112)
    for _ in range(3):
        channels = blocks(max(16, value.channels / rng.choice((1, 2, 2))))
        value = layers.transposed(value, channels, rng.choice((2, 2, 2, 4)), 2)
        value = layers.same("Relu", layers.conv(value, channels, 3, 2))
    return layers


def _grouped(rng: random.Random) -> Layers:
    layers, value = _start(rng, 7, 56)
    for groups in rng.sample((2, 4, 8, 16, 32), 2):
        channels = max(groups * 8, value.channels // (groups * 8) * groups * 8)
        value = layers.same("Relu", layers.conv(value, channels, 1))
        value = layers.same("Relu", layers.conv(value, channels, 3, 1, groups))
    return layers


def _filters(rng: random.Random) -> Layers:
    """Depthwise convolutions of all kinds."""
    layers, value = _start_narrow(rng, 14, 160)
    for kernel, stride in rng.sample(((3, 1), (5, 1), (3, 2), (7, 1), (3, 1), (5, 2)), 3):
        value = layers.same("Relu", layers.depthwise(value, kernel))
        value = layers.same("Relu", layers.depthwise(value, kernel, stride))
    return layers


def _normalized(rng: random.Random) -> Layers:
    """Responses normalised across channels, as the first deep networks have them."""
    layers, value = _start(rng, 7, 80)
    for _ in range(2):
        value = layers.same("Relu", layers.conv(value, value.channels, 1))
        value = layers.same("LRN", value, size=5)
    layers.pool(value, 3, 1)
    return layers


NETWORKS: tuple[Callable[[random.Random], Layers], ...] = (
    _plain, _inverted, _head, _up_and_down, _residual, _dense_block, _stem, _squeeze_excite,
    _branches, _separable, _decoder, _wide_head, _grouped, _bottleneck, _filters, _normalized,
    _decoder, _grouped, _plain, _decoder, _several,
)  # fmt: skip
"""In the order in which they are drawn."""
