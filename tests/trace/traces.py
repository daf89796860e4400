"""Traces made up for the tests of their writers."""

from __future__ import annotations

from swath.plan.program import COORDINATOR
from swath.trace.trace import Span, Trace

MS = 1e-3


def ring_trace(origin="measured", devices=3, stages=4, requests=1, scale=1.0):
    """Every device computes a tile of each stage, 2 ms, and sends to the next one, which takes the
    message between its tiles; the coordinator hands out and gathers. A request takes 4 ms a stage
    and 2 more, times ``scale``."""
    names = [f"pi-{index}" for index in range(devices)]
    spans = []
    whole = (4 * stages + 2) * MS
    for request in range(requests):
        number = 0
        begin = request * whole

        def add(device, lane, name, start, end, message=None, nbytes=0, at=begin, request=request):
            start, end = (at + start * MS) * scale, (at + end * MS) * scale
            spans.append(Span(device, lane, name, request, start, end, message, nbytes))

        for index, device in enumerate(names):
            add(COORDINATOR, "send", device, index / devices, (index + 1) / devices, number, 100)
            add(device, "receive", COORDINATOR, 0.9, 1.0, number, 100)
            number += 1
        for stage in range(stages):
            start = 1 + 4 * stage
            for index, device in enumerate(names):
                other = names[(index + 1) % devices] if stage < stages - 1 else COORDINATOR
                add(device, "compute", f"{stage}-rows", start, start + 2)
                add(device, "send", other, start + 2, start + 3, number, 1000 * stage)
                # They come together, overlapping.
                end = start + 3.5 + 0.1 * index
                add(other, "receive", device, start + 2.5, end, number, 1000 * stage)
                number += 1
    return Trace(origin, (COORDINATOR, *names), tuple(sorted(spans, key=lambda s: s.start)))
