"""How weights are addressed: the digest of a whole constant, and a region of it.

Light on purpose: workers import it.
"""

from __future__ import annotations

from dataclasses import dataclass

from swath.ops.region import Region


@dataclass(frozen=True, slots=True)
class WeightSlice:
    """A region of a constant, by the constant's digest."""

    digest: str
    region: Region
    dtype: str
    nbytes: int

    def part(self, region: Region) -> WeightSlice:
        """Another region of the same constant."""
        itemsize = self.nbytes // self.region.size
        return WeightSlice(self.digest, region, self.dtype, region.size * itemsize)
