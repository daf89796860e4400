"""Virtual time: what happens next, in order of time and, at one time, in order of calling."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any

Action = Callable[[Any], None]


class Events:
    """The events to come. ``settle`` is called whenever time is about to go on and ``unsettled`` is
    not empty: what several events of one moment change is worked out once.

    ``at(time, action, argument)`` has ``action(argument)`` called at a time that is not past.
    """

    __slots__ = ("_heap", "at", "now", "settle", "unsettled")

    def __init__(self) -> None:
        self.now = 0.0
        self.unsettled: list[Any] = []
        self.settle: Callable[[], None] = self.unsettled.clear
        self._heap: list[tuple[float, int, Action, Any]] = []
        self.at = _pusher(self._heap)

    def run(self) -> None:
        """Until nothing is left to happen."""
        heap, unsettled, settle = self._heap, self.unsettled, self.settle
        while heap:
            now, _, action, argument = heappop(heap)
            self.now = now
            action(argument)
            if unsettled and (not heap or heap[0][0] > now):
                settle()


def _pusher(
    heap: list[tuple[float, int, Action, Any]],
) -> Callable[[float, Action, object], None]:
    """`Events.at`: everything that happens goes through it, so it looks up nothing."""
    order = 0

    def at(time: float, action: Action, argument: object) -> None:
        nonlocal order
        order += 1
        heappush(heap, (time, order, action, argument))

    return at
