"""How much is measured: quickly or fully."""

from __future__ import annotations

from dataclasses import dataclass

from swath.runtime.profiling.chains import CHAINS


@dataclass(frozen=True, slots=True)
class Effort:
    """``tiles``: how many networks' kernels are timed, of at most ``most_flops`` each, for
    ``tile_seconds`` each or the fewest runs, ``budget`` seconds in all (None: as long as it takes);
    ``chains`` for ``chain_seconds`` under each of ``loads``; ``rounds`` of messages of each size.
    """

    kind: str
    tiles: int
    most_flops: float
    tile_seconds: float
    budget: float | None
    chains: tuple[str, ...]
    loads: tuple[float, ...]
    chain_seconds: float
    rounds: int


BRIEF = Effort(
    kind="brief",
    tiles=24,
    most_flops=3e8,
    tile_seconds=0.0,
    budget=3.0,
    chains=(),
    loads=(),
    chain_seconds=0.0,
    rounds=3,
)
"""Under five seconds: for whoever runs a model on devices that nobody has profiled."""

QUICK = Effort(
    kind="quick",
    tiles=300,
    most_flops=3e8,
    tile_seconds=0.04,
    budget=11.0,
    chains=("convolution-3", "depthwise", "elementwise"),
    loads=(0.4, 0.8),
    chain_seconds=0.3,
    rounds=5,
)
"""Well under 20 seconds per device."""

FULL = Effort(
    kind="full",
    tiles=2000,
    most_flops=4e9,
    tile_seconds=0.1,
    budget=None,
    chains=tuple(CHAINS),
    loads=(0.2, 0.4, 0.6, 0.8),
    chain_seconds=0.6,
    rounds=15,
)
"""Some minutes per device."""

EFFORTS = (BRIEF, QUICK, FULL)
"""From the least to the most."""
