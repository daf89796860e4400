"""MobileNetV3 (Howard et al. 2019), width 1.0, large and small, as in torchvision."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from swath.zoo.blocks import RESIDUAL_GAIN, Activation, conv_norm, identity, squeeze_excite
from swath.zoo.builder import Network, Value
from swath.zoo.entry import Entry

_EPSILON = 1e-3


@dataclass(frozen=True, slots=True)
class _Block:
    """A row of the paper's tables 1 and 2."""

    kernel: int
    expanded: int
    channels: int
    squeeze: bool
    activation: Activation
    stride: int


_RELU = Network.relu
_HSWISH = Network.hard_swish

_LARGE = (
    _Block(3, 16, 16, False, _RELU, 1),
    _Block(3, 64, 24, False, _RELU, 2),
    _Block(3, 72, 24, False, _RELU, 1),
    _Block(5, 72, 40, True, _RELU, 2),
    _Block(5, 120, 40, True, _RELU, 1),
    _Block(5, 120, 40, True, _RELU, 1),
    _Block(3, 240, 80, False, _HSWISH, 2),
    _Block(3, 200, 80, False, _HSWISH, 1),
    _Block(3, 184, 80, False, _HSWISH, 1),
    _Block(3, 184, 80, False, _HSWISH, 1),
    _Block(3, 480, 112, True, _HSWISH, 1),
    _Block(3, 672, 112, True, _HSWISH, 1),
    _Block(5, 672, 160, True, _HSWISH, 2),
    _Block(5, 960, 160, True, _HSWISH, 1),
    _Block(5, 960, 160, True, _HSWISH, 1),
)

_SMALL = (
    _Block(3, 16, 16, True, _RELU, 2),
    _Block(3, 72, 24, False, _RELU, 2),
    _Block(3, 88, 24, False, _RELU, 1),
    _Block(5, 96, 40, True, _HSWISH, 2),
    _Block(5, 240, 40, True, _HSWISH, 1),
    _Block(5, 240, 40, True, _HSWISH, 1),
    _Block(5, 120, 48, True, _HSWISH, 1),
    _Block(5, 144, 48, True, _HSWISH, 1),
    _Block(5, 288, 96, True, _HSWISH, 2),
    _Block(5, 576, 96, True, _HSWISH, 1),
    _Block(5, 576, 96, True, _HSWISH, 1),
)


def mobilenet_v3(
    network: Network, value: Value, *, blocks: tuple[_Block, ...], features: int
) -> Value:
    """Logits, N x 1000; `features`: width of the hidden layer of the classifier."""
    value = conv_norm(network, value, "features.0", 16, 3, _HSWISH, stride=2, epsilon=_EPSILON)
    for index, block in enumerate(blocks, start=1):
        value = _inverted_residual(network, value, f"features.{index}.block", block)
    last = f"features.{len(blocks) + 1}"
    value = conv_norm(network, value, last, 6 * value.channels, 1, _HSWISH, epsilon=_EPSILON)
    value = network.flatten(network.adaptive_average_pool(value, 1))
    value = network.hard_swish(network.linear(value, "classifier.0", features))
    return network.linear(value, "classifier.3", 1000)


def _inverted_residual(network: Network, value: Value, prefix: str, block: _Block) -> Value:
    skip = value
    residual = block.stride == 1 and value.channels == block.channels
    hidden = block.expanded
    index = 0
    if hidden != value.channels:
        value = conv_norm(
            network, value, f"{prefix}.0", hidden, 1, block.activation, epsilon=_EPSILON
        )
        index = 1
    value = conv_norm(
        network,
        value,
        f"{prefix}.{index}",
        hidden,
        block.kernel,
        block.activation,
        stride=block.stride,
        groups=hidden,
        epsilon=_EPSILON,
    )
    index += 1
    if block.squeeze:
        squeezed = _divisible_by_eight(hidden // 4)
        value = squeeze_excite(
            network, value, f"{prefix}.{index}", squeezed, _RELU, Network.hard_sigmoid
        )
        index += 1
    value = conv_norm(
        network,
        value,
        f"{prefix}.{index}",
        block.channels,
        1,
        identity,
        epsilon=_EPSILON,
        gain=RESIDUAL_GAIN if residual else 1.0,
    )
    return network.add(value, skip) if residual else value


def _divisible_by_eight(channels: int) -> int:
    """The nearest multiple of 8 that is at least 8 and loses no more than a tenth."""
    rounded = max(8, (channels + 4) // 8 * 8)
    return rounded if rounded >= 0.9 * channels else rounded + 8


ENTRIES = (
    Entry("mobilenet_v3_large", partial(mobilenet_v3, blocks=_LARGE, features=1280)),
    Entry("mobilenet_v3_small", partial(mobilenet_v3, blocks=_SMALL, features=1024)),
)
