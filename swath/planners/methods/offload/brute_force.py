"""Brute force over ways to offload: the referee of `mw` and `psomw`.

The optimum among all ways of their space: any block, any number of paths up to the most, every path
cut anywhere and on any server, in any order, the rest of the network computed by anyone, nothing
computed by the source that nobody waits for (`swath.planners.methods.offload.bounds`). How long
each takes is what `swath.planners.methods.offload.timing` says, as it is for the others. Cuts and
servers are chosen path after path; what cannot be sooner than the best way so far is left out, and
so changes nothing: no way is over before the source has computed, the links have carried and the
servers have computed what is theirs, and before any weighted mean of those. It begins with what
`psomw` finds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import permutations

import numpy as np

from swath.errors import PlanError
from swath.plan.plan import Plan
from swath.planners.methods.offload.bounds import Least, besides, bounds_of, least_of, means
from swath.planners.methods.offload.parties import SOURCE
from swath.planners.methods.offload.psomw import swarmed
from swath.planners.methods.offload.setting import SURE, Setting, checked_number, offloaded
from swath.planners.methods.offload.ways import Ways, chunks
from swath.planners.registry import Problem

LIMIT = 300_000

_AT_ONCE = 4096
"""Rows that are worked out together."""


class OffloadBruteForce:
    """Options: ``paths``: into how many a block may be cut at most; ``limit``: cuts and orders that
    are looked at before it refuses."""

    def __init__(self, paths: int | None = None, limit: int = LIMIT) -> None:
        self.paths = checked_number("paths", paths)
        self.limit = checked_number("limit", limit) or LIMIT

    def plan(self, problem: Problem) -> Plan:
        return offloaded(
            "offload-brute-force",
            problem,
            self.paths,
            lambda setting: soonest(setting, self.limit)[1],
        )


def soonest(setting: Setting, limit: int) -> tuple[float, Ways]:
    """(seconds, way) of the optimum. Raises PlanError where more would have to be looked at."""
    referee = _Referee(setting, limit)
    for block, most in enumerate(setting.blocks.paths):
        rests = [SOURCE] if setting.is_all[block] else setting.rests.tolist()
        for count in range(1, int(most) + 1):
            for rest in rests:
                referee.look(block, count, rest)
    return referee.seconds, referee.way


class _Referee:
    def __init__(self, setting: Setting, limit: int) -> None:
        seconds, ways = swarmed(setting, 0)
        self.seconds, self.way = float(seconds[0]), ways.take([0])
        self._setting = setting
        self._limit = limit
        self._looked = 0

    def look(self, block: int, count: int, rest: int) -> None:
        """At all ways with this block, number of paths, and who computes the rest."""
        setting = self._setting
        choices = setting.choices(np.arange(setting.ends[block] + 1))
        alike = self._ways(block, count, rest, np.repeat(choices[:, None], count, axis=1))
        least = least_of(setting.timing, alike)
        around = float(besides(setting.timing, alike)[0])
        for chosen in self._promising(least, count, around):
            found = least.of(chosen, np.arange(count))
            bounds = bounds_of(found, setting.parties.servers) + around
            for rows in chunks(np.argsort(bounds, kind="stable"), _AT_ONCE):
                rows = rows[bounds[rows] < self.seconds * SURE]
                if len(rows):
                    self._time(
                        setting.ordered(self._ways(block, count, rest, choices[chosen[rows]]))
                    )
            left = chosen[bounds < self.seconds * SURE]
            if count > 1:
                self._orders(self._ways(block, count, rest, choices[left]), count)

    def _count(self, looked: int) -> None:
        self._looked += looked
        if self._looked > self._limit:
            raise PlanError(
                "offload-brute-force would have to look at more than its limit of "
                f"{self._limit:,} cuts and orders; take a smaller model, fewer servers or paths, "
                "or raise the limit"
            )

    def _time(self, ways: Ways) -> None:
        self._count(len(ways))
        seconds, way = self._setting.best(ways)
        if seconds < self.seconds:
            self.seconds, self.way = seconds, way

    def _orders(self, ways: Ways, count: int) -> None:
        """At every order of the paths of each."""
        most = self._setting.most
        absent = tuple(range(count, most))
        orders = np.array([order + absent for order in permutations(range(count))])
        for rows in chunks(np.arange(len(ways)), max(1, _AT_ONCE // len(orders))):
            some = ways.take(np.repeat(rows, len(orders)))
            self._time(replace(some, order=np.tile(orders, (len(rows), 1))))

    def _ways(self, block: int, count: int, rest: int, choices: np.ndarray) -> Ways:
        """``choices``: (cut, server) by row and path."""
        rows, most = len(choices), self._setting.most
        padded = np.zeros((rows, most, 2), dtype=int)
        padded[:, :count] = choices
        return self._setting.in_turn(
            np.full(rows, block), np.full(rows, count), np.full(rows, rest),
            padded[:, :, 0], padded[:, :, 1],
        )  # fmt: skip

    # What cannot be sooner

    def _promising(self, least: Least, count: int, around: float) -> Iterator[np.ndarray]:
        """Choices (rows of ``least``) by row and path that may be sooner than the best way."""
        parties = self._setting.parties
        machines = least.machines(parties.servers, parties.is_radio)[:, :count].swapaxes(0, 1)
        weights = means(machines.shape[2])
        weighed = machines @ weights.T
        later = np.cumsum(weighed.min(1)[::-1], axis=0)[::-1]
        later = np.concatenate([later[1:], np.zeros((1, len(weights)))]) + around
        yield from self._continued(
            np.zeros((1, 0), dtype=int), np.zeros((1, len(weights))), weighed, later
        )

    def _continued(
        self, begun: np.ndarray, spent: np.ndarray, weighed: np.ndarray, later: np.ndarray
    ) -> Iterator[np.ndarray]:
        path = begun.shape[1]
        if path == len(weighed):
            yield begun
            return
        options = weighed.shape[1]
        for rows in chunks(np.arange(len(begun)), max(1, _AT_ONCE // options)):
            self._count(len(rows) * options)
            total = spent[rows][:, None] + weighed[path][None]
            kept = np.argwhere((total + later[path]).max(2) < self.seconds * SURE)
            if len(kept):
                longer = np.column_stack([begun[rows[kept[:, 0]]], kept[:, 1]])
                yield from self._continued(longer, total[kept[:, 0], kept[:, 1]], weighed, later)
