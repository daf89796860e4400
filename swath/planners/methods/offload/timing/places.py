"""Where the paths of ways stand in tables, and who gets what of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from swath.planners.methods.offload.blocks import Blocks, column
from swath.planners.methods.offload.parties import SOURCE
from swath.planners.methods.offload.ways import Ways


@dataclass(frozen=True, slots=True)
class Places:
    """Paths by row and turn. ``path``: which it is, ``is_there``: whether there is one.

    ``is_begun``: the source computes some of it, ``is_finished``: a ``server`` the rest of it,
    ``is_raw``: all; ``goes_to``: where it is sent (-1: nowhere), ``for_rest``: that is who computes
    the rest of the network. ``cut``: its place. Entries of tables: ``at``: by cut, block and
    column; ``own``: by block and column.
    """

    path: np.ndarray
    is_there: np.ndarray
    is_begun: np.ndarray
    is_finished: np.ndarray
    is_raw: np.ndarray
    server: np.ndarray
    goes_to: np.ndarray
    for_rest: np.ndarray
    cut: np.ndarray
    at: np.ndarray
    own: np.ndarray


def in_turns(blocks: Blocks, ways: Ways) -> Places:
    """In the order of their turns."""
    cut, server = (np.take_along_axis(each, ways.order, 1) for each in (ways.cut, ways.server))
    return _places(blocks, ways, ways.order, cut, server)


def side_by_side(blocks: Blocks, ways: Ways) -> Places:
    """In the order in which they lie, whatever their turns."""
    path = np.broadcast_to(np.arange(ways.cut.shape[1]), ways.cut.shape)
    return _places(blocks, ways, path, ways.cut, ways.server)


def _places(
    blocks: Blocks, ways: Ways, path: np.ndarray, cut: np.ndarray, server: np.ndarray
) -> Places:
    block, count, rest = ways.block[:, None], ways.paths[:, None], ways.rest[:, None]
    is_there = path < count
    path = np.where(is_there, path, 0)
    end = blocks.ends[block]
    cut = np.where(is_there, cut, end)
    is_begun, is_finished = is_there & (cut > 0), is_there & (cut < end)
    goes_to = np.where(is_finished, server, np.where(is_there, rest, SOURCE))
    own = block * blocks.columns + column(count) + path
    return Places(
        path, is_there, is_begun, is_finished, is_finished & ~is_begun, server, goes_to,
        goes_to == rest, cut, cut * blocks.width + own, own,
    )  # fmt: skip
