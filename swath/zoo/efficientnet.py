"""EfficientNet-B0 (Tan & Le 2019), as in torchvision (stochastic depth does nothing here)."""

from __future__ import annotations

from swath.zoo.blocks import RESIDUAL_GAIN, conv_norm, identity, squeeze_excite
from swath.zoo.builder import Network, Value
from swath.zoo.entry import Entry

# (expansion, kernel, stride of the first, output channels, repeats), table 1 of the paper
_STAGES = (
    (1, 3, 1, 16, 1),
    (6, 3, 2, 24, 2),
    (6, 5, 2, 40, 2),
    (6, 3, 2, 80, 3),
    (6, 5, 1, 112, 3),
    (6, 5, 2, 192, 4),
    (6, 3, 1, 320, 1),
)


def efficientnet_b0(network: Network, value: Value) -> Value:
    """Logits, N x 1000."""
    value = conv_norm(network, value, "features.0", 32, 3, Network.silu, stride=2)
    for stage, (expansion, kernel, stride, channels, repeats) in enumerate(_STAGES, start=1):
        for repeat in range(repeats):
            value = _mbconv(
                network,
                value,
                f"features.{stage}.{repeat}.block",
                channels,
                expansion,
                kernel,
                stride if repeat == 0 else 1,
            )
    value = conv_norm(network, value, "features.8", 1280, 1, Network.silu)
    value = network.flatten(network.adaptive_average_pool(value, 1))
    return network.linear(value, "classifier.1", 1000)


def _mbconv(
    network: Network,
    value: Value,
    prefix: str,
    channels: int,
    expansion: int,
    kernel: int,
    stride: int,
) -> Value:
    skip = value
    residual = stride == 1 and value.channels == channels
    hidden = value.channels * expansion
    index = 0
    if expansion != 1:
        value = conv_norm(network, value, f"{prefix}.0", hidden, 1, Network.silu)
        index = 1
    value = conv_norm(
        network,
        value,
        f"{prefix}.{index}",
        hidden,
        kernel,
        Network.silu,
        stride=stride,
        groups=hidden,
    )
    # A quarter of the block's input, not of its hidden channels as in MobileNetV3.
    squeezed = max(1, skip.channels // 4)
    value = squeeze_excite(
        network, value, f"{prefix}.{index + 1}", squeezed, Network.silu, Network.sigmoid
    )
    gain = RESIDUAL_GAIN if residual else 1.0
    value = conv_norm(network, value, f"{prefix}.{index + 2}", channels, 1, identity, gain=gain)
    return network.add(value, skip) if residual else value


ENTRIES = (Entry("efficientnet_b0", efficientnet_b0),)
