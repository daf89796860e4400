"""Trace files: valid by the rules of the Trace Event Format, and read back as they were.

The rules are checked on the JSON itself, by code that shares nothing with the writer.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from swath.errors import InputError
from swath.plan.program import COORDINATOR
from swath.trace.chrome import read_chrome, write_chrome
from swath.trace.trace import Span, Trace
from tests.trace.traces import ring_trace


def written(tmp_path, *traces):
    path = tmp_path / "trace.json"
    write_chrome(traces, path)
    return json.loads(path.read_text())


def assert_valid(document):
    """The rules that Perfetto and chrome://tracing hold a file to."""
    assert document["displayTimeUnit"] in ("ms", "ns")
    events = document["traceEvents"]
    names, slices, flows = defaultdict(dict), defaultdict(list), defaultdict(list)
    for event in events:
        assert isinstance(event["pid"], int) and isinstance(event["tid"], int)
        place = (event["pid"], event["tid"])
        if event["ph"] == "M":
            key = event["name"].split("_", 1)[1]
            names[event["name"].split("_")[0], place][key] = event["args"][key]
        elif event["ph"] == "X":
            assert event["ts"] >= 0 and event["dur"] >= 0
            assert event["name"] and event["cat"]
            slices[place].append((event["ts"], event["ts"] + event["dur"]))
        else:
            assert event["ph"] in ("s", "f")
            flows[event["cat"], event["name"], event["id"]].append(event)
    for place, own in slices.items():
        assert names["thread", place]["name"]
        assert isinstance(names["thread", place]["sort_index"], int)
        assert names["process", (place[0], 0)]["name"]
        assert_nested(own)
    for ends in flows.values():
        assert [event["ph"] for event in ends] == ["s", "f"]
        assert ends[0]["ts"] <= ends[1]["ts"]
        for event in ends:
            assert event["bp"] == "e"
            assert any(
                start <= event["ts"] <= end + 1e-9
                for start, end in slices[event["pid"], event["tid"]]
            )
    return names, slices, flows


def assert_nested(spans):
    """The events of one thread lie one after another or one inside another."""
    open_until = []
    for start, end in sorted(spans, key=lambda span: (span[0], -span[1])):
        while open_until and open_until[-1] <= start + 1e-6:
            open_until.pop()
        assert not open_until or end <= open_until[-1] + 1e-6
        open_until.append(end)


def test_a_trace_is_valid_and_complete(tmp_path):
    trace = ring_trace(devices=4, stages=5, requests=2)
    names, slices, flows = assert_valid(written(tmp_path, trace))
    assert sum(map(len, slices.values())) == len(trace.spans)
    assert len(flows) == sum(span.lane == "send" for span in trace.spans)
    processes = [told["name"] for (what, _), told in names.items() if what == "process"]
    assert processes == ["coordinator", "pi-0", "pi-1", "pi-2", "pi-3"]
    threads = {told["name"] for (what, _), told in names.items() if what == "thread"}
    assert threads == {"compute", "send", "receive", "receive 2", "receive 3", "receive 4"}


def test_predicted_and_measured_stand_together_device_by_device(tmp_path):
    document = written(tmp_path, ring_trace("predicted"), ring_trace(scale=1.1))
    names, _, _ = assert_valid(document)
    processes = {
        told["name"]: told["sort_index"] for (what, _), told in names.items() if what == "process"
    }
    assert sorted(processes, key=processes.get) == [
        f"{device} ({origin})"
        for device in ("coordinator", "pi-0", "pi-1", "pi-2")
        for origin in ("predicted", "measured")
    ]


