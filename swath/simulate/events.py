"""Virtual time: what happens next, in order of time and, at one time, in order of calling."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count
from typing import Any

Action = Callable[[Any], None]


class Events:
    """The events to come. ``settle`` is called whenever time is about to go on and ``unsettled`` is
    not empty: what several events of one moment change is worked out once."""

    __slots__ = ("_heap", "_order", "now", "settle", "unsettled")

    def __init__(self) -> None:
        self.now = 0.0
        self.unsettled: list[Any] = []
        self.settle: Callable[[], None] = self.unsettled.clear
        self._heap: list[tuple[float, int, Action, Any]] = []
        self._order = count()

    def at(self, time: float, action: Action, argument: object) -> None:
        """Call ``action(argument)`` at a time that is not past."""
        heappush(self._heap, (time, next(self._order), action, argument))

    def run(self) -> None:
        """Until nothing is left to happen."""
        heap, unsettled = self._heap, self.unsettled
        while heap:
            self.now, _, action, argument = heappop(heap)
            action(argument)
            if unsettled and (not heap or heap[0][0] > self.now):
                self.settle()
