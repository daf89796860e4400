"""Recording: what workers and the coordinator did, and when, put together on one clock."""

from __future__ import annotations

import itertools
import json
import re
import threading
from collections import Counter, defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swath.errors import InputError, WorkerError
from swath.plan.compile import compile_plan
from swath.plan.program import COORDINATOR
from swath.runtime.clusters import LocalCluster
from swath.runtime.recorder import clock
from swath.runtime.recording import clock_offset, collect_recorded, start_recording
from swath.trace.chrome import read_chrome, write_chrome
from swath.trace.lanes import transfers
from tests.plan.plans import chain_graph, two_devices
from tests.runtime.models import assert_equal, values

GRAPH = chain_graph()
PLAN = two_devices(GRAPH)
PROGRAMS = compile_plan(PLAN)
REQUESTS = 3


# Real workers


@pytest.fixture(scope="module")
def cluster():
    with LocalCluster(["a", "b"]) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def trace(cluster):
    cluster.run(GRAPH, plan=PLAN, repeat=2, compare_with_single=False)
    return cluster.record(GRAPH, plan=PLAN, requests=REQUESTS)


def in_lane(trace, device, lane):
    spans = [span for span in trace.spans if (span.device, span.lane) == (device, lane)]
    return sorted(spans, key=lambda span: span.start)


def test_a_recording_is_a_measured_trace_of_all_parties(trace):
    assert trace.origin == "measured"
    assert trace.devices == (COORDINATOR, "a", "b")
    assert {span.request for span in trace.spans} == set(range(REQUESTS))
    assert min(span.start for span in trace.spans) == 0.0
    assert trace.spans[0].device == COORDINATOR
    assert all(span.end >= span.start for span in trace.spans)


def test_every_tile_of_every_request_is_there_under_its_stage(trace):
    found = Counter((s.device, s.name) for s in trace.spans if s.lane == "compute")
    expected = Counter((tile.device, tile.stage) for tile in PLAN.tiles)
    assert found == {tile: REQUESTS * count for tile, count in expected.items()}


def test_a_worker_does_one_thing_at_a_time(trace):
    for device in ("a", "b"):
        busy = [*in_lane(trace, device, "compute"), *in_lane(trace, device, "send")]
        busy.sort(key=lambda span: span.start)
        for one, other in itertools.pairwise(busy):
            assert one.end <= other.start


def test_every_message_is_sent_and_received(trace):
    pairs = transfers(trace)
    assert len(pairs) == REQUESTS * len(PROGRAMS.messages)
    messages = {message.number: message for message in PROGRAMS.messages}
    for send, receive in pairs:
        message = messages[send.message]
        assert (send.device, send.name) == (message.sender, message.receiver)
        assert (receive.device, receive.name) == (message.receiver, message.sender)
        assert send.nbytes == receive.nbytes == message.nbytes
        assert receive.end > send.start
    ends = Counter((s.lane, s.request, s.message) for s in trace.spans if s.lane != "compute")
    assert set(ends.values()) == {1}


def test_a_tile_begins_when_its_messages_are_there(trace):
    arrivals = {(s.request, s.message): s.end for s in trace.spans if s.lane == "receive"}
    for device, program in PROGRAMS.by_device.items():
        for request in range(REQUESTS):
            spans = (
                s for s in trace.spans
                if (s.device, s.request) == (device, request) and s.lane != "receive"
            )  # fmt: skip
            steps = sorted(spans, key=lambda span: span.start)
            for step, awaited in zip(steps, program.awaited, strict=True):
                assert all(arrivals[request, number] <= step.start for number in awaited)


def test_requests_follow_one_another(trace):
    bounds = defaultdict(list)
    for span in trace.spans:
        if span.device == COORDINATOR:
            bounds[span.request] += [span.start, span.end]
    for request in range(1, REQUESTS):
        assert max(bounds[request - 1]) <= min(bounds[request])


def test_a_second_recording_begins_anew_and_in_between_nothing_is_noted(cluster, trace):
    deployment = cluster.deploy(GRAPH, PLAN)
    for _ in range(5):
        deployment.run(values(GRAPH))
    again = deployment.record(values(GRAPH))
    assert {span.request for span in again.spans} == {0}
    assert len(again.spans) * REQUESTS == len(trace.spans)


def test_results_are_right_while_recording(cluster):
    deployment = cluster.deploy(GRAPH, PLAN)
    made = []
    coordinator = cluster.coordinator
    coordinator.record(PROGRAMS, lambda: made.append(deployment.run(values(GRAPH, 5))))
    assert_equal(GRAPH, made[0], values(GRAPH, 5))


def test_a_recording_survives_its_file(trace, tmp_path):
    write_chrome([trace], tmp_path / "trace.json")
    (again,) = read_chrome(tmp_path / "trace.json")
    assert [s.name for s in again.spans] == [s.name for s in trace.spans]
    assert again.end == pytest.approx(trace.end, abs=1e-9)


# Off, and off again


@pytest.fixture
def inside(threads):
    """Workers whose insides can be looked at, a coordinator, and a plan that is installed."""
    cluster = threads("a", "b")
    coordinator = cluster.coordinator()
    return cluster, coordinator, coordinator.install(PROGRAMS, GRAPH)


def recorders(cluster):
    return [i.recorder for w in cluster.workers.values() for i in w._installed.values()]


