"""What happened when, on virtual time or for real: one format for both.

Times are seconds since the trace's own zero (the beginning of its first request).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Lane = Literal["compute", "send", "receive"]

Origin = Literal["predicted", "measured"]


@dataclass(frozen=True, slots=True)
class Span:
    """A device was busy with one thing. ``name``: the stage of a tile, or the other end of a
    message; ``message``: its number in the plan (None for a tile)."""

    device: str
    lane: Lane
    name: str
    request: int
    start: float
    end: float
    message: int | None = None
    nbytes: int = 0


@dataclass(frozen=True, slots=True)
class Trace:
    """``devices``: in the order in which they are shown, the coordinator included where it has
    spans. A message's transfer goes from its "send" span to its "receive" span of the same request
    and message number."""

    origin: Origin
    devices: tuple[str, ...]
    spans: tuple[Span, ...]

    @property
    def end(self) -> float:
        return max((span.end for span in self.spans), default=0.0)

    def request(self, number: int) -> Trace:
        """The spans of one request, its own beginning as zero."""
        spans = [span for span in self.spans if span.request == number]
        return Trace(self.origin, self.devices, shifted(spans))


def typical_request(trace: Trace) -> Trace:
    """The request of median duration (the shorter of two); a trace without spans as it is."""
    found: dict[int, list[Span]] = {}
    for span in trace.spans:
        found.setdefault(span.request, []).append(span)
    requests = [Trace(trace.origin, trace.devices, shifted(spans)) for spans in found.values()]
    requests.sort(key=lambda request: request.end)
    return requests[(len(requests) - 1) // 2] if requests else trace


def shifted(spans: Iterable[Span]) -> tuple[Span, ...]:
    """Spans in order of time, the first beginning at zero."""
    ordered = sorted(spans, key=lambda span: (span.start, span.device, span.lane))
    zero = ordered[0].start if ordered else 0.0
    return tuple(
        Span(
            s.device, s.lane, s.name, s.request, s.start - zero, s.end - zero, s.message, s.nbytes
        )
        for s in ordered
    )  # fmt: skip
