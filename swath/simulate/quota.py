"""The kernel's rationing of CPU time (CFS bandwidth control), to the letter.

A group of processes is granted ``share * period`` seconds of CPU every ``period``. What it uses is
only noticed at the ticks of the clock: it may overdraw until then, and is stopped until the grants
have paid the debt. So a short piece of work after a pause runs at full speed, and a long one at the
share's. Dividing by the share would be wrong for all that lasts less than some periods.
"""

from __future__ import annotations

import math
from bisect import bisect_right

from swath.cost import Quota


class Ration:
    """The CPU of one device under a quota, on virtual time (seconds).

    The balance is what may be used. It gets ``share * period`` every period, but is not raised
    above that; use is taken from it; a tick that finds it used up while the device is busy stops
    the device until the balance is positive again; so does it a device that begins after a pause.

    ``period_phase`` and ``tick_phase``: when the first grant and the first tick come. ``used``:
    seconds of CPU so far.
    """

    __slots__ = (
        "_granted", "_grants_at", "_period", "_running", "_tick", "_tick_phase",
        "_ticks_at", "balance", "time", "used",
    )  # fmt: skip

    def __init__(
        self,
        quota: Quota,
        period_phase: float = 0.0,
        tick_phase: float = 0.0,
    ) -> None:
        self._period = quota.period
        self._granted = quota.share * quota.period
        self._tick = quota.tick
        self._tick_phase = tick_phase
        self._grants_at = period_phase or quota.period
        self._ticks_at = tick_phase or quota.tick
        self.time = 0.0
        self.used = 0.0
        self.balance = self._granted
        self._running: list[tuple[float, float]] = []

    def run(self, now: float, start: float, work: float) -> float:
        """When ``work`` seconds of CPU are done that begin at ``start`` or, if the device is busy
        until later, when it is free. ``now``: what ended before is forgotten."""
        if start > self.time:
            self._pause(start)
        running = self._running
        if running and running[0][1] < now:
            del running[: bisect_right(running, now, key=lambda interval: interval[1])]
        return self._work(work)

    def after(self, time: float, work: float) -> float:
        """When ``work`` more seconds are done than at ``time``, of what was said to `run` and not
        forgotten."""
        for start, end in self._running:
            if end <= time:
                continue
            start = max(start, time)
            if start + work <= end:
                return start + work
            work -= end - start
        return self.time

    def _pause(self, until: float) -> None:
        if until >= self._grants_at:
            grants = math.floor((until - self._grants_at) / self._period) + 1
            self.balance = min(self.balance + grants * self._granted, self._granted)
            self._grants_at += grants * self._period
        self.time = until
        if self.balance <= 0:
            self._stop()
        self._skip_ticks()

    def _work(self, work: float) -> float:
        began = self.time
        while True:
            end = self.time + work
            if end <= self._ticks_at:
                self._use(end)
                break
            work -= self._ticks_at - self.time
            self._use(self._ticks_at)
            if self.balance <= 0:
                self._log(began, self.time)
                self._stop()
                began = self.time
            self._skip_ticks()
        self._log(began, self.time)
        return self.time

    def _use(self, until: float) -> None:
        self.used += until - self.time
        while self._grants_at <= until:
            self.balance -= self._grants_at - self.time
            self.time = self._grants_at
            self._grant()
        self.balance -= until - self.time
        self.time = until

    def _stop(self) -> None:
        while self.balance <= 0:
            self.time = self._grants_at
            self._grant()

    def _grant(self) -> None:
        self.balance = min(self.balance + self._granted, self._granted)
        self._grants_at += self._period

    def _skip_ticks(self) -> None:
        """On to the first tick after the present."""
        if self._ticks_at <= self.time:
            passed = math.floor((self.time - self._tick_phase) / self._tick)
            self._ticks_at = self._tick_phase + (passed + 1) * self._tick
            if self._ticks_at <= self.time:
                self._ticks_at += self._tick

    def _log(self, start: float, end: float) -> None:
        running = self._running
        if running and running[-1][1] == start:
            running[-1] = (running[-1][0], end)
        elif end > start:
            running.append((start, end))
