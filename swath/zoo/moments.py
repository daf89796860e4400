"""Estimated mean and variance of activations, so that seeded weights keep every layer alive.

The usual initialisations (He et al. 2015) pick one gain per kind of layer. A zoo with squeeze
and excite, linear bottlenecks and fifty residual blocks would need a hand-picked gain in every
family; following two numbers through the network instead gives each layer the scale that makes
its own output unit variance. The estimate treats activations as independent and Gaussian, which
is wrong in detail and right in order of magnitude; nothing but the scale of seeded weights
depends on it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

__all__ = ["UNIT", "Curve", "Moments", "after", "mixture", "product", "total"]

Curve = Callable[[NDArray[np.float64]], NDArray[np.float64]]

_POINTS = 64
_NORMAL = np.array([NormalDist().inv_cdf((i + 0.5) / _POINTS) for i in range(_POINTS)])


@dataclass(frozen=True, slots=True)
class Moments:
    """Mean and variance over all elements of a tensor, as estimated before any input is seen."""

    mean: float
    variance: float

    @property
    def energy(self) -> float:
        """Mean square."""
        return self.mean**2 + self.variance


UNIT = Moments(0.0, 1.0)


def after(curve: Curve, moments: Moments) -> Moments:
    """Moments of `curve(x)` for Gaussian `x`, by the midpoint rule over equal probabilities."""
    samples = curve(moments.mean + moments.variance**0.5 * _NORMAL)
    return Moments(float(samples.mean()), float(samples.var()))


def total(left: Moments, right: Moments) -> Moments:
    """Moments of the sum of two independent tensors."""
    return Moments(left.mean + right.mean, left.variance + right.variance)


def product(left: Moments, right: Moments) -> Moments:
    """Moments of the elementwise product of two independent tensors."""
    mean = left.mean * right.mean
    return Moments(mean, left.energy * right.energy - mean**2)


def mixture(parts: Sequence[Moments], sizes: Sequence[int]) -> Moments:
    """Moments of the concatenation of tensors of the given sizes (in any one unit)."""
    whole = sum(sizes)
    mean = sum(part.mean * size for part, size in zip(parts, sizes, strict=True)) / whole
    energy = sum(part.energy * size for part, size in zip(parts, sizes, strict=True)) / whole
    return Moments(mean, energy - mean**2)
