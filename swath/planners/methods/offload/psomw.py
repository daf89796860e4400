"""PSOMW: a particle swarm over fused blocks, cuts of their paths and servers.

Zhou, Li, Wang, Min, Wu: Accelerating Deep Learning Inference via Model Parallelism and Partial
Computation Offloading (IEEE Transactions on Parallel and Distributed Systems 34(2), 2023).

From the abstract: fused-layer model parallelism with paths that are offloaded in part; *particle
swarm optimisation with minimising waiting* explores and updates the fused-layer strategy, the
scheduling of the paths and where each is cut, and avoids invalid solutions; within 0.04 % of brute
force. Reconstructed: all of how. A particle is a point of a unit cube: which block, how many
paths, and for each path its cut and its server. Every point stands for a valid way; minimising
waiting orders its paths, and the rest of the network is computed where that is soonest. A part of
the swarm begins with what `mw` and the best single cuts give, the rest anywhere; the best particles
that were ever met are bettered at the end, by single changes and in pairs of paths.
Otherwise as `mw`, beside this file.
"""

from __future__ import annotations

import numpy as np

from swath.plan.plan import Plan
from swath.planners.methods.offload.searching import firsts, in_pairs, polished, waiting_least
from swath.planners.methods.offload.setting import Setting, checked_number, offloaded
from swath.planners.methods.offload.ways import Ways, joined
from swath.planners.registry import Problem

SWARM = 32
ROUNDS = 40
STALE = 12
"""Rounds without a better particle after which the swarm stops."""

_INERTIA = (0.9, 0.4)
_PULL = 1.7
"""Towards the particle's own best, and the swarm's."""

_POLISHED = 6
"""Particles that are bettered at the end, no two of one block and number of paths."""

_PAIRED = 2
"""Of these, those whose paths are changed in pairs too."""


class Psomw:
    """Options: ``paths``: into how many a block may be cut at most; ``seed``: of the swarm."""

    def __init__(self, paths: int | None = None, seed: int = 0) -> None:
        self.paths = checked_number("paths", paths)
        self.seed = checked_number("seed", seed, 0)

    def plan(self, problem: Problem) -> Plan:
        return offloaded(
            "psomw", problem, self.paths, lambda setting: swarmed(setting, self.seed or 0)[1]
        )


def swarmed(setting: Setting, seed: int) -> tuple[float, Ways]:
    """(seconds, way) that the swarm finds."""
    generator = np.random.default_rng(seed)
    begun = joined([waiting_least(setting)[1], _best_single_cuts(setting)])
    places = generator.random((SWARM, 2 + 2 * setting.most))
    known = min(len(begun), SWARM // 2)
    places[:known] = _encoded(setting, begun.take(range(known)))
    velocity = generator.uniform(-0.2, 0.2, places.shape)
    seconds, ways = _decoded(setting, places)
    best_places, best_seconds, best_ways = places, seconds, ways
    stale = 0
    for inertia in np.linspace(*_INERTIA, ROUNDS):
        leader = best_places[np.argmin(best_seconds)]
        own, common = generator.random((2, *places.shape)) * _PULL
        velocity = inertia * velocity + own * (best_places - places) + common * (leader - places)
        places = np.clip(places + velocity, 0.0, 1.0)
        seconds, ways = _decoded(setting, places)
        stale = 0 if seconds.min() < best_seconds.min() else stale + 1
        is_better = seconds < best_seconds
        rows = np.where(is_better, SWARM, 0) + np.arange(SWARM)
        best_ways = joined([best_ways, ways]).take(rows)
        best_places = np.where(is_better[:, None], places, best_places)
        best_seconds = np.minimum(seconds, best_seconds)
        if stale == STALE:
            break
    tried = firsts(best_ways, np.argsort(best_seconds, kind="stable"), _POLISHED)
    found = [polished(setting, best_ways.take([row])) for row in tried]
    found.sort(key=lambda each: each[0])
    return min((in_pairs(setting, way) for _, way in found[:_PAIRED]), key=lambda each: each[0])


def _best_single_cuts(setting: Setting) -> Ways:
    ways = setting.unfused()
    return ways.take(np.argsort(setting.seconds(ways), kind="stable")[:4])


def _decoded(setting: Setting, places: np.ndarray) -> tuple[np.ndarray, Ways]:
    """(seconds, ways) of particles, each with the rest computed where it is soonest."""
    most = setting.most
    block = _numbered(places[:, 0], len(setting.ends))
    paths = 1 + _numbered(places[:, 1], setting.blocks.paths[block])
    cut = _numbered(places[:, 2 : 2 + most], setting.ends[block][:, None] + 1)
    server = _numbered(places[:, 2 + most :], max(1, setting.parties.servers))
    ways = setting.with_rests(block, paths, cut, server)
    seconds = setting.seconds(ways).reshape(len(places), -1)
    best = seconds.argmin(1)
    every = np.arange(len(places))
    return seconds[every, best], ways.take(every * seconds.shape[1] + best)


def _encoded(setting: Setting, ways: Ways) -> np.ndarray:
    """The middles of the cells in which ways lie."""
    return np.column_stack([
        (ways.block + 0.5) / len(setting.ends),
        (ways.paths - 0.5) / setting.blocks.paths[ways.block],
        (ways.cut + 0.5) / (setting.ends[ways.block][:, None] + 1),
        (ways.server + 0.5) / max(1, setting.parties.servers),
    ])  # fmt: skip


def _numbered(place: np.ndarray, count: np.ndarray | int) -> np.ndarray:
    """The number of the cell, of so many equal ones, in which a place between 0 and 1 lies."""
    return np.asarray(np.minimum((place * count).astype(int), np.asarray(count) - 1))
