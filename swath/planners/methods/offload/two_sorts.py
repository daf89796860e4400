"""Which blocks, cuts and servers are promising: paths of two sorts, by a formula.

A path of a block takes about as long as any other that is cut alike. So a way is, roughly, a few
jobs of one sort and then some of another; how long a flow shop of those takes is said by the
longest way through it, without going through it, for every pair of sorts at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np

from swath.planners.methods.offload.bounds import Least, besides, least_of, means
from swath.planners.methods.offload.parties import SOURCE
from swath.planners.methods.offload.setting import SURE, Setting
from swath.planners.methods.offload.ways import Ways, chunks, joined

_CHOICES = 64
"""Cuts and servers that paths of one sort may have, at most."""

_BLOCKS = 64
_AT_ONCE = 2**15
"""Ways that are estimated together."""

_OF_EACH = 24
"""Ways of each block, number of paths and rest that may be timed, for each end at which the first
sort may lie."""


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
    """(seconds, ways) of one path, and of paths of one or two sorts that may be sooner."""
    single = setting.unfused()
    seconds = setting.seconds(single)
    soonest = float(seconds.min())
    found = [
        ways
        for block in thinned(np.arange(len(setting.ends)), _BLOCKS)
        for ways in _of_block(setting, int(block), soonest)
    ]
    if not found:
        return seconds, single
    fused = joined(found)
    fused = setting.ordered(fused.take(setting.sooner(fused, soonest)))
    return np.concatenate([seconds, setting.seconds(fused)]), joined([single, fused])


def _of_block(setting: Setting, block: int, than: float) -> Iterator[Ways]:
    """The most promising ways for each number of paths, and who computes the rest, with which any
    may be sooner ``than`` so many seconds."""
    choices = choices_of(setting)
    rests = [SOURCE] if setting.is_all[block] else setting.rests
    counts = range(2, setting.blocks.paths[block] + 1)
    groups = np.array(list(product(counts, rests))).reshape(-1, 2)
    for some in chunks(groups, max(1, _AT_ONCE // len(choices))):
        yield from _of_groups(setting, block, some, choices, than)


def _of_groups(
    setting: Setting, block: int, groups: np.ndarray, choices: np.ndarray, than: float
) -> Iterator[Ways]:
    """``groups``: (number of paths, who computes the rest), ``choices``: (cut, server), by row."""
    most = setting.most
    shape = len(groups), len(choices)
    count, rest = np.repeat(groups, len(choices), axis=0).T
    cut, server = (
        np.repeat(np.tile(each, len(groups))[:, None], most, axis=1) for each in choices.T
    )
    alike = setting.in_turn(np.full(len(count), block), count, rest, cut, server)
    least = least_of(setting.timing, alike)
    around = besides(setting.timing, alike).reshape(shape)[:, 0]
    bounds = around + _bounds(setting, least, shape)
    jobs = [
        each.sum(1).reshape(shape) / groups[:, :1]
        for each in (least.local, least.uplink, least.remote + least.back)
    ]
    paths = np.arange(most)
    for group in np.flatnonzero(bounds < than * SURE):
        count, rest = groups[group]
        few = np.arange(1, count)
        spans = two_sorts(Sorts(*(each[group] for each in jobs)), few, count - few)
        best = np.argpartition(spans, min(_OF_EACH, spans.size) - 1, axis=None)[:_OF_EACH]
        one, other, place = np.unravel_index(best, spans.shape)
        first = few[place][:, None]
        for is_one in (paths < first, paths >= count - first):
            chosen = np.where(is_one[:, :, None], choices[one][:, None], choices[other][:, None])
            every = np.ones(len(best), dtype=int)
            yield setting.in_turn(
                block * every, count * every, rest * every, chosen[:, :, 0], chosen[:, :, 1]
            )


def _bounds(setting: Setting, least: Least, shape: tuple[int, int]) -> np.ndarray:
    """Seconds that paths take at least, by group, however each is cut and sent (``shape``: groups,
    choices): the source, all links and all servers are taken for three machines."""
    servers = max(1, setting.parties.servers)
    links = 1 if setting.parties.is_radio else servers
    machines = np.stack([least.local, least.uplink / links, least.remote / servers], axis=-1)
    weighed = (machines @ means(machines.shape[-1]).T).reshape(*shape, setting.most, -1)
    return np.asarray(weighed.min(1).sum(1).max(1))


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
