"""SqueezeNet 1.1 (Iandola et al. 2016), as in torchvision."""

from __future__ import annotations

from swath.zoo.builder import Network, Value
from swath.zoo.entry import Entry

# index in `features`: (squeezed channels, channels of each of the two expansions)
_FIRES = {
    3: (16, 64),
    4: (16, 64),
    6: (32, 128),
    7: (32, 128),
    9: (48, 192),
    10: (48, 192),
    11: (64, 256),
    12: (64, 256),
}
_POOLS = (2, 5, 8)


def squeezenet(network: Network, value: Value) -> Value:
    """Logits, N x 1000."""
    value = network.relu(network.conv(value, "features.0", 64, 3, stride=2))
    for index in range(2, 13):
        if index in _POOLS:
            value = network.max_pool(value, 3, 2, ceil=True)
        else:
            value = _fire(network, value, f"features.{index}", *_FIRES[index])
    value = network.relu(network.conv(value, "classifier.1", 1000, 1))
    return network.flatten(network.adaptive_average_pool(value, 1))


def _fire(network: Network, value: Value, prefix: str, squeezed: int, expanded: int) -> Value:
    value = network.relu(network.conv(value, f"{prefix}.squeeze", squeezed, 1))
    small = network.relu(network.conv(value, f"{prefix}.expand1x1", expanded, 1))
    large = network.relu(network.conv(value, f"{prefix}.expand3x3", expanded, 3, padding=1))
    return network.concat(f"{prefix}.concat", [small, large])


ENTRIES = (Entry("squeezenet", squeezenet, smallest=17),)
