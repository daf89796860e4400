"""AlexNet in its one-column form (Krizhevsky 2014), as in torchvision: no LRN."""

from __future__ import annotations

from swath.zoo.builder import Network, Value
from swath.zoo.entry import Entry

# (index in `features`, output channels, kernel, stride, padding, pooled afterwards)
_CONVOLUTIONS = (
    (0, 64, 11, 4, 2, True),
    (3, 192, 5, 1, 2, True),
    (6, 384, 3, 1, 1, False),
    (8, 256, 3, 1, 1, False),
    (10, 256, 3, 1, 1, True),
)


def alexnet(network: Network, value: Value) -> Value:
    """Logits, N x 1000."""
    for index, channels, kernel, stride, padding, pooled in _CONVOLUTIONS:
        prefix = f"features.{index}"
        value = network.conv(value, prefix, channels, kernel, stride=stride, padding=padding)
        value = network.relu(value)
        if pooled:
            value = network.max_pool(value, 3, 2)
    value = network.flatten(network.adaptive_average_pool(value, 6))
    value = network.relu(network.linear(value, "classifier.1", 4096))
    value = network.relu(network.linear(value, "classifier.4", 4096))
    return network.linear(value, "classifier.6", 1000)


ENTRIES = (Entry("alexnet", alexnet, smallest=63),)
