"""Seeded weights: one stream of random numbers per (model, seed), the same on every machine.

NumPy promises the raw output of a bit generator for all its versions, but not what
`Generator.random` makes of it; devices with different NumPy versions must build the same model
to the last bit. So the stream scales raw bits itself. It works in chunks that stay in the
processor's cache: fresh memory for half a gigabyte of VGG is then touched once.
"""

from __future__ import annotations

import io
import zlib

import numpy as np

__all__ = ["WeightStream"]

_CHUNK = 1 << 17  # values per chunk: half a megabyte of float32


class WeightStream:
    """Uniform float32 numbers, drawn in the order they are asked for."""

    def __init__(self, name: str, seed: int) -> None:
        self._bits = np.random.SFC64([zlib.crc32(name.encode()), seed])

    def uniform(self, count: int, centre: float, spread: float) -> bytes:
        """`count` float32 values (native bytes), uniform in [centre - spread, centre + spread)."""
        # Mathematical libraries differ in the last bit of an exponential, and `spread` may come
        # from one; four digits are the same everywhere.
        step = np.float32(float(f"{spread:.4g}") * 2.0**-31)
        offset = np.float32(centre)
        values = np.empty(min(count, _CHUNK), np.float32)
        result = io.BytesIO()
        for start in range(0, count, _CHUNK):
            size = min(_CHUNK, count - start)
            chunk = values[:size]
            # A raw word has 64 bits: two values.
            words = np.asarray(self._bits.random_raw((size + 1) // 2), np.uint64)
            np.multiply(words.view(np.int32)[:size], step, out=chunk, casting="unsafe")
            if centre:
                chunk += offset
            result.write(chunk.data)
        return result.getvalue()
