"""What a policy sees of services and devices: a few numbers, however many of these there are."""

from __future__ import annotations

from math import exp, log

import numpy as np

from swath.workload.allocators.registry import Setting
from swath.workload.serving import Moment

FEATURES = (
    "load", "lasting load", "backlog", "waiting", "occupied", "running", "oldest", "age", "lost",
    "heaviness", "light ones", "time to spare", "gain by splitting", "cost of splitting",
    "unevenness",
)  # fmt: skip
"""In their order; all but the last four change with time. Logarithms of ratios, or shares."""

MOST = 5.0
"""What any of them is at most, and its negative at least."""

LASTING = 0.1
"""The weight of what is new in the lasting load."""

_LEAST = 1e-3


class Watch:
    """Looks at moments, one after the other, and says what has become of them since."""

    def __init__(self, setting: Setting) -> None:
        total = sum(setting.speeds)
        works, singles, soonest, widest = [], [], [], []
        for menu in setting.menus:
            costs = [
                sum(b * s for b, s in zip(way.busy, setting.speeds, strict=True)) / total
                for way in menu.ways
            ]
            alone = [way.seconds for way in menu.ways if way.devices.bit_count() == 1]
            works.append(min(costs))
            soonest.append(menu.ways[0].seconds)
            singles.append(min(alone, default=soonest[-1]))
            widest.append(costs[0])
        self._works = works
        self._limits = setting.workload.limits
        typical = exp(sum(map(log, works)) / len(works))
        self._sizes = [log(work / typical) for work in works]
        self._limit = exp(sum(map(log, self._limits)) / len(works))
        self._devices = sum(1 for speed in setting.speeds if speed)
        speeds = [speed for speed in setting.speeds if speed]
        self._fixed = [
            log(self._limit / exp(sum(map(log, soonest)) / len(works))),
            _mean_log(singles, soonest),
            _mean_log(widest, works),
            float(np.std(np.log(speeds))),
        ]
        self._now = 0.0
        self._come = [0] * len(works)
        self._lost = 0
        self._begun = 0
        self._lasting = 0.0

    def look(self, moment: Moment) -> np.ndarray:
        """The `FEATURES` of now, float32; what has happened counts since the last look."""
        passed = max(moment.now - self._now, 1e-9)
        come = [now - before for now, before in zip(moment.come, self._come, strict=True)]
        works = [count * work for count, work in zip(come, self._works, strict=True)]
        asked, count = sum(works), sum(come)
        load = asked / passed
        self._lasting += LASTING * (load - self._lasting) if self._lasting else load
        lost, begun = sum(moment.lost), sum(moment.begun)
        ended = lost - self._lost + begun - self._begun
        share_lost = (lost - self._lost) / ended if ended else 0.0
        backlog, waiting, oldest, aged = 0.0, 0, 0.0, 0.0
        for service, line in enumerate(moment.waiting):
            if line:
                work = len(line) * self._works[service]
                age = (moment.now - line[0].came) / self._limits[service]
                backlog += work
                waiting += len(line)
                oldest = max(oldest, age)
                aged += work * age
        heaviness = (
            sum(work * size for work, size in zip(works, self._sizes, strict=True)) / asked
            if asked
            else 0.0
        )
        light = sum(n for n, size in zip(come, self._sizes, strict=True) if size < 0)
        self._now, self._come = moment.now, list(moment.come)
        self._lost, self._begun = lost, begun
        found = [
            log(max(load, _LEAST)),
            log(max(self._lasting, _LEAST)),
            log(1 + 10 * backlog / self._limit),
            log(1 + waiting / self._devices),
            moment.occupied.bit_count() / self._devices,
            log(1 + len(moment.running) / self._devices),
            oldest,
            aged / backlog if backlog else 0.0,
            share_lost,
            heaviness,
            light / count if count else 0.0,
            *self._fixed,
        ]
        return np.clip(np.array(found, dtype=np.float32), -MOST, MOST)


def _mean_log(above: list[float], below: list[float]) -> float:
    return sum(log(a / b) for a, b in zip(above, below, strict=True)) / len(above)
