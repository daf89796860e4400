"""Traces as files of the Trace Event Format, which Perfetto and chrome://tracing open.

A process per device (and origin, where several traces are in one file), a thread per lane, a
complete event ("X") per span, a flow arrow ("s" to "f") per message. In the format the events of
one thread must nest; spans of a lane that overlap (several messages coming in at once) therefore
take further threads. Times are whole nanoseconds, written as microseconds.

Format: "Trace Event Format", The Chromium Project; flows bind to the slice that holds them
("bp": "e").
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any

from swath.errors import InputError
from swath.trace.lanes import LANES, by_lane, devices_of, pack, shown, transfers
from swath.trace.trace import Lane, Span, Trace

VERSION = 1

_Thread = tuple[int, int]
"""(process, thread); numbers of threads are unique in a file, which not every viewer asks for."""


def write_chrome(traces: Sequence[Trace], path: str | os.PathLike[str]) -> None:
    """Write traces (predicted and measured, say) into one ``.json`` file."""
    events: list[dict[str, Any]] = []
    processes: list[dict[str, Any]] = []
    order = devices_of(traces)
    numbers, threads, arrows = count(1), count(1), count(1)
    for place, trace in enumerate(traces):
        found = {device: next(numbers) for device in trace.devices}
        processes.append(
            {"origin": trace.origin, "devices": {str(n): device for device, n in found.items()}}
        )
        lanes = by_lane(trace)
        threads_of: dict[Span, _Thread] = {}
        for device, process in found.items():
            name = shown(device) if len(traces) == 1 else f"{shown(device)} ({trace.origin})"
            rank = order.index(device) * len(traces) + place
            events += _named("process", process, 0, name, rank)
            rows = [row for lane in LANES for row in _rows(lane, lanes.get((device, lane), []))]
            for title, spans in rows:
                thread = next(threads)
                events += _named("thread", process, thread, title, thread)
                threads_of.update((span, (process, thread)) for span in spans)
        events += [_slice(span, threads_of[span]) for span in trace.spans]
        for send, receive in transfers(trace):
            events += _arrow(send, receive, threads_of, arrows)
    # Metadata first, then in order of time; what an arrow is bound to comes before it.
    events.sort(key=lambda event: (event["ph"] != "M", event.get("ts", 0), event["ph"] != "X"))
    lines = ",\n".join(json.dumps(event, ensure_ascii=False) for event in events)
    head = json.dumps({"version": VERSION, "traces": processes}, ensure_ascii=False)
    text = f'{{"displayTimeUnit": "ms",\n"swath": {head},\n"traceEvents": [\n{lines}\n]}}\n'
    Path(path).write_text(text, encoding="utf-8")


def read_chrome(path: str | os.PathLike[str]) -> tuple[Trace, ...]:
    """The traces of a file that `write_chrome` wrote, to the nanosecond; raises InputError."""
    try:
        document = json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: is no trace file ({error}); record one with --trace") from None
    try:
        if document["swath"]["version"] != VERSION:
            raise InputError(f"{path}: a trace of another version of swath; record it again")
        return tuple(_traces(document))
    except (KeyError, TypeError, ValueError, AttributeError):
        raise InputError(
            f"{path}: was not written by swath, or is damaged; record one with --trace"
        ) from None


def _nanoseconds(seconds: float) -> int:
    return round(seconds * 1e9)


def _rows(lane: Lane, spans: Sequence[Span]) -> Iterator[tuple[str, list[Span]]]:
    """A lane of a device, and the further rows that it needs: their names and spans."""
    rows = pack([(_nanoseconds(span.start), _nanoseconds(span.end)) for span in spans])
    for row in range(max(rows, default=-1) + 1):
        title = f"{lane} {row + 1}" if row else lane
        yield title, [span for span, own in zip(spans, rows, strict=True) if own == row]


def _named(what: str, process: int, thread: int, name: str, rank: int) -> Iterator[dict[str, Any]]:
    for key, value in (("name", name), ("sort_index", rank)):
        yield {
            "ph": "M", "pid": process, "tid": thread, "name": f"{what}_{key}", "args": {key: value}
        }  # fmt: skip


def _slice(span: Span, thread: _Thread) -> dict[str, Any]:
    start, end = _nanoseconds(span.start), _nanoseconds(span.end)
    arguments: dict[str, Any] = {"request": span.request}
    if span.lane == "compute":
        name = arguments["stage"] = span.name
    else:
        key = "to" if span.lane == "send" else "from"
        name = f"{key} {shown(span.name)}"
        arguments |= {key: span.name, "message": span.message, "bytes": span.nbytes}
    return {
        "ph": "X", "name": name, "cat": span.lane, "pid": thread[0], "tid": thread[1],
        "ts": start / 1000, "dur": (end - start) / 1000, "args": arguments,
    }  # fmt: skip


def _arrow(
    send: Span, receive: Span, threads: Mapping[Span, _Thread], numbers: Iterator[int]
) -> Iterator[dict[str, Any]]:
    # An arrow cannot point back in time, as clocks that were joined by estimate may have it.
    if receive.end < send.start:
        return
    number = next(numbers)
    ends = (("s", send, send.start), ("f", receive, max(send.start, receive.start)))
    for phase, span, moment in ends:
        yield {
            "ph": phase, "bp": "e", "id": number, "name": "message", "cat": "message",
            "pid": threads[span][0], "tid": threads[span][1], "ts": _nanoseconds(moment) / 1000,
        }  # fmt: skip


def _traces(document: Mapping[str, Any]) -> Iterator[Trace]:
    slices: dict[int, list[Mapping[str, Any]]] = {}
    for event in document["traceEvents"]:
        if event["ph"] == "X":
            slices.setdefault(event["pid"], []).append(event)
    for told in document["swath"]["traces"]:
        devices = {int(number): str(device) for number, device in told["devices"].items()}
        spans = [
            _span(device, event)
            for number, device in devices.items()
            for event in slices.get(number, ())
        ]
        spans.sort(key=lambda span: (span.start, span.device, span.lane))
        if told["origin"] not in ("predicted", "measured"):
            raise ValueError(told["origin"])
        yield Trace(told["origin"], tuple(devices.values()), tuple(spans))


def _span(device: str, event: Mapping[str, Any]) -> Span:
    lane: Lane = LANES[LANES.index(event["cat"])]
    arguments = event["args"]
    key = {"compute": "stage", "send": "to", "receive": "from"}[lane]
    message = None if arguments.get("message") is None else int(arguments["message"])
    start = round(event["ts"] * 1000)
    end = start + round(event["dur"] * 1000)
    return Span(
        device,
        lane,
        str(arguments[key]),
        int(arguments["request"]),
        start / 1e9,
        end / 1e9,
        message,
        int(arguments.get("bytes", 0)),
    )
