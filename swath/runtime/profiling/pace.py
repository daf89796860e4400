"""How fast a machine is at a moment.

One that shares its cores with strangers, or that gets hot, is some tens of per cent slower at one
time than at another, for seconds or for hours. A fixed piece of work, timed whenever something else
is, tells that from what the other thing takes. It is timed by the CPU that it takes: programs of
the same machine that take turns with it, as devices of a lab do, make nothing slower; those that
want the same caches do.
"""

from __future__ import annotations

from swath.runtime.profiling.kernels import Timed
from swath.runtime.profiling.layers import Layers
from swath.runtime.profiling.tiles import whole_tile

CHANNELS, SIDE = 64, 56
"""Of a convolution as CNNs have many; its maps and weights fit a core's own cache."""

SECONDS = 0.02
"""For how long it is run over and over: longer than most interruptions, and soon over."""


class Pace:
    """The fixed piece of work, ready to be timed again and again, by one thread."""

    def __init__(self) -> None:
        layers = Layers(1, CHANNELS, SIDE, SIDE)
        layers.conv(layers.input, CHANNELS, 3)
        tile = whole_tile(layers.graph())
        self._whole = Timed(tile.model.model, **tile.shapes, threads=1).whole()

    def seconds(self, span: float = SECONDS) -> float:
        """Of CPU that it takes now, looked at for so many seconds."""
        return self._whole.typical(span)
