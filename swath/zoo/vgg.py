"""VGG (Simonyan & Zisserman 2015, configurations A, B, D, E), as in torchvision: no BN."""

from __future__ import annotations

from functools import partial

from swath.zoo.builder import Network, Value
from swath.zoo.entry import Entry

_CHANNELS = (64, 128, 256, 512, 512)


def vgg(network: Network, value: Value, *, depths: tuple[int, ...]) -> Value:
    """Logits, N x 1000; `depths`: how many convolutions each of the five stages has."""
    index = 0  # in torchvision's `features`, which also counts ReLU and pooling
    for channels, depth in zip(_CHANNELS, depths, strict=True):
        for _ in range(depth):
            value = network.conv(value, f"features.{index}", channels, 3, padding=1)
            value = network.relu(value)
            index += 2
        value = network.max_pool(value, 2, 2)
        index += 1
    value = network.flatten(network.adaptive_average_pool(value, 7))
    value = network.relu(network.linear(value, "classifier.0", 4096))
    value = network.relu(network.linear(value, "classifier.3", 4096))
    return network.linear(value, "classifier.6", 1000)


ENTRIES = (
    Entry("vgg11", partial(vgg, depths=(1, 1, 2, 2, 2)), smallest=32),
    Entry("vgg13", partial(vgg, depths=(2, 2, 2, 2, 2)), smallest=32),
    Entry("vgg16", partial(vgg, depths=(2, 2, 3, 3, 3)), smallest=32),
    Entry("vgg19", partial(vgg, depths=(2, 2, 4, 4, 4)), smallest=32),
)
