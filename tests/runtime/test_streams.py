"""Several requests in flight: each gets its own answer, and nothing grows beyond what was asked."""

from __future__ import annotations

import collections
import itertools
import os
import signal
import threading
import time
from dataclasses import replace

import numpy as np
import pytest

from swath.errors import FabricError, InputError, PlanError, WorkerError
from swath.fabric.frame import Kind, Turn
from swath.plan.compile import compile_plan
from swath.plan.plan import PlanDevice
from swath.runtime.clusters import LocalCluster
from swath.runtime.instance import instance_bytes
from swath.runtime.streaming import check_stream_memory
from swath.runtime.worker import KEPT
from tests.plan.plans import chain_graph, layer_plan, two_devices
from tests.runtime.models import assert_equal, by_node, model, node, values

GRAPH = chain_graph()
PROGRAMS = compile_plan(two_devices(GRAPH))
PIPELINE = compile_plan(by_node(GRAPH, ["a", "b"]))
"""Node by node from one to the other: with several requests in flight both are at work."""

SLOW = chain_graph(layers=20, channels=8, rows=60)


def seeds(count):
    return [values(GRAPH, seed) for seed in range(count)]


def assert_own_answers(made, inputs, graph=GRAPH):
    assert len(made) == len(inputs)
    for outputs, arrays in zip(made, inputs, strict=True):
        assert_equal(graph, outputs, arrays)


@pytest.mark.parametrize("programs", [PROGRAMS, PIPELINE])
@pytest.mark.parametrize("in_flight", [1, 2, 5, 40])
def test_each_request_gets_its_own_answer_in_order(threads, programs, in_flight):
    deployment = threads("a", "b").coordinator().install(programs, GRAPH)
    inputs = seeds(17)
    assert_own_answers(list(deployment.stream(inputs, in_flight)), inputs)
    assert list(deployment.stream([], in_flight)) == []


def test_shapes_that_are_known_only_when_they_are_there(threads):
    """How many entries are not zero differs from request to request."""
    graph = model(
        [node("NonZero", "x", "y"), node("Cast", "y", "z", to=1), node("Neg", "z", "w")],
        {"x": (4, 6)},
        {"w": (1, None)},
    )
    plan = by_node(graph, ["a", "b"])
    deployment = threads("a", "b").coordinator().install(compile_plan(plan), graph)
    rng = np.random.default_rng(0)
    inputs = [{"x": rng.integers(0, 2, (4, 6)).astype(np.float32)} for _ in range(12)]
    assert_own_answers(list(deployment.stream(inputs, 4)), inputs, graph)


def test_never_more_in_flight_than_asked_and_inputs_are_taken_as_they_are_wanted(threads):
    cluster = threads("a", "b")
    coordinator = cluster.coordinator()
    deployment = coordinator.install(PIPELINE, GRAPH)
    most = {"coordinator": 0, "taken": 0}
    taken = itertools.count(1)

    def endless():
        for seed in itertools.cycle(range(5)):
            most["taken"] = next(taken)
            yield values(GRAPH, seed)

    stream = deployment.stream(endless(), 3)
    for done, outputs in enumerate(itertools.islice(stream, 30)):
        # Whoever takes them slowly is waited for: what is in flight ends, and no more begins.
        time.sleep(0.002)
        most["coordinator"] = max(most["coordinator"], len(coordinator._requests))
        assert most["taken"] <= done + 3
        assert all(len(worker._active) <= 3 for worker in cluster.workers.values())
        assert_equal(GRAPH, outputs, values(GRAPH, done % 5))
    stream.close()
    assert most["coordinator"] <= 2, "one of the three has been handed out"
    assert coordinator._requests == {}


def test_a_stream_that_nobody_takes_any_more_is_withdrawn(threads, eventually):
    cluster = threads("a", "b")
    coordinator = cluster.coordinator()
    deployment = coordinator.install(PROGRAMS, GRAPH)
    stream = deployment.stream(seeds(9), 4)
    next(stream)
    stream.close()
    assert coordinator._requests == {}
    eventually(lambda: not any(worker._active for worker in cluster.workers.values()))
    inputs = seeds(3)
    assert_own_answers(list(deployment.stream(inputs, 3)), inputs)


def test_inputs_that_do_not_fit_end_the_stream_and_withdraw_the_others(threads):
    coordinator = threads("a", "b").coordinator()
    deployment = coordinator.install(PROGRAMS, GRAPH)
    stream = deployment.stream([*seeds(2), {}], 8)
    with pytest.raises(InputError, match="'x0' is missing"):
        next(stream)
    assert coordinator._requests == {}


