"""Sizes of maps as CNNs have them, drawn from a seeded generator."""

from __future__ import annotations

import random

_CHANNELS = (
    (160, 8, 64),
    (80, 16, 128),
    (40, 24, 256),
    (20, 32, 512),
    (10, 64, 768),
    (1, 96, 1280),
)
"""(side of the map from which on, fewest, most channels)."""

_SIDES = (7, 8, 10, 12, 13, 14, 16, 19, 20, 24, 26, 28, 32, 38, 40, 48, 52, 56, 64, 75, 80, 96, 104,
          112, 128, 150, 160, 192, 208, 224)  # fmt: skip
HEIGHTS = (1, 2, 3, 4, 5, 7, 10, 14, 20, 28, 40, 56, 80, 112)
"""Rows of slabs."""

WHOLE = 1 / 3
"""Share of maps that are no slab."""


def side_of(rng: random.Random, least: int = 7, most: int = 224) -> int:
    """Of a square map."""
    return rng.choice([side for side in _SIDES if least <= side <= most])


def channels_of(rng: random.Random, side: int) -> int:
    """The larger the map, the fewer."""
    least, most = next((low, high) for bound, low, high in _CHANNELS if side >= bound)
    drawn: float = least * (most / least) ** rng.random()
    return blocks(drawn)


def blocks(channels: float, block: int = 16) -> int:
    """Channels as networks have them: kernels that work on blocks of channels take whole ones."""
    return max(block, round(channels / block) * block)


def height_of(rng: random.Random, side: int, least: int = 1) -> int:
    """Rows of a slab of a map, or all of them."""
    thinner = [height for height in HEIGHTS if least <= height < side]
    return rng.choice(thinner) if thinner and rng.random() > WHOLE else side
