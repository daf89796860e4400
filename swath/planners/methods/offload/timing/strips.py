"""Strips that paths need, and what of them their receivers lack when their turns come."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from swath.planners.methods.offload.paths import Paths
from swath.planners.methods.offload.timing.loads import FAR
from swath.planners.methods.offload.timing.places import Places


@dataclass(frozen=True, slots=True)
class Parcels:
    """What is sent for paths, by row and turn, in bytes: ``carried``: all of it; ``parts``: of it,
    what is part of a strip and copied out of it; ``joined``: strips that come in several pieces,
    which the receiver copies together."""

    carried: np.ndarray
    parts: np.ndarray
    joined: np.ndarray


def sent_strips(paths: Paths, places: Places) -> Parcels:
    """What the source sends of what it has made."""
    is_there = (places.is_begun & (places.goes_to >= 0)) & (
        _taken(paths.is_read, places.at) | places.for_rest
    )
    return _parcels(
        paths, places.cut, places.at, is_there, places.goes_to, places.path, paths.is_cut_out
    )


def shown_strips(paths: Paths, places: Places, to: np.ndarray) -> Parcels:
    """What is handed out of the model's inputs, ``to`` whom."""
    return _parcels(
        paths, np.zeros_like(places.cut), places.own, places.is_there[None], to, places.path,
        paths.is_picked_out,
    )  # fmt: skip


def _parcels(
    paths: Paths, cut: np.ndarray, at: np.ndarray, is_there: np.ndarray, to: np.ndarray,
    path: np.ndarray, is_copied: np.ndarray,
) -> Parcels:  # fmt: skip
    """Of what ``is_there``, by item, row and turn. Strips of paths lie as the paths do, so what a
    receiver has already is at the ends of what is needed."""
    tensor = paths.tensor.take(cut, axis=1)
    entry_bytes = paths.entry_bytes.take(cut, axis=1)
    lo, hi = _taken(paths.lo, at), _taken(paths.hi, at)
    first, after = _had(lo, hi, tensor, is_there, to, path)
    nbytes, lacking = (
        np.where(is_there, np.maximum(rows, 0) * entry_bytes, 0.0)
        for rows in (hi - lo, np.minimum(hi, after) - np.maximum(lo, first))
    )
    is_part = lacking < nbytes
    return Parcels(
        lacking.sum(0),
        np.where(is_part & is_copied[tensor], lacking, 0.0).sum(0),
        np.where(is_part, nbytes, 0.0).sum(0),
    )


def _had(
    lo: np.ndarray, hi: np.ndarray, tensor: np.ndarray, is_there: np.ndarray, to: np.ndarray,
    path: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """(behind the last row from above, the first row from below) that a receiver has had."""
    first, after = np.zeros_like(lo), np.full_like(lo, FAR)
    is_there = np.broadcast_to(is_there, lo.shape)
    for turn in range(1, path.shape[1]):
        before = slice(turn)
        is_had = (to[:, before] == to[:, turn, None]) & is_there[..., before]
        is_had &= tensor[..., before] == tensor[..., turn, None]
        is_above = path[:, before] < path[:, turn, None]
        first[..., turn] = np.where(is_had & is_above, hi[..., before], 0).max(-1)
        after[..., turn] = np.where(is_had & ~is_above, lo[..., before], FAR).min(-1)
    return first, after


def _taken(table: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Entries of a table by item first."""
    return table.reshape(len(table), -1).take(at, axis=1)
