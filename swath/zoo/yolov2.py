"""YOLOv2 and Tiny YOLOv2 (Redmon & Farhadi 2017) with COCO heads.

After darknet's yolov2.cfg and yolov2-tiny.cfg. The output is the map before the region layer:
5 anchors x (4 coordinates, objectness, 80 classes) = 425 channels. Two details are not darknet's
own, so its converted weights give slightly other numbers: the passthrough is SpaceToDepth, where
darknet's reorg layer also swaps neighbouring rows, and BN divides by sqrt(variance + 1e-5), not
by sqrt(variance) + 1e-6.

Parameter names are those of marvis/pytorch-yolo2: `models.LAYER.convN.weight`,
`models.LAYER.bnN.weight`, where LAYER counts all layers of the cfg file from 0 and N the
convolutions from 1.
"""

from __future__ import annotations

from swath.zoo.builder import Network, Value
from swath.zoo.entry import Entry

_OUTPUTS = 5 * (4 + 1 + 80)
# Output channels, stage by stage; 3x3 and 1x1 take turns, and each stage but the first pools.
_DARKNET19 = (
    (32,),
    (64,),
    (128, 64, 128),
    (256, 128, 256),
    (512, 256, 512, 256, 512),
    (1024, 512, 1024, 512, 1024),
)
_TINY_WIDTHS = (16, 32, 64, 128, 256, 512)


def yolov2(network: Network, value: Value) -> Value:
    """Map of N x 425 x H/32 x W/32."""
    layer, convolution = 0, 1
    maps = []
    for stage, widths in enumerate(_DARKNET19):
        if stage > 0:
            value = network.max_pool(value, 2, 2)
            layer += 1
        for position, channels in enumerate(widths):
            kernel = 1 if position % 2 else 3
            value = _conv(network, value, layer, convolution, channels, kernel)
            layer += 1
            convolution += 1
        maps.append(value)
    value = _conv(network, value, 23, 19, 1024, 3)
    coarse = _conv(network, value, 24, 20, 1024, 3)
    fine = _conv(network, maps[-2], 26, 21, 64, 1)
    value = network.concat("models.28", [network.space_to_depth(fine, 2), coarse])
    value = _conv(network, value, 29, 22, 1024, 3)
    return network.conv(value, "models.30.conv23", _OUTPUTS, 1)


def tiny_yolov2(network: Network, value: Value) -> Value:
    """Map of N x 425 x H/32 x W/32, rounded down."""
    for index, channels in enumerate(_TINY_WIDTHS):
        if index > 0:
            value = network.max_pool(value, 2, 2)
        value = _conv(network, value, 2 * index, index + 1, channels, 3)
    # The sixth pooling keeps the size: stride 1, and padded by one at the end.
    value = network.max_pool(value, 2, 1, padding=(0, 1))
    value = _conv(network, value, 12, 7, 1024, 3)
    value = _conv(network, value, 13, 8, 512, 3)
    return network.conv(value, "models.14.conv9", _OUTPUTS, 1)


def _conv(
    network: Network, value: Value, layer: int, convolution: int, channels: int, kernel: int
) -> Value:
    value = network.conv(
        value,
        f"models.{layer}.conv{convolution}",
        channels,
        kernel,
        padding=kernel // 2,
        bias=False,
    )
    value = network.batch_norm(value, f"models.{layer}.bn{convolution}")
    return network.leaky_relu(value, 0.1)


ENTRIES = (
    Entry("yolov2", yolov2, side=608, smallest=32, multiple=32),
    Entry("tiny_yolov2", tiny_yolov2, side=416, smallest=32),
)
