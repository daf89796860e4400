"""DenseNet-121 (Huang et al. 2017), growth 32, as in torchvision."""

from __future__ import annotations

from functools import partial

from swath.zoo.builder import Network, Value
from swath.zoo.entry import Entry

_GROWTH = 32
_BOTTLENECK = 4  # a layer's 1x1 makes this many times the growth


def densenet(network: Network, value: Value, *, depths: tuple[int, ...]) -> Value:
    """Logits, N x 1000; `depths`: how many layers each dense block has."""
    value = network.conv(value, "features.conv0", 64, 7, stride=2, padding=3, bias=False)
    value = network.relu(network.batch_norm(value, "features.norm0"))
    value = network.max_pool(value, 3, 2, padding=(1, 1))
    for block, depth in enumerate(depths, start=1):
        for layer in range(1, depth + 1):
            prefix = f"features.denseblock{block}.denselayer{layer}"
            grown = _layer(network, value, prefix)
            value = network.concat(f"{prefix}.concat", [value, grown])
        if block < len(depths):
            value = _transition(network, value, f"features.transition{block}")
    value = network.relu(network.batch_norm(value, "features.norm5"))
    value = network.flatten(network.adaptive_average_pool(value, 1))
    return network.linear(value, "classifier", 1000)


def _layer(network: Network, value: Value, prefix: str) -> Value:
    value = network.relu(network.batch_norm(value, f"{prefix}.norm1"))
    value = network.conv(value, f"{prefix}.conv1", _BOTTLENECK * _GROWTH, 1, bias=False)
    value = network.relu(network.batch_norm(value, f"{prefix}.norm2"))
    return network.conv(value, f"{prefix}.conv2", _GROWTH, 3, padding=1, bias=False)


def _transition(network: Network, value: Value, prefix: str) -> Value:
    value = network.relu(network.batch_norm(value, f"{prefix}.norm"))
    value = network.conv(value, f"{prefix}.conv", value.channels // 2, 1, bias=False)
    return network.average_pool(value, (2, 2))


ENTRIES = (Entry("densenet121", partial(densenet, depths=(6, 12, 24, 16)), smallest=29),)