def test_what_an_event_tells(tmp_path):
    trace = Trace(
        "measured",
        ("a", "b"),
        (
            Span("a", "compute", "0-rows", 3, 0.0, 0.0015),
            Span("a", "send", "b", 3, 0.0015, 0.002, 7, 640),
            Span("b", "receive", "a", 3, 0.0018, 0.0025, 7, 640),
        ),
    )
    events = written(tmp_path, trace)["traceEvents"]
    compute, send, receive = (event for event in events if event["ph"] == "X")
    assert (compute["name"], compute["ts"], compute["dur"]) == ("0-rows", 0, 1500)
    assert compute["args"] == {"request": 3, "stage": "0-rows"}
    assert send["args"] == {"request": 3, "to": "b", "message": 7, "bytes": 640}
    assert (send["name"], receive["name"]) == ("to b", "from a")
    arrow = {event["ph"]: event for event in events if event["ph"] in "sf"}
    assert (arrow["s"]["tid"], arrow["s"]["ts"]) == (send["tid"], 1500)
    assert (arrow["f"]["tid"], arrow["f"]["ts"]) == (receive["tid"], 1800)


def test_an_arrow_does_not_point_back_in_time(tmp_path):
    """Clocks of two machines that were joined by estimate may have it so."""
    early = Span("b", "receive", "a", 0, 0.1, 0.2, 0, 8)
    late = Span("b", "receive", "a", 0, 0.1, 0.4, 0, 8)
    for receive, arrows in ((early, 0), (late, 1)):
        trace = Trace("measured", ("a", "b"), (Span("a", "send", "b", 0, 0.3, 0.5, 0, 8), receive))
        _, _, flows = assert_valid(written(tmp_path, trace))
        assert len(flows) == arrows


devices = st.sampled_from(["pi-a", "pi-b", COORDINATOR, "ünïcode", 'a"b'])
nanoseconds = st.integers(0, 10**12)


@st.composite
def spans(draw):
    lane = draw(st.sampled_from(["compute", "send", "receive"]))
    start = draw(nanoseconds)
    end = start + draw(st.integers(0, 10**9))
    what = {"name": draw(st.text('ab"<\\\né', min_size=1, max_size=9))}
    if lane != "compute":
        what = {
            "name": draw(devices),
            "message": draw(st.integers(0, 99)),
            "nbytes": draw(st.integers(0, 1 << 40)),
        }
    return Span(
        device=draw(devices), lane=lane, request=draw(st.integers(0, 3)), start=start / 1e9,
        end=end / 1e9, **what,
    )  # fmt: skip


@st.composite
def made_up_traces(draw):
    found = tuple(draw(st.lists(spans(), max_size=12)))
    names = (*dict.fromkeys(span.device for span in found), "idle")
    return Trace(draw(st.sampled_from(["predicted", "measured"])), names, found)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(traces=st.lists(made_up_traces(), max_size=3))
def test_reading_gives_back_what_was_written(tmp_path, traces):
    path = tmp_path / "trace.json"
    write_chrome(traces, path)
    assert_valid(json.loads(path.read_text()))
    again = read_chrome(path)
    assert [(t.origin, t.devices) for t in again] == [(t.origin, t.devices) for t in traces]
    for one, other in zip(again, traces, strict=True):
        assert Counter(one.spans) == Counter(other.spans)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "no such file"),
        ("hello", "is no trace file"),
        ("[1, 2]", "was not written by swath, or is damaged"),
        ('{"traceEvents": []}', "was not written by swath, or is damaged"),
        ('{"swath": {"version": 9}}', "of another version of swath"),
    ],
)
def test_what_is_no_trace_of_ours_is_refused_in_one_line(tmp_path, content, reason):
    path: Path = tmp_path / "t.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(InputError, match=reason) as refusal:
        read_chrome(path)
    assert "t.json" in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_damaged_trace_is_refused(tmp_path):
    document = written(tmp_path, ring_trace())
    for event in document["traceEvents"]:
        event.get("args", {}).pop("request", None)
    (tmp_path / "trace.json").write_text(json.dumps(document))
    with pytest.raises(InputError, match="damaged"):
        read_chrome(tmp_path / "trace.json")