def test_inputs_that_cannot_be_had_end_the_stream_and_withdraw_the_others(threads):
    coordinator = threads("a", "b").coordinator()
    deployment = coordinator.install(PROGRAMS, GRAPH)

    def breaking():
        yield values(GRAPH)
        raise OSError("the camera is gone")

    with pytest.raises(OSError, match="camera"):
        list(deployment.stream(breaking(), 8))
    assert coordinator._requests == {}


@pytest.mark.parametrize("in_flight", [0, -3])
def test_no_request_in_flight_is_no_stream(threads, in_flight):
    deployment = threads("a", "b").coordinator().install(PROGRAMS, GRAPH)
    with pytest.raises(InputError, match=f"{in_flight} requests in flight are no stream; give 1"):
        deployment.stream([], in_flight)


def test_the_oldest_request_goes_first(threads):
    """With all inputs there before the worker looks, it ends one request after the other."""
    cluster = threads("a")
    programs = compile_plan(layer_plan(GRAPH, [("a", layer, 0, 12) for layer in range(3)]))
    coordinator = cluster.coordinator()
    coordinator.install(programs, GRAPH)
    worker = cluster.workers["a"]
    begun, done = [], []
    free = threading.Event()
    step = worker._run_step

    def noted(installed, key, active):
        free.wait(10.0)
        if active.executor.position == 0:
            begun.append(key[1])
        step(installed, key, active)
        if active.executor.is_done:
            done.append(key[1])

    worker._run_step = noted
    numbers = [coordinator.begin(programs, arrays) for arrays in seeds(5)]
    free.set()
    for number in reversed(numbers):
        coordinator.finish(programs, number, 10.0)
    assert begun == done == numbers


def test_memory_is_made_beforehand_and_kept_within_bounds(threads):
    cluster = threads("a", "b")
    coordinator = cluster.coordinator()
    deployment = coordinator.install(PROGRAMS, GRAPH)
    worker = cluster.workers["a"]
    (installed,) = worker._installed.values()
    assert len(installed.idle) == 1
    stream = deployment.stream(seeds(20), 7)
    assert len(installed.idle) == installed.reserved == 7
    before = {id(instance) for instance in installed.idle}
    list(stream)
    assert {id(instance) for instance in installed.idle} == before, "no other was ever made"
    # A burst that nobody has announced is served, and its memory given back.
    other = coordinator.install(PIPELINE, GRAPH)
    (burst,) = [found for found in worker._installed.values() if found is not installed]
    numbers = [coordinator.begin(PIPELINE, values(GRAPH)) for _ in range(KEPT + 9)]
    for number in numbers:
        coordinator.finish(PIPELINE, number, 10.0)
    assert other.is_installed
    assert len(burst.idle) <= KEPT


def test_memory_that_a_worker_lacks_is_said_before_anything_runs(threads, monkeypatch):
    cluster = threads("a", "b")
    deployment = cluster.coordinator().install(PROGRAMS, GRAPH)
    monkeypatch.setattr(cluster.workers["b"], "_free_memory", lambda: 0)
    line = "worker 'b': out of memory .3 requests in flight need 0 MiB more, 0 MiB free"
    with pytest.raises(WorkerError, match=line):
        deployment.stream(seeds(4), 3)
    assert_equal(GRAPH, deployment.run(values(GRAPH)), values(GRAPH))


def test_memory_that_the_plan_says_a_device_lacks(threads):
    plan = two_devices(GRAPH)
    programs = compile_plan(plan)
    more = instance_bytes(programs.by_device["b"])
    roomy = replace(plan, devices=tuple(PlanDevice(d.name, 1 << 40) for d in plan.devices))
    check_stream_memory(roomy, programs, 1000)
    tight = replace(plan, devices=tuple(PlanDevice(d.name, 20 * more) for d in plan.devices))
    check_stream_memory(tight, programs, 2)
    with pytest.raises(PlanError, match=r"device '[ab]' needs .* MiB for 50 requests in flight"):
        check_stream_memory(tight, programs, 50)


def test_a_worker_that_goes_ends_the_stream(threads, eventually):
    cluster = threads("a", "b")
    coordinator = cluster.coordinator()
    deployment = coordinator.install(PROGRAMS, GRAPH)
    stream = deployment.stream(itertools.cycle(seeds(3)), 4, timeout=10.0)
    next(stream)
    cluster.workers["b"].stop()
    with pytest.raises((WorkerError, FabricError), match="'b'"):
        collections.deque(stream, maxlen=0)
    assert coordinator._requests == {}
    eventually(lambda: not cluster.workers["a"]._active)


def test_what_is_withdrawn_is_told_to_the_workers(threads):
    coordinator = threads("a", "b").coordinator()
    coordinator.install(PROGRAMS, GRAPH)
    sent = []
    send = coordinator.fabric.send

    def noted(receiver, frame, parts=()):
        sent.append((receiver, frame.kind))
        send(receiver, frame, parts)

    number = coordinator.begin(PROGRAMS, values(GRAPH))
    coordinator.fabric.send = noted
    coordinator.withdraw(PROGRAMS, number)
    coordinator.withdraw(PROGRAMS, number)
    assert sorted(sent) == [("a", Kind.CANCEL), ("b", Kind.CANCEL)]


