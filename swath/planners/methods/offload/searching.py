"""Searching among ways to offload: what may be sooner is timed, and path after path is cut anew."""

from __future__ import annotations

import numpy as np

from swath.planners.methods.offload.parties import SOURCE
from swath.planners.methods.offload.setting import SURE, Setting
from swath.planners.methods.offload.two_sorts import choices_of, promising
from swath.planners.methods.offload.ways import Ways, joined

_KEPT = 24
"""Blocks and numbers of paths that are gone through path by path."""

_ROUNDS = 4
"""How often all paths are gone through, at most."""


def waiting_least(setting: Setting) -> tuple[np.ndarray, Ways]:
    """(seconds, ways), the soonest first, of the most promising blocks and numbers of paths: from
    paths of one or two sorts, each path in turn is cut, and sent, where the whole is over
    soonest."""
    seconds, ways = promising(setting)
    rows = firsts(ways, np.argsort(seconds, kind="stable"), _KEPT)
    seconds, ways = _path_by_path(setting, seconds[rows], ways.take(rows))
    order = np.argsort(seconds, kind="stable")
    return seconds[order], ways.take(order)


def firsts(ways: Ways, order: np.ndarray, most: int) -> np.ndarray:
    """The first so many rows of an order, no two with the same block and number of paths, and no
    two with one path."""
    keys = np.where(ways.paths == 1, 0, ways.block * (ways.paths.max() + 1) + ways.paths)[order]
    return order[np.sort(np.unique(keys, return_index=True)[1])][:most]


def improved(
    setting: Setting, seconds: np.ndarray, ways: Ways, tried: Ways, row: np.ndarray
) -> tuple[np.ndarray, Ways]:
    """(seconds, ways): each, or the soonest of those that are ``tried`` in its place. ``row``: in
    whose, by row of these."""
    kept = setting.sooner(tried, seconds[row])
    tried, row = setting.ordered(tried.take(kept)), row[kept]
    found = setting.seconds(tried)
    order = np.lexsort((found, row))
    best = order[np.unique(row[order], return_index=True)[1]]
    best = best[found[best] < seconds[row[best]]]
    taken = np.arange(len(ways))
    taken[row[best]] = len(ways) + best
    return np.concatenate([seconds, found])[taken], joined([ways, tried]).take(taken)


def _path_by_path(setting: Setting, seconds: np.ndarray, ways: Ways) -> tuple[np.ndarray, Ways]:
    for _ in range(_ROUNDS):
        before = seconds
        for path in range(setting.most):
            tried, row = _cut_anew(setting, ways, path)
            seconds, ways = improved(setting, seconds, ways, tried, row)
        if not (seconds < before * SURE).any():
            break
    return seconds, ways


def _cut_anew(setting: Setting, ways: Ways, path: int) -> tuple[Ways, np.ndarray]:
    """(ways with one path cut and sent anyhow, the rows of those that they come from)."""
    choices = choices_of(setting)
    row = np.repeat(np.flatnonzero(ways.paths > path), len(choices))
    changed = ways.take(row)
    for values, chosen in zip((changed.cut, changed.server), choices.T, strict=True):
        values[:, path] = np.resize(chosen, len(row))
    tried = setting.with_rests(changed.block, changed.paths, changed.cut, changed.server)
    return tried, np.repeat(row, len(setting.rests))


def source_alone(setting: Setting) -> Ways:
    """Everything on the source."""
    ways = setting.unfused()
    return ways.take(np.flatnonzero((ways.cut[:, 0] == setting.last) & (ways.rest == SOURCE))[:1])
