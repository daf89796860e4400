"""Blocks that several families share, with torchvision's parameter names."""

from __future__ import annotations

from collections.abc import Callable

from swath.zoo.builder import Network, Value

__all__ = ["RESIDUAL_GAIN", "Activation", "conv_norm", "identity", "squeeze_excite"]

Activation = Callable[[Network, Value], Value]

# What the last batch norm of a residual branch multiplies by. Seeded branches of full size
# would make each stage of ResNet-152 several times as loud as the one before.
RESIDUAL_GAIN = 0.5


def identity(network: Network, value: Value) -> Value:
    """No activation: the end of a linear bottleneck."""
    return value


def conv_norm(
    network: Network,
    value: Value,
    prefix: str,
    channels: int,
    kernel: int,
    activation: Activation,
    *,
    stride: int = 1,
    groups: int = 1,
    epsilon: float = 1e-5,
    gain: float = 1.0,
) -> Value:
    """torchvision's Conv2dNormActivation: `PREFIX.0` convolves, `PREFIX.1` is its BN.

    Padding is half the kernel; there is no bias.
    """
    value = network.conv(
        value,
        f"{prefix}.0",
        channels,
        kernel,
        stride=stride,
        padding=kernel // 2,
        groups=groups,
        bias=False,
    )
    value = network.batch_norm(value, f"{prefix}.1", epsilon=epsilon, gain=gain)
    return activation(network, value)


def squeeze_excite(
    network: Network,
    value: Value,
    prefix: str,
    squeezed: int,
    activation: Activation,
    gate: Activation,
) -> Value:
    """torchvision's SqueezeExcitation: channels scaled by what the whole map says of them."""
    summary = network.global_average_pool(value)
    summary = activation(network, network.conv(summary, f"{prefix}.fc1", squeezed, 1))
    summary = gate(network, network.conv(summary, f"{prefix}.fc2", value.channels, 1))
    return network.scale(value, summary)
