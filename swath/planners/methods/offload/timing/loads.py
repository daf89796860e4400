"""What each path of each block takes by itself, cut anywhere: tables that ways are looked up in."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from swath.planners.methods.offload.blocks import column
from swath.planners.methods.offload.parties import SOURCE, Parties
from swath.planners.methods.offload.paths import Paths
from swath.planners.methods.offload.timing.places import Places

FAR = np.iinfo(np.int32).max
"""Behind the last row of any map."""


@dataclass(frozen=True, slots=True)
class Loads:
    """By entry of a table: by cut, block and column (`Places.at`).

    ``here``: seconds by the clock of the source's tile, before the cut; ``there``: of CPU, behind
    it, by kind of device first (``kinds``: of the parties). Bytes that are sent, by whether the
    receiver computes the rest of the network first: ``needs``: what it reads; ``carried``: of this,
    what no path before it needs, wherever that is cut; ``alone``: what no other path needs.

    Bytes of what is handed on behind the block: ``whole``: what a server makes, or the source where
    that makes all; ``made_there``, ``made_here``: what either makes that is sent as it lies. By
    block and column (`Places.own`): ``cut_out``: what is not; ``picture``: of the model's inputs,
    what those before have not got.
    """

    kinds: np.ndarray
    here: np.ndarray
    there: np.ndarray
    needs: np.ndarray
    carried: np.ndarray
    alone: np.ndarray
    whole: np.ndarray
    made_there: np.ndarray
    made_here: np.ndarray
    cut_out: np.ndarray
    picture: np.ndarray

    def local(self, places: Places) -> np.ndarray:
        """Seconds by the clock of the source's tiles."""
        return np.where(places.is_begun, self.here.take(places.at), 0.0)

    def remote(self, parties: Parties, places: Places) -> np.ndarray:
        """Seconds by the clock of the servers' tiles."""
        server = places.server
        seconds = _by_first(self.there, self.kinds[server], places) * parties.pace[server]
        return np.where(places.is_finished, seconds + parties.tile[server], 0.0)

    def received(self, table: np.ndarray, places: Places) -> np.ndarray:
        """Of ``needs``, ``carried`` or ``alone``."""
        return _by_first(table, places.for_rest, places)

    def sent(self, table: np.ndarray, places: Places) -> np.ndarray:
        """Bytes of ``needs`` or ``carried``, and of the picture where a path is not begun."""
        picture = self.picture.take(places.own)
        found = np.where(places.is_raw, picture, self.received(table, places))
        return np.where(places.goes_to >= 0, found, 0.0)


def loads_of(paths: Paths, parties: Parties, kinds: np.ndarray) -> Loads:
    """The tables of all blocks."""
    blocks = paths.blocks
    cuts = np.arange(len(blocks.cuts))
    every = np.arange(len(blocks.ends))
    is_begun = (cuts > 0)[:, None, None]
    sent = [
        _sent(paths, *_strips(paths, is_there), *_widest(paths, *_strips(paths, is_begun)))
        for is_there in (paths.is_read & is_begun, is_begun)
    ]
    needs, carried, alone = (_flat(np.array(each)) for each in zip(*sent, strict=True))
    _, picture, _ = _sent(paths, paths.lo, paths.hi, paths.lo, paths.hi)
    # Of what is handed on, by item and block; and whether it is made behind a cut, by cut between.
    own = _nbytes(paths, paths.hi - paths.lo)[:, blocks.ends, every]
    tensor = paths.tensor[:, blocks.ends]
    is_behind = (paths.maker[tensor][:, None] >= np.array(blocks.cuts)[:, None])[..., None]
    is_done = (cuts[:, None] >= blocks.ends)[..., None]
    is_cut_out = paths.is_cut_out[tensor][..., None]
    plain = np.where(is_cut_out, 0.0, own)[:, None]
    ends = paths.seconds[:, blocks.ends, every]
    here = paths.seconds[kinds[SOURCE]] * parties.pace[SOURCE] + parties.tile[SOURCE]
    return Loads(
        kinds,
        here.ravel(),
        _flat(ends[:, None] - paths.seconds),
        needs,
        carried,
        alone,
        np.where(is_behind | is_done, own[:, None], 0.0).sum(0).ravel(),
        np.where(is_behind, plain, 0.0).sum(0).ravel(),
        np.where(is_behind, 0.0, plain).sum(0).ravel(),
        np.where(is_cut_out, own, 0.0).sum(0).ravel(),
        picture[0].ravel(),
    )


def _strips(paths: Paths, is_there: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(lo, hi) of what is there."""
    return np.where(is_there, paths.lo, FAR), np.where(is_there, paths.hi, 0)


def _widest(paths: Paths, lo: np.ndarray, hi: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(lo, hi) of the strip of each tensor, cut wherever it crosses."""
    low, high = lo.copy(), hi.copy()
    for tensor in np.unique(paths.tensor[paths.tensor >= 0]):
        where = np.nonzero(paths.tensor == tensor)
        low[where], high[where] = lo[where].min(0), hi[where].max(0)
    return low, high


def _sent(
    paths: Paths, lo: np.ndarray, hi: np.ndarray, low: np.ndarray, high: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Bytes of strips ``[lo, hi)`` by cut, block and column: (all, without what paths before need,
    and without what those behind do, either), those needing ``[low, high)``."""
    first, last = lo.copy(), hi.copy()
    for count in range(2, int(paths.blocks.paths.max()) + 1):
        own = slice(column(count), column(count) + count)
        done = np.maximum.accumulate(high[..., own], axis=-1)
        begun = np.minimum.accumulate(low[..., own][..., ::-1], axis=-1)[..., ::-1]
        first[..., own] = np.maximum(lo[..., own], _moved(done, 1, 0))
        last[..., own] = np.minimum(hi[..., own], _moved(begun, -1, FAR))
    needed, carried, alone = (
        _nbytes(paths, rows).sum(0) for rows in (hi - lo, hi - first, last - first)
    )
    return needed, carried, alone


def _moved(rows: np.ndarray, step: int, border: int) -> np.ndarray:
    """Each path gets what the one before it (or behind it) has."""
    moved = np.roll(rows, step, axis=-1)
    moved[..., 0 if step > 0 else -1] = border
    return moved


def _nbytes(paths: Paths, rows: np.ndarray) -> np.ndarray:
    return np.asarray(np.maximum(rows, 0) * paths.entry_bytes[:, :, None, None])


def _by_first(table: np.ndarray, first: np.ndarray, places: Places) -> np.ndarray:
    """Entries of tables that stand one below the other."""
    return np.asarray(table.take(first * table.shape[1] + places.at))


def _flat(table: np.ndarray) -> np.ndarray:
    """Cut, block and column as one axis, the last one."""
    return table.reshape(len(table), -1)
