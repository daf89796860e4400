"""Searching among ways to offload: path after path, and one change after the other."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import combinations

import numpy as np

from swath.planners.methods.offload.parties import SOURCE
from swath.planners.methods.offload.setting import Setting
from swath.planners.methods.offload.two_sorts import choices_of, promising, thinned
from swath.planners.methods.offload.ways import Ways, joined

_KEPT = 8
"""Blocks and numbers of paths that are gone through path by path."""

_ROUNDS = 4
"""How often all paths are gone through, at most."""

_CHANGES = 60
"""Changes after which a way is left as it is."""

_PAIRED = 4096
"""Ways to cut two paths anew that are tried together, at most."""

_GAIN = 1e-9
"""Relative; less is rounding."""


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


def _path_by_path(setting: Setting, seconds: np.ndarray, ways: Ways) -> tuple[np.ndarray, Ways]:
    for _ in range(_ROUNDS):
        before = seconds
        for path in range(setting.most):
            seconds, ways = _bettered(setting, seconds, ways, path)
        if not (seconds < before * (1 - _GAIN)).any():
            break
    return seconds, ways


def _bettered(
    setting: Setting, seconds: np.ndarray, ways: Ways, path: int
) -> tuple[np.ndarray, Ways]:
    """Each way with one path cut and sent as is best."""
    choices = choices_of(setting)
    rows, options = len(ways), len(choices)
    cut = np.repeat(ways.cut, options, axis=0)
    server = np.repeat(ways.server, options, axis=0)
    cut[:, path] = np.tile(choices[:, 0], rows)
    server[:, path] = np.tile(choices[:, 1], rows)
    repeated = ways.take(np.repeat(np.arange(rows), options))
    tried = setting.with_rests(repeated.block, repeated.paths, cut, server)
    per_row = setting.seconds(tried).reshape(rows, -1)
    best = per_row.argmin(1)
    found = tried.take(np.arange(rows) * per_row.shape[1] + best)
    is_better = per_row.min(1) < seconds
    merged = joined([ways, found]).take(np.where(is_better, rows, 0) + np.arange(rows))
    return np.minimum(per_row.min(1), seconds), merged


def polished(setting: Setting, way: Ways) -> tuple[float, Ways]:
    """(seconds, way): of all single changes the best is made, until none helps."""
    seconds = float(setting.seconds(way)[0])
    for _ in range(_CHANGES):
        found, changed = setting.best(_changes(setting, way))
        if found >= seconds * (1 - _GAIN):
            break
        seconds, way = found, changed
    return seconds, way


def in_pairs(setting: Setting, way: Ways) -> tuple[float, Ways]:
    """(seconds, way): as long as it helps two paths are cut, and sent, anew together, and then
    single changes are made."""
    seconds = float(setting.seconds(way)[0])
    while way.paths[0] > 1:
        found, changed = setting.best(_pairs(setting, way))
        if found >= seconds * (1 - _GAIN):
            break
        seconds, way = polished(setting, changed)
    return seconds, way


def _pairs(setting: Setting, way: Ways) -> Ways:
    pairs = list(combinations(range(int(way.paths[0])), 2))
    most = math.isqrt(_PAIRED // len(pairs)) // max(1, setting.parties.servers)
    cuts = thinned(np.arange(setting.ends[way.block[0]] + 1), max(2, most))
    choices = setting.choices(cuts)
    one, other = (each.ravel() for each in np.indices((len(choices), len(choices))))
    changed = []
    for pair in pairs:
        rows = way.take(np.zeros(len(one), dtype=int))
        cut, server = rows.cut.copy(), rows.server.copy()
        for path, choice in zip(pair, (one, other), strict=True):
            cut[:, path], server[:, path] = choices[choice].T
        changed.append(setting.ways(rows.block, rows.paths, rows.rest, cut, server))
    return joined(changed)


def _changes(setting: Setting, way: Ways) -> Ways:
    """The way with one path cut or sent elsewhere, with what two paths do or their turns exchanged,
    with all cuts moved by one, with another block, number of paths or rest."""
    block, count = int(way.block[0]), int(way.paths[0])
    end = int(setting.ends[block])
    choices = setting.choices(np.arange(end + 1))
    cuts, servers = [], []
    for path in range(count):
        cut = np.repeat(way.cut, len(choices), axis=0)
        server = np.repeat(way.server, len(choices), axis=0)
        cut[:, path], server[:, path] = choices.T
        cuts.append(cut)
        servers.append(server)
    cuts += [way.cut + 1, way.cut - 1]
    servers += [way.server, way.server]
    for pair in combinations(range(count), 2):
        exchanged = np.arange(setting.most)
        exchanged[[*pair]] = pair[::-1]
        cuts.append(way.cut[:, exchanged])
        servers.append(way.server[:, exchanged])
    cut, server = np.concatenate(cuts), np.concatenate(servers)
    every = np.full(len(cut), block)
    anew = setting.with_rests(every, np.full(len(cut), count), cut, server)
    found = [anew, replace(anew, order=np.repeat(way.order, len(anew), axis=0))]
    found.append(_turned(way, count))
    found.append(_other_blocks(setting, way))
    return joined(found)


def _turned(way: Ways, count: int) -> Ways:
    """Two paths change their turns, or one takes its turn earlier or later."""
    orders = [way.order[0]]
    for one, other in combinations(range(count), 2):
        swapped = way.order[0].copy()
        swapped[[one, other]] = swapped[[other, one]]
        orders.append(swapped)
        for turn, to in ((one, other), (other, one)):
            rest = np.delete(way.order[0], turn)
            orders.append(np.insert(rest, to, way.order[0][turn]))
    rows = way.take([0] * len(orders))
    return replace(rows, order=np.array(orders))


def _other_blocks(setting: Setting, way: Ways) -> Ways:
    """Another block, and one path more or fewer, the first or the last; what the source finishes,
    it finishes there too."""
    count = int(way.paths[0])
    end = setting.ends[way.block[0]]
    cut = np.where(way.cut[0] >= end, setting.last, way.cut[0])[:count]
    server = way.server[0, :count]
    found = []
    for change, places in (
        (0, range(count)), (1, [0, *range(count)]), (1, [*range(count), count - 1]),
        (-1, range(1, count)), (-1, range(count - 1)),
    ):  # fmt: skip
        blocks = np.flatnonzero(setting.blocks.paths >= count + change)
        if count + change and len(blocks):
            padded = np.resize(places, setting.most)
            found.append(
                setting.with_rests(
                    blocks,
                    np.full(len(blocks), count + change),
                    np.tile(cut[padded], (len(blocks), 1)),
                    np.tile(server[padded], (len(blocks), 1)),
                )
            )
    return joined(found)


def source_alone(setting: Setting) -> Ways:
    """Everything on the source."""
    ways = setting.unfused()
    return ways.take(np.flatnonzero((ways.cut[:, 0] == setting.last) & (ways.rest == SOURCE))[:1])