def ask_all(coordinator, verb):
    text = json.dumps({"version": coordinator._version(PROGRAMS)}).encode()
    answers = [coordinator.fabric.ask(name, verb, text) for name in ("a", "b")]
    return [json.loads(answer.result() or b"null") for answer in answers]


def test_without_recording_there_is_nothing_to_tell(inside):
    cluster, coordinator, deployment = inside
    deployment.run(values(GRAPH))
    assert recorders(cluster) == [None, None]
    assert ask_all(coordinator, "recorded") == [{"spans": []}] * 2
    assert coordinator._recorders == {}


def test_what_was_told_is_forgotten(inside):
    cluster, coordinator, deployment = inside
    deployment.record(values(GRAPH))
    assert recorders(cluster) == [None, None]
    assert coordinator._recorders == {}
    assert ask_all(coordinator, "recorded") == [{"spans": []}] * 2


def test_recording_ends_with_an_error_too(inside):
    cluster, coordinator, deployment = inside
    with pytest.raises(InputError):
        deployment.record({})
    assert recorders(cluster) == [None, None]
    assert coordinator._recorders == {}
    assert deployment.record(values(GRAPH)).spans


def test_the_memory_of_a_recording_that_nobody_asks_for_is_bounded(inside, monkeypatch):
    monkeypatch.setattr("swath.runtime.recorder.MAX_SPANS", 5)
    cluster, coordinator, deployment = inside
    ask_all(coordinator, "record")
    for seed in range(4):
        deployment.run(values(GRAPH, seed))
    assert [len(recorder.spans) for recorder in recorders(cluster)] == [5, 5]
    assert [recorder._landed for recorder in recorders(cluster)] == [{}, {}]
    coordinator.drop(PROGRAMS)
    assert recorders(cluster) == []


def test_only_what_is_installed_can_be_recorded(inside):
    _, coordinator, _ = inside
    for verb in ("record", "recorded"):
        with pytest.raises(WorkerError, match="worker 'a': KeyError"):
            coordinator.fabric.ask("a", verb, b'{"version": "none"}').result()


def test_plans_are_recorded_apart(threads):
    cluster = threads("a", "b")
    first, second = cluster.coordinator(), cluster.coordinator()
    recorded, other = first.install(PROGRAMS, GRAPH), second.install(PROGRAMS, GRAPH)

    def work():
        other.run(values(GRAPH))
        recorded.run(values(GRAPH))

    trace = first.record(PROGRAMS, work)
    assert sum(span.lane == "compute" for span in trace.spans) == len(PLAN.tiles)


# Clocks


class Elsewhere:
    """A worker on another machine, whose clock is ahead: it answers, and tells one span."""

    def __init__(self, hub, ahead):
        self.ahead = ahead
        self.answers = {
            "hello": lambda: {"boot_id": "another machine"},
            "clock": lambda: {"seconds": clock() + ahead},
            "record": lambda: None,
            "recorded": lambda: {"spans": [["compute", "0-rows", 1, *self.now(), None, 0]]},
        }
        self.asked = Counter()
        self.fabric = hub.join("far", "worker", lambda frame: None)
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def now(self):
        moment = clock() + self.ahead
        return moment, moment + 0.5

    def run(self):
        while not self.asked["recorded"]:
            event = self.fabric.receive(0.1)
            if event is not None and hasattr(event, "verb"):
                self.asked[event.verb] += 1
                event.answer(json.dumps(self.answers[event.verb]()).encode())
        self.fabric.close()


@pytest.mark.parametrize("ahead", [1000.0, -500.0])
def test_the_spans_of_another_machine_are_put_on_our_clock(threads, ahead):
    cluster = threads()
    fabric = cluster.coordinator().fabric
    far = Elsewhere(cluster.hub, ahead)
    before = clock()
    offsets = start_recording(fabric, "v", ["far"])
    (span,) = collect_recorded(fabric, "v", offsets)
    after = clock()
    far.thread.join(5.0)
    slack = after - before  # No single round trip took longer.
    assert offsets["far"] == pytest.approx(ahead, abs=slack)
    assert before - slack <= span.start <= after + slack
    assert span.end - span.start == pytest.approx(0.5)
    assert (span.device, span.name) == ("far", "0-rows")
    assert far.asked["clock"] > 5


def test_on_one_machine_clocks_are_not_estimated(inside):
    _, coordinator, _ = inside
    version = coordinator._version(PROGRAMS)
    assert start_recording(coordinator.fabric, version, ["a", "b"]) == {"a": 0.0, "b": 0.0}


delays = st.floats(1e-6, 1.0)


@given(ahead=st.floats(-1e4, 1e4), trips=st.lists(st.tuples(delays, delays), min_size=1))
def test_the_error_of_an_offset_is_at_most_half_the_shortest_round_trip(ahead, trips):
    probes = [
        (10.0 * n, 10.0 * n + there + ahead, 10.0 * n + there + back)
        for n, (there, back) in enumerate(trips)
    ]
    shortest = min(there + back for there, back in trips)
    assert abs(clock_offset(probes) - ahead) <= shortest / 2 + 1e-9


def test_a_worker_that_tells_no_spans_is_named(threads):
    cluster = threads()
    fabric = cluster.coordinator().fabric
    far = Elsewhere(cluster.hub, 0.0)
    far.answers["recorded"] = lambda: {"spans": [["sleep", "?"]]}
    with pytest.raises(WorkerError, match=re.escape("worker 'far' says what is not understood")):
        collect_recorded(fabric, "v", start_recording(fabric, "v", ["far"]))
    far.thread.join(5.0)
