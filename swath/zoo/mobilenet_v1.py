"""MobileNet (Howard et al. 2017), width 1.0.

torchvision has none; parameter names are those of the much copied marvis/pytorch-mobilenet
(`model.INDEX.0` depthwise, `model.INDEX.3` pointwise, `fc`).
"""

from __future__ import annotations

from swath.zoo.builder import Network, Value
from swath.zoo.entry import Entry

# (output channels, stride) of each depthwise separable convolution
_BLOCKS = (
    (64, 1),
    (128, 2),
    (128, 1),
    (256, 2),
    (256, 1),
    (512, 2),
    *((512, 1),) * 5,
    (1024, 2),
    (1024, 1),
)


def mobilenet_v1(network: Network, value: Value) -> Value:
    """Logits, N x 1000."""
    value = network.conv(value, "model.0.0", 32, 3, stride=2, padding=1, bias=False)
    value = network.relu(network.batch_norm(value, "model.0.1"))
    for index, (channels, stride) in enumerate(_BLOCKS, start=1):
        prefix = f"model.{index}"
        inputs = value.channels
        value = network.conv(
            value, f"{prefix}.0", inputs, 3, stride=stride, padding=1, groups=inputs, bias=False
        )
        value = network.relu(network.batch_norm(value, f"{prefix}.1"))
        value = network.conv(value, f"{prefix}.3", channels, 1, bias=False)
        value = network.relu(network.batch_norm(value, f"{prefix}.4"))
    value = network.flatten(network.adaptive_average_pool(value, 1))
    return network.linear(value, "fc", 1000)


ENTRIES = (Entry("mobilenet_v1", mobilenet_v1),)
