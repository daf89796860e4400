"""Published sizes of the zoo's models, to check the built ones against.

Sources: the torchvision documentation (its "GFLOPS" count multiply-accumulates) for all that
torchvision has; table 8 of the paper for MobileNet; darknet's weight files (parameters, with the
running statistics taken away) and its site (2 x MACs) for YOLO. Of U-Net and DnCNN only rounded
parameter counts are given by those who use them; the numbers here are exact for the variant that
is built.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["PUBLISHED", "Published"]


@dataclass(frozen=True, slots=True)
class Published:
    """`parameters` without running statistics; `gmacs` at the published input size."""

    parameters: int
    gmacs: float | None


PUBLISHED: dict[str, Published] = {
    "alexnet": Published(61_100_840, 0.71),
    "vgg11": Published(132_863_336, 7.61),
    "vgg13": Published(133_047_848, 11.31),
    "vgg16": Published(138_357_544, 15.47),
    "vgg19": Published(143_667_240, 19.63),
    "resnet18": Published(11_689_512, 1.81),
    "resnet34": Published(21_797_672, 3.66),
    "resnet50": Published(25_557_032, 4.09),
    "resnet101": Published(44_549_160, 7.80),
    "resnet152": Published(60_192_808, 11.51),
    "mobilenet_v1": Published(4_231_976, 0.569),
    "mobilenet_v2": Published(3_504_872, 0.30),
    "mobilenet_v3_large": Published(5_483_032, 0.22),
    "mobilenet_v3_small": Published(2_542_856, 0.06),
    "googlenet": Published(6_624_904, 1.50),
    "squeezenet": Published(1_235_496, 0.35),
    "densenet121": Published(7_978_856, 2.83),
    "efficientnet_b0": Published(5_288_548, 0.39),
    "yolov2": Published(50_962_889, 62.94 / 2),
    "tiny_yolov2": Published(11_232_057, 5.41 / 2),
    "unet": Published(31_037_698, None),
    "dncnn": Published(556_096, None),
}
