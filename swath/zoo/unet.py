"""U-Net (Ronneberger et al. 2015), 64 to 1024 channels, 2 classes, after milesial/Pytorch-UNet.

That is: convolutions padded to keep the size and followed by BN, transposed convolutions to
come up, and the whole skip concatenated (the paper crops it).
"""

from __future__ import annotations

from swath.zoo.builder import Network, Value
from swath.zoo.entry import Entry

_WIDTHS = (64, 128, 256, 512, 1024)
_CLASSES = 2


def unet(network: Network, value: Value) -> Value:
    """Class scores of every pixel, N x 2 x H x W."""
    value = _double_conv(network, value, "inc", _WIDTHS[0])
    skips = []
    for step, width in enumerate(_WIDTHS[1:], start=1):
        skips.append(value)
        value = network.max_pool(value, 2, 2)
        value = _double_conv(network, value, f"down{step}.maxpool_conv.1", width)
    for step, skip in enumerate(reversed(skips), start=1):
        value = network.conv_transpose(value, f"up{step}.up", skip.channels, 2)
        value = network.concat(f"up{step}.concat", [skip, value])
        value = _double_conv(network, value, f"up{step}.conv", skip.channels)
    return network.conv(value, "outc.conv", _CLASSES, 1)


def _double_conv(network: Network, value: Value, prefix: str, channels: int) -> Value:
    for index in (0, 3):
        name = f"{prefix}.double_conv.{index}"
        value = network.conv(value, name, channels, 3, padding=1, bias=False)
        value = network.batch_norm(value, f"{prefix}.double_conv.{index + 1}")
        value = network.relu(value)
    return value


ENTRIES = (Entry("unet", unet, side=256, smallest=16, multiple=16),)
