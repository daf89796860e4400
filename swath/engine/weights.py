"""Weights by content: kept once, whatever plan or tile asks for them."""

from __future__ import annotations

from collections.abc import Container, Iterable

import numpy as np

from swath.engine.session import dtype_named
from swath.graph.weights import WeightSlice
from swath.ops.region import Region, subtract_all


class WeightStore:
    """Regions of constants, by the digest of the whole constant."""

    def __init__(self) -> None:
        self._held: dict[str, list[tuple[Region, np.ndarray]]] = {}

    def missing(self, needs: Iterable[WeightSlice]) -> list[WeightSlice]:
        """What has to be fetched: the parts of the needs that no held region covers."""
        asked: dict[str, list[Region]] = {}
        parts: list[WeightSlice] = []
        for need in needs:
            known = asked.setdefault(
                need.digest, [region for region, _ in self._held.get(need.digest, ())]
            )
            missing = subtract_all(need.region, known)
            known.extend(missing)
            parts.extend(need.part(region) for region in missing)
        return parts

    def put(self, digest: str, region: Region, array: np.ndarray) -> None:
        self._held.setdefault(digest, []).append((region, array))

    def get(self, need: WeightSlice) -> np.ndarray:
        """The region as one C-contiguous array; raises KeyError where a part of it is missing."""
        held = self._held.get(need.digest, [])
        for region, array in held:
            if region == need.region:
                return array
        for region, array in held:
            if region.contains(need.region):
                part = array[need.region.relative_to(region).slices()]
                return np.ascontiguousarray(part)
        missing = subtract_all(need.region, [region for region, _ in held])
        if missing:
            raise KeyError(f"weights {need.digest} lack {missing[0]}")
        whole = np.empty(need.region.shape, dtype_named(need.dtype))
        for region, array in held:
            common = region.intersect(need.region)
            if common is not None:
                target = common.relative_to(need.region).slices()
                whole[target] = array[common.relative_to(region).slices()]
        return whole

    def keep_only(self, digests: Container[str]) -> None:
        """Drop everything else."""
        self._held = {digest: held for digest, held in self._held.items() if digest in digests}

    @property
    def nbytes(self) -> int:
        return sum(array.nbytes for parts in self._held.values() for _, array in parts)
