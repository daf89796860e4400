"""Bettering a way to offload: by single changes, and by cutting two paths anew together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np

from swath.planners.methods.offload.setting import SURE, Setting
from swath.planners.methods.offload.two_sorts import thinned
from swath.planners.methods.offload.ways import Ways, joined

_CHANGES = 60
"""Changes after which a way is left as it is."""

_TURNED = 8
"""Ways of which other turns are tried where none is sooner."""

_CUT_ANEW = 2**15
_PAIRED = 2**12
"""Ways with one path or two that are cut anew which are looked at together, about."""


def bettered(setting: Setting, seconds: float, way: Ways) -> tuple[float, Ways]:
    """(seconds, way): as long as that makes it sooner, two paths are cut, and sent, anew together,
    and then single changes are made."""
    while way.paths[0] > 1:
        tried = setting.ordered(_sooner(setting, _pairs_anew(setting, way), seconds))
        found, changed = _soonest(setting, tried, seconds)
        if found >= seconds * SURE:
            break
        seconds, way = _polished(setting, found, changed)
    return seconds, way


def _polished(setting: Setting, seconds: float, way: Ways) -> tuple[float, Ways]:
    """(seconds, way): of all single changes the best is made, until none helps."""
    for _ in range(_CHANGES):
        found, changed = _soonest(setting, _changed(setting, seconds, way), seconds)
        if found >= seconds * SURE:
            break
        seconds, way = found, changed
    return seconds, way


def _soonest(setting: Setting, ways: Ways, than: float) -> tuple[float, Ways]:
    """(seconds, way) of the soonest; where none is sooner than so many seconds, with other turns of
    the best few."""
    if not len(ways):
        return math.inf, ways
    seconds = setting.seconds(ways)
    order = np.argsort(seconds, kind="stable")
    if seconds[order[0]] < than * SURE:
        return float(seconds[order[0]]), ways.take(order[:1])
    return setting.best(joined(_turned(ways.take([row])) for row in order[:_TURNED]))


def _sooner(setting: Setting, ways: Ways, than: float) -> Ways:
    return ways.take(setting.sooner(ways, than))


def _changed(setting: Setting, seconds: float, way: Ways) -> Ways:
    """A way of so many seconds with one change, if that may be sooner; new cuts with the turns that
    paths had, too."""
    anew = _sooner(setting, _cut_anew(setting, way), seconds)
    moved = _sooner(setting, _other_blocks(setting, way), seconds)
    more = _sooner(setting, _more_or_fewer(setting, way), seconds)
    alike = joined([anew, moved])
    return joined([
        _turned(way),
        _placed(way),
        setting.ordered(joined([alike, more])),
        replace(alike, order=np.repeat(way.order, len(alike), axis=0)),
    ])  # fmt: skip


def _cut_anew(setting: Setting, way: Ways) -> Ways:
    """One path cut or sent elsewhere, or all cuts moved by one; and the rest anywhere."""
    count = int(way.paths[0])
    choices = _choices(setting, way, _CUT_ANEW // (count * len(setting.rests)))
    changed = way.take([0] * (count * len(choices)))
    path = np.repeat(np.arange(count), len(choices))
    changed.cut[np.arange(len(path)), path] = np.tile(choices[:, 0], count)
    changed.server[np.arange(len(path)), path] = np.tile(choices[:, 1], count)
    cut = np.concatenate([changed.cut, way.cut, way.cut + 1, way.cut - 1])
    server = np.concatenate([changed.server, *[way.server] * 3])
    every = np.ones(len(cut), dtype=int)
    return setting.with_rests(way.block * every, way.paths * every, cut, server)


def _pairs_anew(setting: Setting, way: Ways) -> Ways:
    """Two paths cut and sent elsewhere."""
    pairs = np.array(list(combinations(range(int(way.paths[0])), 2)))
    choices = _choices(setting, way, math.isqrt(_PAIRED // len(pairs)))
    both = np.indices((len(choices), len(choices))).reshape(2, -1)
    changed = way.take([0] * (len(pairs) * both.shape[1]))
    for path, choice in zip(pairs.T, both, strict=True):
        places = np.arange(len(changed)), np.repeat(path, len(choice))
        changed.cut[places], changed.server[places] = choices[np.tile(choice, len(pairs))].T
    return setting.in_turn(changed.block, changed.paths, changed.rest, changed.cut, changed.server)


def _choices(setting: Setting, way: Ways, most: int) -> np.ndarray:
    """About so many (cut, server), by row, of the way's block."""
    cuts = np.arange(setting.ends[way.block[0]] + 1)
    return setting.choices(thinned(cuts, max(2, most // max(1, setting.parties.servers))))


def _other_blocks(setting: Setting, way: Ways) -> Ways:
    """Another block."""
    return _with_paths(setting, way, range(int(way.paths[0])))


def _more_or_fewer(setting: Setting, way: Ways) -> Ways:
    """Another block or not, and one path more or fewer, the first or the last."""
    every = range(int(way.paths[0]))
    found = [_with_paths(setting, way, [0, *every]), _with_paths(setting, way, [*every, every[-1]])]
    if len(every) > 1:
        found += [_with_paths(setting, way, every[1:]), _with_paths(setting, way, every[:-1])]
    return joined(found)


def _with_paths(setting: Setting, way: Ways, paths: Sequence[int]) -> Ways:
    """In every block these paths of the way, cut there; or, if the source finishes them in its
    block, finished by the source."""
    blocks = np.flatnonzero(setting.blocks.paths >= len(paths))
    places = np.resize(paths, setting.most)
    cut, server = way.cut[0, places], way.server[0, places]
    finished = np.where(cut >= setting.ends[way.block[0]], setting.last, cut)
    both = np.repeat([cut, finished], len(blocks), axis=0)
    return setting.with_rests(
        np.tile(blocks, 2), np.full(len(both), len(paths)), both, np.tile(server, (len(both), 1))
    )


def _turned(way: Ways) -> Ways:
    """The same paths in other turns."""
    arrangements = _arrangements(way)
    return replace(way.take([0] * len(arrangements)), order=way.order[0][arrangements])


def _placed(way: Ways) -> Ways:
    """What paths do is done by others, in the same turns."""
    arrangements = _arrangements(way)
    return replace(
        way.take([0] * len(arrangements)),
        cut=way.cut[0][arrangements],
        server=way.server[0][arrangements],
        order=np.argsort(arrangements, axis=1)[:, way.order[0]],
    )


def _arrangements(way: Ways) -> np.ndarray:
    """Numbers of paths, by row: the last first, two exchanged, or one moved to another place."""
    count = int(way.paths[0])
    every = list(range(count))
    found = [every[::-1]]
    for one, other in combinations(every, 2):
        swapped = every.copy()
        swapped[one], swapped[other] = other, one
        found.append(swapped)
        for place, to in ((one, other), (other, one)):
            moved = every[:place] + every[place + 1 :]
            found.append([*moved[:to], place, *moved[to:]])
    absent = list(range(count, way.cut.shape[1]))
    return np.array([arrangement + absent for arrangement in found])