# Worker processes


@pytest.fixture(scope="module")
def processes():
    with LocalCluster(["a", "b"]) as cluster:
        # Connections are made with the first plan, and stay.
        cluster.deploy(SLOW, by_node(SLOW, ["a", "b"])).run(values(SLOW))
        yield cluster


@pytest.fixture(scope="module")
def expected(processes):
    """Inputs, and what one request after the other gives of them."""
    deployment = processes.deploy(SLOW, by_node(SLOW, ["a", "b"]))
    inputs = [values(SLOW, seed) for seed in range(24)]
    return inputs, [deployment.run(arrays) for arrays in inputs]


def assert_same(made, expected):
    assert len(made) == len(expected)
    for outputs, wanted in zip(made, expected, strict=True):
        assert outputs.keys() == wanted.keys()
        for name in wanted:
            np.testing.assert_array_equal(outputs[name], wanted[name])


@pytest.mark.parametrize("in_flight", [2, 6])
def test_a_stream_over_processes_is_equal_to_one_by_one(processes, expected, in_flight):
    inputs, wanted = expected
    plan = by_node(SLOW, ["a", "b"])
    assert_same(list(processes.stream(SLOW, inputs, in_flight, plan=plan)), wanted)


@pytest.mark.parametrize("slow", ["a", "b"])
def test_a_worker_that_is_slow_to_receive(processes, expected, slow):
    """It is stopped again and again: what is for it waits, and is right in the end."""
    inputs, wanted = expected
    pid = processes.pids[slow]
    over = threading.Event()

    def hinder():
        while not over.wait(0.01):
            os.kill(pid, signal.SIGSTOP)
            time.sleep(0.05)
            os.kill(pid, signal.SIGCONT)

    hindering = threading.Thread(target=hinder)
    hindering.start()
    try:
        plan = by_node(SLOW, ["a", "b"])
        made = list(processes.stream(SLOW, inputs, 5, plan=plan))
    finally:
        over.set()
        hindering.join(10.0)
    assert_same(made, wanted)


def test_two_streams_at_once(processes, expected):
    """Of two plans, from two threads."""
    inputs, wanted = expected
    layers = range(len(SLOW.nodes) // 2)
    split = layer_plan(SLOW, [t for i in layers for t in (("a", i, 0, 30), ("b", i, 30, 60))])
    deployments = [processes.deploy(SLOW, plan) for plan in (by_node(SLOW, ["a", "b"]), split)]
    made = {}

    def work(index):
        made[index] = list(deployments[index].stream(inputs, 3))

    callers = [threading.Thread(target=work, args=(index,)) for index in range(2)]
    for thread in callers:
        thread.start()
    for thread in callers:
        thread.join(60.0)
    assert_same(made[0], wanted)
    assert_same(made[1], wanted)


def test_a_run_with_a_stream_says_how_soon_results_follow(processes):
    report = processes.run(SLOW, plan=by_node(SLOW, ["a", "b"]), repeat=2, stream=3)
    stream = report.stream
    assert (stream.in_flight, stream.requests) == (3, 9)
    assert stream.requests_per_second == pytest.approx(1e3 / stream.interval)
    assert stream.interval > 0
    assert stream.latency.min > 0
    assert 0 < stream.predicted_interval <= report.predicted
    assert report.bit_exact
    assert processes.run(GRAPH, plan=by_node(GRAPH, ["a", "b"]), repeat=1).stream is None


def test_flows_take_turns_by_their_weights(threads):
    """While both have requests, of every four tiles three are the heavier flow's; and of each flow
    the oldest request goes first."""
    coordinator = threads("a").coordinator()
    programs = compile_plan(by_node(SLOW, ["a"]))
    coordinator.install(programs, SLOW)
    inputs = values(SLOW)

    def work() -> None:
        turns = [Turn(1, 3.0), Turn(2, 1.0)] * 16
        for number in [coordinator.begin(programs, inputs, turn) for turn in turns]:
            coordinator.finish(programs, number, 60.0)

    spans = coordinator.record(programs, work).spans
    computed = [span.request for span in spans if span.lane == "compute"]
    heavy, light = ([n for n in computed if n % 2 == flow] for flow in (0, 1))
    assert heavy == sorted(heavy) and light == sorted(light)
    last = len(computed) - computed[::-1].index(30)
    both = computed[computed.index(1) : last]
    share = sum(n % 2 for n in both) / len(both)
    assert 0.15 < share < 0.35
