"""Which blocks, cuts and servers are promising: paths of two sorts, by a formula.

A path of a block takes about as long as any other that is cut alike. So a way is, roughly, a few
jobs of one sort and then some of another; how long a flow shop of those takes is said by the
longest way through it, without going through it, for every pair of sorts at once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from swath.planners.methods.offload.parties import SOURCE
from swath.planners.methods.offload.setting import Setting
from swath.planners.methods.offload.ways import Ways, chunks, joined

_CHOICES = 64
"""Cuts and servers that paths of one sort may have, at most."""

_BLOCKS = 64
_OF_EACH = 3
"""Ways of each block, number of paths and rest that are timed."""

_TIMED = 256
"""Ways that are timed in all, at most, for each end at which the first sort may lie."""

_AT_ONCE = 2**18
"""Ways that are estimated together: what memory is needed for."""


@dataclass(frozen=True, slots=True)
class Sorts:
    """Seconds of a path on the source, on its link and on its server, by group and choice."""

    local: np.ndarray
    uplink: np.ndarray
    server: np.ndarray


def thinned(numbers: np.ndarray, most: int) -> np.ndarray:
    """So many of them, or all: the first and the last, more of the earlier than of the later."""
    if len(numbers) <= most:
        return numbers
    places = np.linspace(0, 1, most) ** 1.5 * (len(numbers) - 1)
    return np.asarray(numbers[np.unique(places.round().astype(int))])


def choices_of(setting: Setting) -> np.ndarray:
    """(cut, server), by row, that are tried for paths."""
    most = max(2, _CHOICES // max(1, setting.parties.servers))
    return setting.choices(thinned(np.arange(setting.last + 1), most))


def promising(setting: Setting) -> tuple[np.ndarray, Ways]:
    """(seconds, ways) of one path, and of paths of one or two sorts, that may be soon."""
    single = setting.unfused()
    found = [single]
    choices = choices_of(setting)
    groups = np.array([
        (block, count, rest)
        for block in thinned(np.arange(len(setting.ends)), _BLOCKS)
        for count in range(2, setting.blocks.paths[block] + 1)
        for rest in ([SOURCE] if setting.is_all[block] else setting.rests)
    ]).reshape(-1, 3)  # fmt: skip
    if len(groups):
        at_once = max(1, _AT_ONCE // len(choices))
        parts = [_estimates(setting, some, choices) for some in chunks(groups, at_once)]
        estimates, sorts = (np.concatenate(each) for each in zip(*parts, strict=True))
        best = np.argsort(estimates, axis=None, kind="stable")[:_TIMED]
        rows, places = np.unravel_index(best, estimates.shape)
        block, count, rest = groups[rows].T
        one, other, few = sorts[rows, places].T
        paths = np.arange(setting.most)
        for is_one in (paths < few[:, None], paths >= (count - few)[:, None]):
            chosen = np.where(is_one[:, :, None], choices[one][:, None], choices[other][:, None])
            found.append(setting.ways(block, count, rest, chosen[:, :, 0], chosen[:, :, 1]))
    ways = joined(found)
    return setting.seconds(ways), ways


def _estimates(
    setting: Setting, groups: np.ndarray, choices: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(seconds, (choice of the first paths, of the others, how many the first are)) of the best
    few of each group, by group."""
    block, count, rest = np.repeat(groups, len(choices), axis=0).T
    columns = np.ones((1, setting.most), dtype=int)
    cut, server = (np.tile(values, len(groups))[:, None] * columns for values in choices.T)
    alike = setting.in_turn(block, count, rest, cut, server)
    least = setting.timing.least(alike)
    is_there = np.arange(setting.most) < count[:, None]
    mean = [
        (np.where(is_there, seconds, 0.0).sum(1) / count).reshape(len(groups), -1)
        for seconds in (least.local, least.uplink, least.remote + least.back)
    ]
    besides = setting.timing.besides(alike).reshape(len(groups), -1)[:, 0]
    seconds = np.full((len(groups), _OF_EACH), np.inf)
    sorts = np.zeros((len(groups), _OF_EACH, 3), dtype=int)
    for paths in np.unique(groups[:, 1]):
        rows = np.flatnonzero(groups[:, 1] == paths)
        few = np.arange(1, paths)
        for row in rows:
            spans = two_sorts(Sorts(*(each[row] for each in mean)), few, paths - few)
            kept = min(_OF_EACH, spans.size)
            best = np.argpartition(spans, kept - 1, axis=None)[:kept]
            one, other, place = np.unravel_index(best, spans.shape)
            seconds[row, :kept] = spans[one, other, place] + besides[row]
            sorts[row, :kept] = np.column_stack([one, other, few[place]])
    return seconds, sorts


def two_sorts(jobs: Sorts, first: np.ndarray, then: np.ndarray) -> np.ndarray:
    """The makespan of a flow shop of ``first`` jobs of one sort and ``then`` of another, by sort,
    other sort and numbers: the longest of all ways through it. Jobs that begin with sending are
    sent together, and so begin to be served when the last of them is there."""
    local, uplink, server = (each[:, None, None] for each in (jobs.local, jobs.uplink, jobs.server))
    more = first - 1
    free = local * first
    sent = local + uplink + more * np.maximum(local, uplink)
    apart = local + uplink + server + more * np.maximum(np.maximum(local, uplink), server)
    done = np.where(local > 0, apart, (uplink + server) * first)
    local, uplink, server = (each.swapaxes(0, 1) for each in (local, uplink, server))
    more = then - 1
    slowest = np.maximum(uplink, server)
    ends = np.maximum(done + server * then, free + local * then)
    ends = np.maximum(ends, sent + uplink + server + more * slowest)
    through = free + local + uplink + server
    return np.asarray(np.maximum(ends, through + more * np.maximum(slowest, local)))
