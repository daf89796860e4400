"""GoogLeNet (Szegedy et al. 2015), as in torchvision.

That is: with BN, without the auxiliary heads, and with 3x3 where the paper's third branch has
5x5. torchvision's pretrained file expects another normalisation of the input
(`transform_input`), which is preparation of the picture and not part of this model.
"""

from __future__ import annotations

from swath.zoo.builder import Network, Value
from swath.zoo.entry import Entry

# name: (1x1, 3x3 reduce, 3x3, 5x5 reduce, 5x5, pooled projection), table 1 of the paper;
# a pooling of (kernel, stride) precedes the first of stages 4 and 5
_INCEPTIONS = {
    "inception3a": (64, 96, 128, 16, 32, 32),
    "inception3b": (128, 128, 192, 32, 96, 64),
    "inception4a": (192, 96, 208, 16, 48, 64),
    "inception4b": (160, 112, 224, 24, 64, 64),
    "inception4c": (128, 128, 256, 24, 64, 64),
    "inception4d": (112, 144, 288, 32, 64, 64),
    "inception4e": (256, 160, 320, 32, 128, 128),
    "inception5a": (256, 160, 320, 32, 128, 128),
    "inception5b": (384, 192, 384, 48, 128, 128),
}
_POOLED_BEFORE = {"inception4a": (3, 2), "inception5a": (2, 2)}


def googlenet(network: Network, value: Value) -> Value:
    """Logits, N x 1000."""
    value = _conv(network, value, "conv1", 64, 7, stride=2)
    value = network.max_pool(value, 3, 2, ceil=True)
    value = _conv(network, value, "conv2", 64, 1)
    value = _conv(network, value, "conv3", 192, 3)
    value = network.max_pool(value, 3, 2, ceil=True)
    for name, widths in _INCEPTIONS.items():
        if name in _POOLED_BEFORE:
            kernel, stride = _POOLED_BEFORE[name]
            value = network.max_pool(value, kernel, stride, ceil=True)
        value = _inception(network, value, name, widths)
    value = network.flatten(network.adaptive_average_pool(value, 1))
    return network.linear(value, "fc", 1000)


def _inception(network: Network, value: Value, name: str, widths: tuple[int, ...]) -> Value:
    direct, reduce3, width3, reduce5, width5, projected = widths
    first = _conv(network, value, f"{name}.branch1", direct, 1)
    second = _conv(network, value, f"{name}.branch2.0", reduce3, 1)
    second = _conv(network, second, f"{name}.branch2.1", width3, 3)
    third = _conv(network, value, f"{name}.branch3.0", reduce5, 1)
    third = _conv(network, third, f"{name}.branch3.1", width5, 3)
    fourth = network.max_pool(value, 3, 1, padding=(1, 1))
    fourth = _conv(network, fourth, f"{name}.branch4.1", projected, 1)
    return network.concat(f"{name}.concat", [first, second, third, fourth])


def _conv(
    network: Network, value: Value, prefix: str, channels: int, kernel: int, *, stride: int = 1
) -> Value:
    value = network.conv(
        value,
        f"{prefix}.conv",
        channels,
        kernel,
        stride=stride,
        padding=kernel // 2,
        bias=False,
    )
    return network.relu(network.batch_norm(value, f"{prefix}.bn", epsilon=1e-3))


ENTRIES = (Entry("googlenet", googlenet, smallest=15),)
