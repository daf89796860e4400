"""What the writers of traces share: who is shown, transfers, and rows for spans that overlap."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from typing import get_args

from swath.trace.trace import Lane, Span, Trace

LANES: tuple[Lane, ...] = get_args(Lane)


def shown(device: str) -> str:
    """A device's name for people: the coordinator's own begins with what no device's can."""
    return device.removeprefix("@")


def devices_of(traces: Sequence[Trace]) -> tuple[str, ...]:
    """Every device of several traces, in the order in which they are shown."""
    return tuple(dict.fromkeys(device for trace in traces for device in trace.devices))


def by_lane(trace: Trace) -> dict[tuple[str, Lane], list[Span]]:
    """The spans of each device's lanes."""
    lanes: dict[tuple[str, Lane], list[Span]] = {}
    for span in trace.spans:
        lanes.setdefault((span.device, span.lane), []).append(span)
    return lanes


def transfers(trace: Trace) -> list[tuple[Span, Span]]:
    """(send, receive) of every message of which both are known, in order of sending."""
    received = {
        (span.request, span.message): span for span in trace.spans if span.lane == "receive"
    }
    pairs = [
        (span, received[span.request, span.message])
        for span in trace.spans
        if span.lane == "send" and (span.request, span.message) in received
    ]
    return sorted(pairs, key=lambda pair: (pair[0].start, pair[0].message or 0))


def pack(intervals: Sequence[tuple[float, float]]) -> list[int]:
    """A row for each interval (start, end), as few as can be, so that in a row none overlap."""
    rows = [0] * len(intervals)
    free: list[int] = []
    busy: list[tuple[float, int]] = []
    used = 0
    for index in sorted(range(len(intervals)), key=lambda index: intervals[index]):
        start, end = intervals[index]
        while busy and busy[0][0] <= start:
            heapq.heappush(free, heapq.heappop(busy)[1])
        if free:
            row = heapq.heappop(free)
        else:
            row, used = used, used + 1
        rows[index] = row
        heapq.heappush(busy, (end, row))
    return rows
