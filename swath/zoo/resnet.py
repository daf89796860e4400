"""ResNet (He et al. 2016), as in torchvision: V1.5, the 3x3 of a bottleneck has the stride."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from swath.zoo.blocks import RESIDUAL_GAIN
from swath.zoo.builder import Network, Value
from swath.zoo.entry import Entry

_WIDTHS = (64, 128, 256, 512)

_Branch = Callable[[Network, Value, str, int, int], Value]


def resnet(
    network: Network, value: Value, *, branch: _Branch, expansion: int, depths: tuple[int, ...]
) -> Value:
    """Logits, N x 1000.

    `expansion`: a block's output channels over its width; `depths`: blocks per stage.
    """
    value = network.conv(value, "conv1", 64, 7, stride=2, padding=3, bias=False)
    value = network.relu(network.batch_norm(value, "bn1"))
    value = network.max_pool(value, 3, 2, padding=(1, 1))
    for stage, (width, depth) in enumerate(zip(_WIDTHS, depths, strict=True), start=1):
        for block in range(depth):
            prefix = f"layer{stage}.{block}"
            stride = 2 if stage > 1 and block == 0 else 1
            residual = branch(network, value, prefix, width, stride)
            skip = _skip(network, value, prefix, width * expansion, stride)
            value = network.relu(network.add(residual, skip))
    value = network.flatten(network.adaptive_average_pool(value, 1))
    return network.linear(value, "fc", 1000)


def _basic(network: Network, value: Value, prefix: str, width: int, stride: int) -> Value:
    value = network.conv(value, f"{prefix}.conv1", width, 3, stride=stride, padding=1, bias=False)
    value = network.relu(network.batch_norm(value, f"{prefix}.bn1"))
    value = network.conv(value, f"{prefix}.conv2", width, 3, padding=1, bias=False)
    return network.batch_norm(value, f"{prefix}.bn2", gain=RESIDUAL_GAIN)


def _bottleneck(network: Network, value: Value, prefix: str, width: int, stride: int) -> Value:
    value = network.conv(value, f"{prefix}.conv1", width, 1, bias=False)
    value = network.relu(network.batch_norm(value, f"{prefix}.bn1"))
    value = network.conv(value, f"{prefix}.conv2", width, 3, stride=stride, padding=1, bias=False)
    value = network.relu(network.batch_norm(value, f"{prefix}.bn2"))
    value = network.conv(value, f"{prefix}.conv3", 4 * width, 1, bias=False)
    return network.batch_norm(value, f"{prefix}.bn3", gain=RESIDUAL_GAIN)


def _skip(network: Network, value: Value, prefix: str, channels: int, stride: int) -> Value:
    if stride == 1 and value.channels == channels:
        return value
    value = network.conv(value, f"{prefix}.downsample.0", channels, 1, stride=stride, bias=False)
    return network.batch_norm(value, f"{prefix}.downsample.1")


ENTRIES = (
    Entry("resnet18", partial(resnet, branch=_basic, expansion=1, depths=(2, 2, 2, 2))),
    Entry("resnet34", partial(resnet, branch=_basic, expansion=1, depths=(3, 4, 6, 3))),
    Entry("resnet50", partial(resnet, branch=_bottleneck, expansion=4, depths=(3, 4, 6, 3))),
    Entry("resnet101", partial(resnet, branch=_bottleneck, expansion=4, depths=(3, 4, 23, 3))),
    Entry("resnet152", partial(resnet, branch=_bottleneck, expansion=4, depths=(3, 8, 36, 3))),
)
