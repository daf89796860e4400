"""What a Gantt picture shows, as data: bars, arrows and marks, placed but not drawn.

Times are milliseconds. Heights are in rows, counted from the top: a row is a lane of computing;
sending and receiving take less.
"""

from __future__ import annotations

import colorsys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from swath.plan.program import COORDINATOR
from swath.trace.lanes import LANES, by_lane, devices_of, pack, shown, transfers
from swath.trace.pictures import PALETTE
from swath.trace.trace import Lane, Origin, Span, Trace

FEW_COLOURS = PALETTE[:-1]
"""Of stages, where they suffice; grey is for messages."""

MESSAGE_COLOURS: Mapping[Lane, str] = {"send": "#4d4d4d", "receive": "#a6a6a6"}

_HEIGHTS: Mapping[Lane, float] = {"compute": 1.0, "send": 0.34, "receive": 0.34}

_GAP, _TRACE_GAP, _DEVICE_GAP = 0.08, 0.22, 0.5
"""Between the lanes of a trace, the traces of a device, and devices."""

_MOST_ROWS = 3
"""Spans of a lane that overlap are drawn beside each other, up to so many."""

_MOST_MARKS = 8
"""Requests of a trace whose latencies are all written; of more, only where the last one ends."""


@dataclass(frozen=True, slots=True)
class Bar:
    """One span. ``trace``: its trace's place among those shown."""

    span: Span
    trace: int
    start: float
    end: float
    top: float
    height: float
    colour: str

    @property
    def middle(self) -> float:
        return self.top + self.height / 2


@dataclass(frozen=True, slots=True)
class Strip:
    """All lanes of one device in one trace."""

    device: str
    trace: int
    top: float
    bottom: float


@dataclass(frozen=True, slots=True)
class Mark:
    """A request was over: the coordinator has its outputs. ``latency``: since it began."""

    trace: int
    at: float
    latency: float


@dataclass(frozen=True, slots=True)
class GanttView:
    """``arrows``: places in ``bars`` of a message's send and receive; ``stages``: a colour each, in
    order of time, the same in all traces; ``end`` and ``height`` are those of the whole."""

    origins: tuple[Origin, ...]
    bars: tuple[Bar, ...]
    arrows: tuple[tuple[int, int], ...]
    strips: tuple[Strip, ...]
    marks: tuple[Mark, ...]
    stages: Mapping[str, str]
    end: float
    height: float

    @property
    def devices(self) -> dict[str, tuple[float, float]]:
        """Top and bottom of each device's strips."""
        places: dict[str, tuple[float, float]] = {}
        for strip in self.strips:
            top, _ = places.get(strip.device, (strip.top, 0.0))
            places[strip.device] = (top, strip.bottom)
        return places


def gantt_view(traces: Sequence[Trace]) -> GanttView:
    """What there is to see of traces: for each device one under the other, in the order given."""
    lanes = [by_lane(trace) for trace in traces]
    stages = _stage_colours(traces)
    bars: list[Bar] = []
    strips: list[Strip] = []
    top = 0.0
    for device in devices_of(traces):
        used = [lane for lane in LANES if any((device, lane) in own for own in lanes)]
        if not used:
            continue
        for place, own in enumerate(lanes):
            begin = top
            for lane in used:
                bars += _lane_bars(own.get((device, lane), []), place, top, stages)
                top += _HEIGHTS[lane] + _GAP
            strips.append(Strip(shown(device), place, begin, top - _GAP))
            top += _TRACE_GAP - _GAP
        top += _DEVICE_GAP - _TRACE_GAP
    return GanttView(
        origins=tuple(trace.origin for trace in traces),
        bars=tuple(bars),
        arrows=tuple(_arrows(traces, bars)),
        strips=tuple(strips),
        marks=tuple(mark for place, trace in enumerate(traces) for mark in _marks(place, trace)),
        stages=stages,
        end=max((trace.end for trace in traces), default=0.0) * 1e3,
        height=max(0.0, top - _DEVICE_GAP),
    )


def _lane_bars(
    spans: Sequence[Span], trace: int, top: float, stages: Mapping[str, str]
) -> Iterable[Bar]:
    rows = pack([(span.start, span.end) for span in spans])
    most = min(_MOST_ROWS, max(rows, default=0) + 1)
    for span, row in zip(spans, rows, strict=True):
        height = _HEIGHTS[span.lane] / most
        colour = stages[span.name] if span.lane == "compute" else MESSAGE_COLOURS[span.lane]
        place = top + min(row, most - 1) * height
        yield Bar(span, trace, span.start * 1e3, span.end * 1e3, place, height, colour)


def _arrows(traces: Sequence[Trace], bars: Sequence[Bar]) -> Iterable[tuple[int, int]]:
    places = {(bar.trace, bar.span): index for index, bar in enumerate(bars)}
    for place, trace in enumerate(traces):
        for send, receive in transfers(trace):
            yield places[place, send], places[place, receive]


def _marks(place: int, trace: Trace) -> Iterable[Mark]:
    starts: dict[int, float] = {}
    ends: dict[int, float] = {}
    answers: dict[int, float] = {}
    for span in trace.spans:
        starts[span.request] = min(starts.get(span.request, span.start), span.start)
        ends[span.request] = max(ends.get(span.request, span.end), span.end)
        if span.device.startswith(COORDINATOR) and span.lane == "receive":
            answers[span.request] = max(answers.get(span.request, span.end), span.end)
    # A sender may be busy with the last message for longer than its receiver waits for it.
    ends |= answers
    marks = [Mark(place, ends[key] * 1e3, (ends[key] - starts[key]) * 1e3) for key in ends]
    marks.sort(key=lambda mark: mark.at)
    return marks if len(marks) <= _MOST_MARKS else marks[-1:]


def _stage_colours(traces: Sequence[Trace]) -> dict[str, str]:
    """Few stages: colours that are easily told apart; many: along the spectrum in order of time,
    by turns darker and lighter, so that neighbours differ and the eye sees how far it is."""
    first: dict[str, float] = {}
    for trace in traces:
        for span in trace.spans:
            if span.lane == "compute":
                first[span.name] = min(first.get(span.name, span.start), span.start)
    names = sorted(first, key=lambda name: first[name])
    if len(names) <= len(FEW_COLOURS):
        return dict(zip(names, FEW_COLOURS, strict=False))
    return {
        name: _hex(colorsys.hls_to_rgb(*_spectral(index, len(names))))
        for index, name in enumerate(names)
    }


def _spectral(index: int, count: int) -> tuple[float, float, float]:
    hue = 0.62 - 0.76 * index / (count - 1)
    return hue % 1.0, (0.42, 0.6)[index % 2], 0.62


def _hex(colour: tuple[float, float, float]) -> str:
    return "#" + "".join(f"{round(255 * part):02x}" for part in colour)
