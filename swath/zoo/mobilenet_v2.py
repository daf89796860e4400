"""MobileNetV2 (Sandler et al. 2018), width 1.0, as in torchvision."""

from __future__ import annotations

from swath.zoo.blocks import RESIDUAL_GAIN, conv_norm
from swath.zoo.builder import Network, Value
from swath.zoo.entry import Entry

# (expansion, output channels, repeats, stride of the first), table 2 of the paper
_STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


def mobilenet_v2(network: Network, value: Value) -> Value:
    """Logits, N x 1000."""
    value = conv_norm(network, value, "features.0", 32, 3, Network.relu6, stride=2)
    index = 1
    for expansion, channels, repeats, stride in _STAGES:
        for repeat in range(repeats):
            value = _inverted_residual(
                network,
                value,
                f"features.{index}.conv",
                channels,
                expansion,
                stride if repeat == 0 else 1,
            )
            index += 1
    value = conv_norm(network, value, f"features.{index}", 1280, 1, Network.relu6)
    value = network.flatten(network.adaptive_average_pool(value, 1))
    return network.linear(value, "classifier.1", 1000)


def _inverted_residual(
    network: Network, value: Value, prefix: str, channels: int, expansion: int, stride: int
) -> Value:
    skip = value
    residual = stride == 1 and value.channels == channels
    hidden = value.channels * expansion
    index = 0
    if expansion != 1:
        value = conv_norm(network, value, f"{prefix}.0", hidden, 1, Network.relu6)
        index = 1
    value = conv_norm(
        network, value, f"{prefix}.{index}", hidden, 3, Network.relu6, stride=stride, groups=hidden
    )
    # Here torchvision names convolution and BN as neighbours, not as a pair.
    value = network.conv(value, f"{prefix}.{index + 1}", channels, 1, bias=False)
    gain = RESIDUAL_GAIN if residual else 1.0
    value = network.batch_norm(value, f"{prefix}.{index + 2}", gain=gain)
    return network.add(value, skip) if residual else value


ENTRIES = (Entry("mobilenet_v2", mobilenet_v2),)
