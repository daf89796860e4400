"""Sizes of pooled maps, and adaptive average pooling as matrices."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from swath.zoo.errors import InvalidSize

__all__ = ["adaptive_matrix", "windows"]


def windows(
    layer: str, extent: int, kernel: int, stride: int, padding: int, *, ceil: bool = False
) -> int:
    """Number of windows along one axis of `extent` elements.

    `padding` is what both ends add together; `ceil` also counts a last window that hangs over
    the end (no window starts beyond it as long as that end is not padded). Raises
    `InvalidSize` when there is not even one window.
    """
    room = extent + padding - kernel
    count = (-(-room // stride) if ceil else room // stride) + 1
    if count < 1:
        raise InvalidSize(
            f"{layer}: its window of {kernel} does not fit a map of {extent} (padding {padding}): "
            "use a larger input"
        )
    return count


def adaptive_matrix(extent: int, bins: int) -> NDArray[np.float32]:
    """[bins, extent] averaging matrix of torch's AdaptiveAvgPool2d along one axis.

    Bin i covers [floor(i * extent / bins), ceil((i + 1) * extent / bins)): bins overlap when
    `bins` does not divide `extent`, and repeat elements when there are more bins than elements.
    """
    matrix = np.zeros((bins, extent), np.float32)
    for bin_ in range(bins):
        start = bin_ * extent // bins
        stop = -(-(bin_ + 1) * extent // bins)
        matrix[bin_, start:stop] = 1.0 / (stop - start)
    return matrix
