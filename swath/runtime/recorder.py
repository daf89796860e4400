"""Noting what happens when, on one real device or on the coordinator: spans on its own clock.

Off, it costs a test for None per step and message. `swath.runtime.recording` brings the spans of
all parties together.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from swath.fabric.frame import Frame
from swath.plan.program import Compute, Program
from swath.trace.trace import Lane, Span

clock = time.perf_counter
"""Seconds; on Linux those of a clock that all processes of a machine share, also across network
namespaces."""

MAX_SPANS = 200_000
"""A recording that nobody asks for forgets its beginning rather than fill the memory."""

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class Recorder:
    """The spans of one party's program, for all requests."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._landed: dict[tuple[int, int], float] = {}
        self._spans: deque[Span] = deque(maxlen=MAX_SPANS)

    @property
    def spans(self) -> tuple[Span, ...]:
        return tuple(self._spans)

    def computed(self, position: int, request: int, start: float) -> None:
        """The tile at a position of the program, begun at ``start``, is done now."""
        step = self._program.steps[position]
        assert isinstance(step, Compute)
        self._spans.append(
            Span(self._program.device, "compute", step.stage, request, start, clock())
        )

    def sent(self, number: int, request: int, nbytes: int, start: float) -> None:
        """The sender of a message, at it since ``start``, can turn to something else now."""
        receiver = self._program.messages[number].receiver
        self._note("send", receiver, number, request, nbytes, start)

    def landing(self, frame: Frame) -> None:
        """The head of a message has come; the rest is taken from now on."""
        self._landed[frame.request, frame.number] = clock()

    def delivered(self, frame: Frame) -> None:
        """All of a message is where it is needed."""
        start = self._landed.pop((frame.request, frame.number), None)
        sender = self._program.messages[frame.number].sender
        if start is not None:  # Else recording began while it was taken.
            self._note("receive", sender, frame.number, frame.request, frame.nbytes, start)

    def _note(
        self, lane: Lane, other: str, number: int, request: int, nbytes: int, start: float
    ) -> None:
        device = self._program.device
        self._spans.append(Span(device, lane, other, request, start, clock(), number, nbytes))


def boot_id() -> str | None:
    """What processes that share a clock have in common: the machine, since it was started."""
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return None


def spans_to_json(spans: Iterable[Span]) -> list[list[Any]]:
    """What a worker tells of its spans; short, for there may be many."""
    return [[s.lane, s.name, s.request, s.start, s.end, s.message, s.nbytes] for s in spans]
