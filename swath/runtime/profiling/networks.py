"""The networks whose kernels are timed: short runs of layers as CNNs have them, of many shapes.

Kernels are timed in context, inside tiles as workers run them: fused as they are fused there, with
caches as warm as they are there. Shapes are drawn from a seeded generator over what CNNs use; the
first networks of a kind cover every style, so that fewer of them still cover every family.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from swath.graph.geometry import TileGeometry, tile_flops, tile_geometry
from swath.graph.graph import Graph
from swath.graph.tile import TileModel, extract_tile
from swath.ops import Region
from swath.runtime.profiling.layers import Layers, Value

_CHANNELS = (
    (160, 8, 64),
    (80, 16, 128),
    (40, 24, 256),
    (20, 32, 512),
    (10, 64, 768),
    (1, 96, 1280),
)
"""(side of the map from which on, fewest, most channels)."""

_SIDES = (7, 8, 10, 12, 13, 14, 16, 19, 20, 24, 26, 28, 32, 38, 40, 48, 52, 56, 64, 75, 80, 96, 104,
          112, 128, 150, 160, 192, 208, 224)  # fmt: skip
_HEIGHTS = (1, 2, 3, 4, 5, 7, 10, 14, 20, 28, 40, 56, 80, 112)


@dataclass(frozen=True)
class TimedTile:
    """A tile whose kernels are timed; ``geometry`` is of the whole graph's nodes."""

    graph: Graph
    geometry: TileGeometry
    model: TileModel


def draw_tile(number: int, most_flops: float) -> TimedTile:
    """The network of this number, cut to some height and to at most ``most_flops``."""
    rng = random.Random(number)
    graph = _STYLES[number % len(_STYLES)](rng).graph()
    output = graph.outputs[0]
    nodes = range(len(graph.nodes))
    for region in _regions(rng, graph.tensors[output].whole):
        geometry = tile_geometry(graph, nodes, {output: region})
        if tile_flops(graph, geometry) <= most_flops:
            break
    return TimedTile(graph, geometry, extract_tile(graph, nodes, {output: region}, geometry))


def _regions(rng: random.Random, whole: Region) -> list[Region]:
    """A slab, or the whole in a third of the cases; then ever thinner ones."""
    if len(whole) < 4:
        return [whole]
    thinner = [height for height in _HEIGHTS if height < whole.shape[2]]
    first = rng.choice(thinner) if thinner and rng.random() < 0.67 else whole.shape[2]
    return [_rows(whole, height) for height in (first, *reversed(thinner)) if height <= first]


def _rows(whole: Region, height: int) -> Region:
    """Rows from the middle: they need halos on both sides, as most tiles do."""
    begin = (whole.shape[2] - height) // 2
    return whole.replace(2, (begin, begin + height))


def _side(rng: random.Random, least: int = 7, most: int = 224) -> int:
    return rng.choice([side for side in _SIDES if least <= side <= most])


def _channels(rng: random.Random, side: int) -> int:
    least, most = next((low, high) for bound, low, high in _CHANNELS if side >= bound)
    drawn: float = least * (most / least) ** rng.random()
    return _blocks(drawn)


def _blocks(channels: float, block: int = 16) -> int:
    """Channels as networks have them. Kernels that work on blocks of channels take whole ones; a
    pool on others is several times slower, which no network asks for."""
    return max(block, round(channels / block) * block)


def _start(rng: random.Random, least: int = 7, most: int = 224) -> tuple[Layers, Value]:
    """A network on a map of some size."""
    side = _side(rng, least, most)
    layers = Layers(1, _channels(rng, side), side, side)
    return layers, layers.input


def _start_narrow(rng: random.Random, least: int, most: int) -> tuple[Layers, Value]:
    """As light networks begin, whose channels are but multiples of 8."""
    side = _side(rng, least, most)
    channels = _channels(rng, side)
    layers = Layers(1, channels - 8 if rng.random() < 0.3 else channels, side, side)
    return layers, layers.input


def _plain(rng: random.Random) -> Layers:
    layers, value = _start(rng)
    for kernel in (3, rng.choice((1, 3, 5)), 3):
        channels = _blocks(min(768, value.channels * rng.choice((0.5, 1, 1, 2))))
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
    narrow = _blocks(value.channels / 4)
    stride = 2 if value.side % 2 == 0 else 1
    inner = layers.same("Relu", layers.conv(value, narrow, 1))
    inner = layers.same("Relu", layers.conv(inner, narrow, 3, stride))
    inner = layers.conv(inner, value.channels, 1)
    short = layers.conv(value, value.channels, 1, stride)
    layers.same("Relu", layers.same("Add", inner, short))
    return layers


def _inverted(rng: random.Random) -> Layers:
    layers, value = _start_narrow(rng, 7, 160)
    narrow = _blocks(value.channels / rng.choice((2, 4, 6)), 8)
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
        reduced = layers.same("Relu", layers.conv(value, max(16, _blocks(value.channels / 4)), 1))
        parts.append(layers.same("Relu", layers.conv(reduced, _channels(rng, value.side), kernel)))
    kind = rng.choice(("MaxPool", "AveragePool"))
    parts.append(
        layers.conv(layers.pool(value, 3, 1, kind), max(16, _blocks(value.channels / 8)), 1)
    )
    layers.pool(layers.concat(*parts), 3, 2, rng.choice(("MaxPool", "AveragePool")))
    return layers


