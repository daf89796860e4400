"""Gantt pictures: what they show, as data; and that all of it is drawn, and readable alone."""

from __future__ import annotations

import itertools
import json
import re

import pytest

from swath.errors import InputError
from swath.trace.gantt import draw_gantt
from swath.trace.gantt_view import FEW_COLOURS, gantt_view
from swath.trace.lanes import pack
from swath.trace.trace import Span, Trace, typical_request
from tests.trace.traces import ring_trace


@pytest.fixture
def both():
    return [ring_trace("predicted"), ring_trace("measured", scale=1.2)]


def test_every_span_is_a_bar_where_it_belongs(both):
    view = gantt_view(both)
    assert len(view.bars) == sum(len(trace.spans) for trace in both)
    for bar in view.bars:
        assert (bar.start, bar.end) == (bar.span.start * 1e3, bar.span.end * 1e3)
        (strip,) = (
            s
            for s in view.strips
            if (s.device, s.trace) == (bar.span.device.removeprefix("@"), bar.trace)
        )
        assert strip.top <= bar.top
        assert bar.top + bar.height <= strip.bottom + 1e-9
    assert view.end == pytest.approx(both[1].end * 1e3)
    assert view.strips[-1].bottom == pytest.approx(view.height)


def test_predicted_stands_above_measured_and_nothing_overlaps(both):
    strips = gantt_view(both).strips
    assert [(strip.device, strip.trace) for strip in strips] == [
        (device, trace) for device in ("coordinator", "pi-0", "pi-1", "pi-2") for trace in (0, 1)
    ]
    for upper, lower in itertools.pairwise(strips):
        assert upper.bottom < lower.top


def test_a_stage_has_one_colour_in_all_traces(both):
    view = gantt_view(both)
    for stage, colour in view.stages.items():
        assert {b.colour for b in view.bars if b.span.name == stage} == {colour}
    assert list(view.stages) == [f"{stage}-rows" for stage in range(4)]


@pytest.mark.parametrize("stages", [1, len(FEW_COLOURS), len(FEW_COLOURS) + 1, 60])
def test_stages_are_told_apart_also_when_they_are_many(stages):
    colours = list(gantt_view([ring_trace(stages=stages)]).stages.values())
    assert len(set(colours)) == stages
    assert all(re.fullmatch("#[0-9a-fA-F]{6}", colour) for colour in colours)


def test_arrows_join_the_ends_of_messages(both):
    view = gantt_view(both)
    assert len(view.arrows) == sum(s.lane == "send" for trace in both for s in trace.spans)
    for send, receive in view.arrows:
        one, other = view.bars[send], view.bars[receive]
        assert (one.span.lane, other.span.lane) == ("send", "receive")
        assert one.trace == other.trace
        assert one.span.message == other.span.message
        assert (one.span.name, one.span.device) == (other.span.device, other.span.name)


def test_the_latency_of_a_request_ends_with_its_last_output():
    trace = ring_trace(stages=2, requests=3)
    late = Span("pi-0", "send", "@coordinator", 2, trace.end, trace.end + 5.0, 99, 8)
    view = gantt_view([Trace("measured", trace.devices, (*trace.spans, late))])
    assert [mark.latency for mark in view.marks] == pytest.approx([8.7] * 3)
    assert [mark.at for mark in view.marks] == pytest.approx([8.7, 18.7, 28.7])


def test_of_many_requests_only_the_last_one_is_marked():
    assert len(gantt_view([ring_trace(stages=1, requests=30)]).marks) == 1


def test_spans_at_one_time_lie_beside_each_other():
    assert pack([(0, 2), (1, 3), (2, 4), (3, 5), (0, 9)]) == [0, 2, 0, 2, 1]
    assert pack([]) == []


def test_a_typical_request_is_the_median_one():
    trace = ring_trace(requests=3)
    longer = [
        Span(s.device, s.lane, s.name, s.request, s.start, s.end + 0.001 * (5 - s.request))
        for s in trace.spans
    ]
    found = typical_request(Trace("measured", trace.devices, tuple(longer)))
    assert {span.request for span in found.spans} == {1}
    assert found.spans[0].start == 0.0
    assert typical_request(Trace("measured", (), ())).spans == ()


def drawn_bars(text):
    (group,) = re.findall(r'<g id="bars">(.*?)</g>', text, re.DOTALL)
    return len(re.findall(r"<(?:path|use) ", re.sub(r"<defs>.*?</defs>", "", group, flags=re.S)))


def test_everything_is_in_the_svg(tmp_path, both):
    draw_gantt(both, tmp_path / "gantt.svg", "a model")
    text = (tmp_path / "gantt.svg").read_text()
    assert drawn_bars(text) == sum(len(trace.spans) for trace in both)
    for said in ("a model", "coordinator", "pi-2", "predicted 16.7 ms", "measured 20.04 ms",
                 "3-rows", "send", "receive", "ms"):  # fmt: skip
        assert f">{said}</text>" in text, said
    for colour in gantt_view(both).stages.values():
        assert colour.lower() in text
    assert 'id="arrows"' in text


def test_eight_devices_and_twenty_stages_stay_readable(tmp_path):
    many = [ring_trace("predicted", 8, 20), ring_trace("measured", 8, 20)]
    draw_gantt(many, tmp_path / "gantt.svg")
    text = (tmp_path / "gantt.svg").read_text()
    assert drawn_bars(text) == sum(len(trace.spans) for trace in many)
    assert 'id="arrows"' not in text  # They would hide what they join.
    legend = re.findall(r'<g id="legend_1">.*', text, re.DOTALL)[0]
    assert 5 <= len(re.findall("<text", legend)) <= 16


def test_the_same_traces_give_the_same_files(tmp_path, both):
    for suffix in ("svg", "html"):
        for name in ("one", "two"):
            draw_gantt(both, tmp_path / f"{name}.{suffix}")
        first, second = (tmp_path / f"{name}.{suffix}" for name in ("one", "two"))
        assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize("trace", [ring_trace(), Trace("measured", ("a",), ())])
def test_png(tmp_path, trace):
    draw_gantt([trace], tmp_path / "gantt.png")
    assert (tmp_path / "gantt.png").read_bytes().startswith(b"\x89PNG")


def test_the_page_stands_alone_and_holds_every_span(tmp_path, both):
    title = "</script><b>no markup</b>"
    draw_gantt(both, tmp_path / "gantt.html", title)
    text = (tmp_path / "gantt.html").read_text()
    scripts = re.findall(r"<script([^>]*)>(.*?)</script>", text, re.DOTALL)
    assert [attributes for attributes, _ in scripts] == [' type="application/json" id="data"', ""]
    assert not re.search(r"https?:|\bsrc=|\bhref=|@import|url\(|\bfetch\b|import\s*\(", text)
    data = json.loads(scripts[0][1])
    assert data["title"] == title
    assert len(data["bars"]) == sum(len(trace.spans) for trace in both)
    bar = next(bar for bar in data["bars"] if bar[2] == "send" and bar[0] == "pi-0")
    assert bar[:7] == ["pi-0", 0, "send", "pi-1", 0, 3, 0]
    assert bar[7:9] == pytest.approx([3.0, 4.0])
    for event in ("wheel", "pointermove", "pointerdown", "dblclick"):
        assert f'addEventListener("{event}"' in scripts[1][1]


def test_another_suffix_is_refused(tmp_path, both):
    with pytest.raises(InputError, match=r"gantt.txt: a Gantt picture is a .png, .svg, .html file"):
        draw_gantt(both, tmp_path / "gantt.txt")
