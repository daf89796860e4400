"""DnCNN-S (Zhang et al. 2017): 17 layers, 64 channels, one grey channel.

After the authors' own cszn/DnCNN (dncnn_pytorch): a bias in the first convolution only.
The network estimates the noise, and the output is the picture without it.
"""

from __future__ import annotations

from swath.zoo.builder import Network, Value
from swath.zoo.entry import Entry

_DEPTH = 17
_CHANNELS = 64


def dncnn(network: Network, image: Value) -> Value:
    """The picture without noise, N x 1 x H x W."""
    value = network.relu(network.conv(image, "dncnn.0", _CHANNELS, 3, padding=1))
    index = 2  # in the authors' `dncnn`, which also counts BN and ReLU
    for _ in range(_DEPTH - 2):
        value = network.conv(value, f"dncnn.{index}", _CHANNELS, 3, padding=1, bias=False)
        value = network.batch_norm(value, f"dncnn.{index + 1}", epsilon=1e-4)
        value = network.relu(value)
        index += 3
    noise = network.conv(value, f"dncnn.{index}", 1, 3, padding=1, bias=False)
    return network.subtract(image, noise)


ENTRIES = (Entry("dncnn", dncnn, side=180, channels=1),)