def _stem(rng: random.Random) -> Layers:
    kernel, stride = rng.choice(((3, 1), (3, 2), (5, 2), (7, 2), (11, 4)))
    side = _side(rng, 96)
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
    layers.pool(layers.conv(value, _blocks(value.channels / 2), 1), 2, 2, "AveragePool")
    return layers


def _squeeze_excite(rng: random.Random) -> Layers:
    layers, value = _start_narrow(rng, 7, 112)
    activation = rng.choice(("Relu", "HardSwish"))
    value = layers.same(activation, layers.depthwise(value, rng.choice((3, 5))))
    gate = layers.same(
        "Relu", layers.conv(layers.global_pool(value), _blocks(value.channels / 4, 8), 1)
    )
    gate = layers.same("HardSigmoid", layers.conv(gate, value.channels, 1))
    value = layers.same("Mul", value, gate)
    layers.conv(value, _channels(rng, value.side), 1)
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
    side = rng.choice((3, 4, 5, 6, 7))
    layers = Layers(1, rng.choice((64, 128, 192, 256)), 2 * side, 2 * side)
    value = layers.flatten(layers.pool(layers.input, 2, 2))
    value = layers.same("Relu", layers.linear(value, rng.choice((256, 512, 1024))))
    layers.linear(value, rng.choice((10, 100, 1000)))
    return layers


def _up_and_down(rng: random.Random) -> Layers:
    layers, value = _start(rng, 7, 80)
    value = layers.same("Relu", layers.conv(value, max(16, _blocks(value.channels / 2)), 3))
    other = layers.enlarged(value, rng.choice(("nearest", "linear")))
    value = layers.transposed(value, value.channels, rng.choice((2, 2, 4)), 2)
    value = layers.concat(value, other)
    layers.same("LeakyRelu", layers.conv(value, _blocks(value.channels / 2), 3), alpha=0.1)
    return layers


def _decoder(rng: random.Random) -> Layers:
    layers, value = _start(rng, 7, 64)
    for _ in range(2):
        channels = _blocks(value.channels / 2)
        value = layers.transposed(value, channels, 2, 2)
        value = layers.same("Relu", layers.conv(value, channels, 3))
    return layers


def _rearranged(rng: random.Random) -> Layers:
    layers, value = _start(rng, 8, 112)
    value = layers.conv(value, value.channels, rng.choice((1, 3)))
    if value.side % 2 == 0:
        value = layers.space_to_depth(value)
    layers.conv(value, max(32, _blocks(value.channels / 2)), 1)
    return layers


def _grouped(rng: random.Random) -> Layers:
    layers, value = _start(rng, 7, 56)
    for groups in rng.sample((2, 4, 8, 16, 32), 2):
        channels = max(groups * 8, value.channels // (groups * 8) * groups * 8)
        value = layers.same("Relu", layers.conv(value, channels, 1))
        value = layers.same("Relu", layers.conv(value, channels, 3, 1, groups))
    return layers


def _pointwise(rng: random.Random) -> Layers:
    """Activations and sums that no convolution takes in."""
    layers, value = _start(rng)
    pooled = layers.pool(value, 3, 1, rng.choice(("MaxPool", "AveragePool")))
    summed = layers.same("Add", pooled, value)
    value = layers.same(rng.choice(("Relu", "LeakyRelu")), summed)
    value = layers.same("Mul", value, pooled)
    layers.batch_norm(value)
    return layers


def _pools(rng: random.Random) -> Layers:
    layers, value = _start(rng, 24)
    for kernel, stride in rng.sample(((3, 1), (2, 2), (3, 2), (5, 1), (3, 1)), 4):
        if value.side >= 4:
            value = layers.pool(value, kernel, stride, rng.choice(("MaxPool", "AveragePool")))
    return layers


def _filters(rng: random.Random) -> Layers:
    """Depthwise convolutions of all kinds."""
    layers, value = _start_narrow(rng, 14, 160)
    for kernel, stride in rng.sample(((3, 1), (5, 1), (3, 2), (7, 1), (3, 1), (5, 2)), 4):
        value = layers.same("Relu", layers.depthwise(value, kernel, stride))
    return layers


def _joined(rng: random.Random) -> Layers:
    """Maps put side by side, and enlarged."""
    layers, value = _start(rng, 7, 80)
    other = layers.pool(value, 3, 1)
    value = layers.concat(value, other)
    value = layers.concat(value, other, value)
    layers.enlarged(layers.same("Relu", value), rng.choice(("nearest", "linear")))
    return layers


def _means(rng: random.Random) -> Layers:
    """Global pools of several maps, as gates and heads take them."""
    layers, value = _start(rng, 14, 112)
    for _ in range(3):
        gate = layers.global_pool(value)
        value = layers.pool(layers.same("Mul", value, gate), 2, 2)
    layers.node("ReduceMean", [value.name], (1, value.channels, 1, 1), axes=[2, 3])
    return layers


def _sigmoid(rng: random.Random) -> Layers:
    """The gates of EfficientNets."""
    layers, value = _start_narrow(rng, 7, 112)
    value = layers.depthwise(value, 3)
    value = layers.same("Mul", value, layers.same("Sigmoid", value))
    layers.conv(value, _channels(rng, value.side), 1)
    return layers


_STYLES: tuple[Callable[[random.Random], Layers], ...] = (
    _plain, _inverted, _head, _pointwise, _up_and_down, _residual, _dense_block, _stem,
    _squeeze_excite, _branches, _rearranged, _separable, _wide_head, _grouped, _bottleneck, _pools,
    _decoder, _filters, _joined, _means, _sigmoid,
)  # fmt: skip
"""In the order in which they are drawn."""
