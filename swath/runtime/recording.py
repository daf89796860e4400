"""Bringing the recorded spans of all parties together, on the coordinator's clock.

Processes of one machine share a clock; to another machine's, the offset is estimated by Cristian's
algorithm (F. Cristian, "Probabilistic clock synchronization", Distributed Computing 3, 1989).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from swath.fabric.fabric import Fabric
from swath.plan.program import COORDINATOR
from swath.runtime.install import CONTROL_TIMEOUT, hear, understanding
from swath.runtime.recorder import boot_id, clock
from swath.trace.lanes import LANES
from swath.trace.trace import Span, Trace, shifted

PROBES = 12
"""Round trips from which a clock's offset is estimated."""


def start_recording(fabric: Fabric, version: str, workers: Iterable[str]) -> dict[str, float]:
    """Have workers record the requests of what is installed as ``version``; the seconds by which
    each one's clock is ahead of ours."""
    offsets = {worker: _worker_clock_offset(fabric, worker) for worker in workers}
    text = json.dumps({"version": version}).encode()
    for answer in [fabric.ask(worker, "record", text, CONTROL_TIMEOUT) for worker in offsets]:
        answer.result()
    return offsets


def collect_recorded(fabric: Fabric, version: str, offsets: Mapping[str, float]) -> list[Span]:
    """What the workers have recorded, on our clock; they record no more."""
    text = json.dumps({"version": version}).encode()
    answers = {worker: fabric.ask(worker, "recorded", text, CONTROL_TIMEOUT) for worker in offsets}
    spans: list[Span] = []
    for worker, answer in answers.items():
        said = hear(worker, answer)
        with understanding(worker):
            spans += spans_from_json(worker, said["spans"], offsets[worker])
    return spans


def measured_trace(workers: Iterable[str], spans: Iterable[Span]) -> Trace:
    """The trace of a recording: requests numbered from 0, the first span's beginning as zero."""
    ordered = shifted(spans)
    found = sorted({span.request for span in ordered})
    numbers = {request: number for number, request in enumerate(found)}
    renumbered = tuple(replace(span, request=numbers[span.request]) for span in ordered)
    return Trace("measured", (COORDINATOR, *workers), renumbered)


def spans_from_json(worker: str, told: Iterable[Sequence[Any]], offset: float) -> list[Span]:
    """The spans that a worker told, its clock being ``offset`` seconds ahead of ours.

    Raises TypeError or ValueError for what are none.
    """
    return [
        Span(
            worker,
            LANES[LANES.index(lane)],
            str(name),
            int(request),
            float(start) - offset,
            float(end) - offset,
            None if message is None else int(message),
            int(nbytes),
        )
        for lane, name, request, start, end, message, nbytes in told
    ]


def clock_offset(probes: Iterable[tuple[float, float, float]]) -> float:
    """Seconds by which another clock is ahead of ours, by Cristian's algorithm.

    ``probes``: (asked, told, heard), by our clock, the other, and ours again. The shortest round
    trip says most; the error is at most half of it.
    """
    asked, told, heard = min(probes, key=lambda probe: probe[2] - probe[0])
    return told - (asked + heard) / 2


def _worker_clock_offset(fabric: Fabric, worker: str) -> float:
    said = hear(worker, fabric.ask(worker, "hello", timeout=CONTROL_TIMEOUT))
    own = boot_id()
    if own is not None and said.get("boot_id") == own:
        return 0.0  # It is the same clock.
    probes = []
    for _ in range(PROBES):
        asked = clock()
        told = hear(worker, fabric.ask(worker, "clock", timeout=CONTROL_TIMEOUT))
        heard = clock()
        with understanding(worker):
            probes.append((asked, float(told["seconds"]), heard))
    return clock_offset(probes)
