"""PSOMW: a particle swarm over fused blocks, cuts of their paths and servers.

Zhou, Li, Wang, Min, Wu: Accelerating Deep Learning Inference via Model Parallelism and Partial
Computation Offloading (IEEE Transactions on Parallel and Distributed Systems 34(2), 2023).

From the abstract: fused-layer model parallelism with paths that are offloaded in part; *particle
swarm optimisation with minimising waiting* explores and updates the fused-layer strategy, the
scheduling of the paths and where each is cut, and avoids invalid solutions; within 0.04 % of brute
force. Reconstructed: all of how. A particle is a point of a unit cube: which block, how many
paths, and for each path its cut and its server. Every point stands for a valid way; minimising
waiting orders its paths, and the rest of the network is computed where that is soonest. A part of
the swarm begins with what `mw` finds, the rest anywhere; the best ways of either, each of another
block or number of paths, are bettered at the end, in pairs of paths and by single changes. Where
the flow shop is not all there is (several servers, a lab's quotas), the simulator chooses among the
best of these and of single cuts. Otherwise as `mw`, beside this file.
"""

from __future__ import annotations

import numpy as np

from swath.plan.plan import Plan
from swath.planners.methods.offload.polishing import bettered
from swath.planners.methods.offload.searching import firsts, improved, waiting_least
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

_BETTERED, _NEAR = 64, 1.1
"""Ways that are bettered at the end, at most, no two of one block and number of paths; how many
times as long as the best they may take."""


class Psomw:
    """Options: ``paths``: into how many a block may be cut at most; ``seed``: of the swarm."""

    def __init__(self, paths: int | None = None, seed: int = 0) -> None:
        self.paths = checked_number("paths", paths)
        self.seed = checked_number("seed", seed, 0)

    def plan(self, problem: Problem) -> Plan:
        return offloaded(
            "psomw", problem, self.paths, lambda setting: swarmed(setting, self.seed or 0)[1],
            or_single=True,
        )  # fmt: skip


def swarmed(setting: Setting, seed: int) -> tuple[np.ndarray, Ways]:
    """(seconds, ways) that the swarm finds, the soonest first."""
    begun_seconds, begun = waiting_least(setting)
    met_seconds, met = _flown(setting, begun, seed)
    seconds, ways = np.concatenate([begun_seconds, met_seconds]), joined([begun, met])
    rows = firsts(ways, np.argsort(seconds, kind="stable"), _BETTERED)
    rows = rows[seconds[rows] <= _NEAR * seconds[rows[0]]]
    found = [bettered(setting, float(seconds[row]), ways.take([row])) for row in rows]
    found.sort(key=lambda each: each[0])
    return np.array([taken for taken, _ in found]), joined(way for _, way in found)


def _flown(setting: Setting, begun: Ways, seed: int) -> tuple[np.ndarray, Ways]:
    """(seconds, ways) of the best that each particle has met, half of them beginning with the first
    of ``begun``."""
    generator = np.random.default_rng(seed)
    places = generator.random((SWARM, 2 + 2 * setting.most))
    known = min(len(begun), SWARM // 2)
    places[:known] = _encoded(setting, begun.take(range(known)))
    velocity = generator.uniform(-0.2, 0.2, places.shape)
    nothing = np.full(SWARM, np.inf), begun.take([0] * SWARM)
    best_places, (seconds, ways) = places, _met(setting, *nothing, places)
    stale = 0
    for inertia in np.linspace(*_INERTIA, ROUNDS):
        leader = best_places[np.argmin(seconds)]
        own, common = generator.random((2, *places.shape)) * _PULL
        velocity = inertia * velocity + own * (best_places - places) + common * (leader - places)
        places = np.clip(places + velocity, 0.0, 1.0)
        before = seconds
        seconds, ways = _met(setting, seconds, ways, places)
        best_places = np.where((seconds < before)[:, None], places, best_places)
        stale = 0 if seconds.min() < before.min() else stale + 1
        if stale == STALE:
            break
    return seconds, ways


def _met(
    setting: Setting, seconds: np.ndarray, ways: Ways, places: np.ndarray
) -> tuple[np.ndarray, Ways]:
    """(seconds, ways) of the best that each particle has met, now that it is here, the rest being
    computed where it is soonest."""
    most = setting.most
    block = _numbered(places[:, 0], len(setting.ends))
    paths = 1 + _numbered(places[:, 1], setting.blocks.paths[block])
    cut = _numbered(places[:, 2 : 2 + most], setting.ends[block][:, None] + 1)
    server = _numbered(places[:, 2 + most :], max(1, setting.parties.servers))
    tried = setting.with_rests(block, paths, cut, server)
    particle = np.repeat(np.arange(len(places)), len(setting.rests))
    return improved(setting, seconds, ways, tried, particle)


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
