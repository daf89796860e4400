"""A coordinator and its workers: one install, many requests at once, clear errors."""

from __future__ import annotations

import gc
import json
import threading
import time
from dataclasses import replace

import numpy as np
import pytest

from swath.errors import FabricError, InputError, WorkerError
from swath.fabric.fabric import Arrival, Change
from swath.fabric.frame import Frame, Kind
from swath.plan.compile import compile_plan
from swath.runtime.install import hear
from tests.plan.plans import chain_graph, layer_plan, two_devices
from tests.runtime.models import assert_equal, values

GRAPH = chain_graph()
PLAN = two_devices(GRAPH)
PROGRAMS = compile_plan(PLAN)
OTHER = compile_plan(layer_plan(GRAPH, [("a", layer, 0, 12) for layer in range(3)]))


class Frozen:
    """A worker that comes, answers as told, and computes nothing."""

    def __init__(self, cluster, name, **answers):
        self.arrivals = []
        self.fabric = cluster.hub.join(name, "worker", lambda frame: None)
        place = {"places": [], "token": ""}
        hello = json.dumps({"address": place}).encode()
        nothing = json.dumps({"models": [], "weights": []}).encode()
        self._answers = {"hello": hello, "install": nothing, "store": b"", "commit": b"", **answers}
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self):
        while True:
            try:
                event = self.fabric.receive(None)
            except FabricError:
                return
            if isinstance(event, Arrival):
                self.arrivals.append(event.frame)
            elif event is not None and not isinstance(event, Change):
                answer = self._answers.get(event.verb, b"")
                if answer == "leave":
                    self.fabric.close()
                elif answer is not None:
                    event.answer(answer)

    def close(self):
        self.fabric.close()
        self._thread.join(5.0)


@pytest.fixture
def frozen():
    made = []

    def make(cluster, name, **answers):
        made.append(Frozen(cluster, name, **answers))
        return made[-1]

    yield make
    for worker in made:
        worker.close()


# Installing


def test_weights_are_sent_once(threads):
    coordinator = threads("a", "b").coordinator()
    sent = []

    def progress(worker, done, total):
        sent.append((worker, done, total))

    coordinator.install(PROGRAMS, GRAPH, progress)
    assert {worker for worker, _, _ in sent} == {"a", "b"}
    assert all(0 < done <= total for _, done, total in sent)
    assert {worker for worker, done, total in sent if done == total} == {"a", "b"}
    sent.clear()
    deployment = coordinator.install(OTHER, GRAPH, progress)
    models = sum(
        len(OTHER.models[digest]) for digest in OTHER.models.keys() - PROGRAMS.models.keys()
    )
    assert {total for _, _, total in sent} == {models}
    assert_equal(GRAPH, deployment.run(values(GRAPH)), values(GRAPH))


def test_installing_twice_costs_nothing(threads):
    coordinator = threads("a", "b").coordinator()
    coordinator.install(PROGRAMS, GRAPH)
    sent = []
    again = coordinator.install(PROGRAMS, GRAPH, lambda *progress: sent.append(progress))
    assert sent == []
    assert_equal(GRAPH, again.run(values(GRAPH)), values(GRAPH))


def test_two_coordinators_with_the_same_plan_do_not_mix(threads):
    cluster = threads("a", "b")
    deployments = [cluster.coordinator().install(PROGRAMS, GRAPH) for _ in range(2)]
    for seed in range(4):
        for index, deployment in enumerate(deployments):
            inputs = values(GRAPH, 2 * seed + index)
            assert_equal(GRAPH, deployment.run(inputs), inputs)
    cluster.coordinators[0].close()
    inputs = values(GRAPH, 99)
    assert_equal(GRAPH, deployments[1].run(inputs), inputs)


def test_two_coordinators_that_install_at_the_same_time(threads):
    cluster = threads("a", "b")
    coordinators = [cluster.coordinator() for _ in range(4)]
    found = {}

    def work(index):
        deployment = coordinators[index].install(PROGRAMS, GRAPH)
        found[index] = deployment.run(values(GRAPH, index))

    workers = [threading.Thread(target=work, args=(index,)) for index in range(4)]
    for thread in workers:
        thread.start()
    for thread in workers:
        thread.join(30.0)
    for index in range(4):
        assert_equal(GRAPH, found[index], values(GRAPH, index))


def test_a_worker_that_does_not_come(threads, monkeypatch):
    monkeypatch.setattr("swath.runtime.coordinator.JOIN_TIMEOUT", 0.1)
    coordinator = threads("a").coordinator()
    with pytest.raises(FabricError, match=r"worker 'b' has not come within .*; is it running"):
        coordinator.install(PROGRAMS, GRAPH)


@pytest.mark.parametrize("verb", ["hello", "install", "store", "commit"])
def test_a_worker_that_vanishes_while_it_is_installed(threads, frozen, verb):
    cluster = threads("a")
    model = next(iter(PROGRAMS.models))
    wants = json.dumps({"models": [model], "weights": []}).encode()
    frozen(cluster, "b", **{"install": wants, verb: "leave"})
    start = time.monotonic()
    with pytest.raises((FabricError, WorkerError), match="'b'"):
        cluster.coordinator().install(PROGRAMS, GRAPH)
    assert time.monotonic() - start < 10.0


@pytest.mark.parametrize(
    ("verb", "answer"),
    [
        ("hello", b""),
        ("hello", b"\xff\xfe"),
        ("hello", b"[]"),
        ("hello", b"{}"),
        ("hello", b'{"address": 5}'),
        ("install", b"null"),
        ("install", b'{"models": ["no such"], "weights": []}'),
        ("install", b'{"models": [], "weights": [["no such", [[0, 1]], "float32", 4]]}'),
        ("install", b'{"models": [], "weights": [5]}'),
    ],
)
def test_a_worker_that_answers_nonsense(threads, frozen, verb, answer):
    cluster = threads("a")
    frozen(cluster, "b", **{verb: answer})
    with pytest.raises(WorkerError, match="worker 'b' says what is not understood"):
        cluster.coordinator().install(PROGRAMS, GRAPH)


def test_after_a_failed_install_the_workers_hold_nothing(threads, frozen, eventually):
    cluster = threads("a")
    frozen(cluster, "b", install=b"nonsense")
    with pytest.raises(WorkerError):
        cluster.coordinator().install(PROGRAMS, GRAPH)
    eventually(lambda: not cluster.workers["a"]._installed)


def test_a_plan_that_was_dropped_takes_no_requests(threads):
    cluster = threads("a", "b")
    coordinator = cluster.coordinator()
    deployment = coordinator.install(PROGRAMS, GRAPH)
    assert deployment.is_installed
    coordinator.drop(PROGRAMS)
    assert not deployment.is_installed
    assert not cluster.workers["a"]._installed
    with pytest.raises(WorkerError, match="install it again"):
        deployment.run(values(GRAPH))
    again = coordinator.install(PROGRAMS, GRAPH)
    assert_equal(GRAPH, again.run(values(GRAPH)), values(GRAPH))


def test_workers_drop_what_a_coordinator_that_leaves_had_installed(threads, eventually):
    cluster = threads("a", "b")
    coordinator = cluster.coordinator()
    coordinator.install(PROGRAMS, GRAPH)
    workers = cluster.workers.values()
    assert all(worker._installed and worker._sessions for worker in workers)
    coordinator.close()
    eventually(lambda: not any(worker._installed or worker._sessions for worker in workers))


# Requests


def test_several_requests_in_flight_from_several_threads(threads):
    coordinator = threads("a", "b").coordinator()
    deployments = [coordinator.install(programs, GRAPH) for programs in (PROGRAMS, OTHER)]
    expected = {seed: deployments[0].run(values(GRAPH, seed)) for seed in range(4)}
    wrong = []

    def work(offset):
        for turn in range(12):
            seed = (turn + offset) % 4
            made = deployments[turn % 2].run(values(GRAPH, seed))
            if not np.array_equal(made["x3"], expected[seed]["x3"]):
                wrong.append((offset, turn))

    callers = [threading.Thread(target=work, args=(offset,)) for offset in range(6)]
    for thread in callers:
        thread.start()
    for thread in callers:
        thread.join(30.0)
    assert wrong == []
    assert coordinator._requests == {}


def test_requests_that_one_thread_begins_before_it_finishes_any(threads):
    coordinator = threads("a", "b").coordinator()
    coordinator.install(PROGRAMS, GRAPH)
    numbers = [coordinator.begin(PROGRAMS, values(GRAPH, seed)) for seed in range(5)]
    for seed, number in reversed(list(enumerate(numbers))):
        assert_equal(GRAPH, coordinator.finish(PROGRAMS, number, 10.0), values(GRAPH, seed))


@pytest.mark.parametrize(
    ("inputs", "reason"),
    [
        ({}, "'x0' is missing"),
        ({"x0": np.zeros((1, 4, 12, 8), np.float64)}, "is of type float64, the model needs"),
        ({"x0": np.zeros((1, 4, 12, 9), np.float32)}, "has shape"),
        ({"x0": np.zeros((1, 4, 12, 8), np.float32), "y": np.zeros(1)}, "'y' is not one of"),
    ],
)
def test_inputs_that_do_not_fit(threads, inputs, reason):
    deployment = threads("a", "b").coordinator().install(PROGRAMS, GRAPH)
    with pytest.raises(InputError, match=reason):
        deployment.run(inputs)


def test_inputs_in_any_memory_layout(threads):
    deployment = threads("a", "b").coordinator().install(PROGRAMS, GRAPH)
    inputs = values(GRAPH)
    turned = {"x0": np.asfortranarray(inputs["x0"])}
    backwards = {"x0": inputs["x0"][..., ::-1].copy()[..., ::-1]}
    for same in (turned, backwards):
        assert_equal(GRAPH, deployment.run(same), inputs)


def test_a_worker_that_does_not_answer_in_time_and_the_request_is_withdrawn(
    threads, frozen, eventually
):
    cluster = threads("a")
    silent = frozen(cluster, "b")
    deployment = cluster.coordinator().install(PROGRAMS, GRAPH)
    with pytest.raises(FabricError, match=r"^no answer within 0\.2 s; give more time"):
        deployment.run(values(GRAPH), timeout=0.2)
    eventually(lambda: Kind.CANCEL in [frame.kind for frame in silent.arrivals])
    eventually(lambda: not cluster.workers["a"]._active)
    assert cluster.coordinators[0]._requests == {}


def test_a_worker_that_goes_while_it_computes_is_named_at_once(threads, frozen, eventually):
    cluster = threads("a")
    doomed = frozen(cluster, "b")
    deployment = cluster.coordinator().install(PROGRAMS, GRAPH)
    timer = threading.Timer(0.1, doomed.close)
    timer.start()
    start = time.monotonic()
    with pytest.raises(WorkerError, match="worker 'b' has gone while it was computing"):
        deployment.run(values(GRAPH), timeout=30.0)
    assert time.monotonic() - start < 5.0
    timer.join()
    eventually(lambda: not cluster.workers["a"]._active)
    assert not deployment.is_installed
    with pytest.raises(WorkerError, match="install it again"):
        deployment.run(values(GRAPH))
    # What was installed for it elsewhere is dropped too.
    eventually(lambda: not cluster.workers["a"]._installed)
    cluster.start("b")
    again = cluster.coordinators[0].install(PROGRAMS, GRAPH)
    assert_equal(GRAPH, again.run(values(GRAPH)), values(GRAPH))


def test_a_worker_that_has_gone_before_a_request_is_noticed_by_it(threads, frozen):
    cluster = threads("a")
    doomed = frozen(cluster, "b")
    deployment = cluster.coordinator().install(PROGRAMS, GRAPH)
    doomed.close()
    with pytest.raises((WorkerError, FabricError), match="'b'"):
        deployment.run(values(GRAPH), timeout=10.0)
    assert cluster.coordinators[0]._requests == {}


def test_an_interrupted_wait_withdraws_the_request(threads, frozen, eventually, monkeypatch):
    cluster = threads("a")
    silent = frozen(cluster, "b")
    coordinator = cluster.coordinator()
    deployment = coordinator.install(PROGRAMS, GRAPH)

    def interrupt(timeout):
        raise KeyboardInterrupt

    monkeypatch.setattr(coordinator.fabric, "receive", interrupt)
    with pytest.raises(KeyboardInterrupt):
        deployment.run(values(GRAPH))
    eventually(lambda: Kind.CANCEL in [frame.kind for frame in silent.arrivals])
    assert coordinator._requests == {}
    assert not coordinator._receiving.locked()


@pytest.mark.parametrize(
    "payload", [b"", b"{", b"[]", b'{"worker": "b"}', b"\xff", b'"text"', b"null"]
)
def test_an_error_that_cannot_be_read_is_an_error_still(threads, frozen, payload):
    cluster = threads("a")
    odd = frozen(cluster, "b")
    coordinator = cluster.coordinator()
    deployment = coordinator.install(PROGRAMS, GRAPH)
    odd.fabric.reach(coordinator.fabric.address)
    number = coordinator.begin(PROGRAMS, values(GRAPH))
    version = coordinator._version(PROGRAMS)
    frame = Frame(Kind.ERROR, 0, number, version, len(payload))
    odd.fabric.send(coordinator.fabric.name, frame, [payload])
    with pytest.raises(WorkerError, match="sent what is not understood"):
        coordinator.finish(PROGRAMS, number, 10.0)
    assert deployment.is_installed


def test_foreign_data_harms_no_request(threads):
    cluster = threads("a", "b")
    coordinator = cluster.coordinator()
    deployment = coordinator.install(PROGRAMS, GRAPH)
    foreign = cluster.hub.join("foreign", "worker", lambda frame: None)
    foreign.reach(coordinator.fabric.address)
    for kind in Kind:
        foreign.send(coordinator.fabric.name, Frame(kind, 3, 1, "0" * 32, 4), [b"1234"])
    answer = foreign.ask(coordinator.fabric.name, "hello")
    inputs = values(GRAPH)
    assert_equal(GRAPH, deployment.run(inputs), inputs)
    with pytest.raises(WorkerError, match="answers no questions"):
        hear("it", answer)
    foreign.close()


def test_a_message_of_an_unknown_number_is_an_error_of_its_request_alone(threads, frozen):
    cluster = threads("a")
    odd = frozen(cluster, "b")
    coordinator = cluster.coordinator()
    coordinator.install(PROGRAMS, GRAPH)
    odd.fabric.reach(coordinator.fabric.address)
    number = coordinator.begin(PROGRAMS, values(GRAPH))
    frame = Frame(Kind.DATA, 12345, number, coordinator._version(PROGRAMS), 4)
    odd.fabric.send(coordinator.fabric.name, frame, [b"1234"])
    with pytest.raises(WorkerError, match="sent what is not understood"):
        coordinator.finish(PROGRAMS, number, 10.0)


# Leaving


def test_closing_ends_the_requests_of_other_threads(threads, frozen):
    cluster = threads("a")
    frozen(cluster, "b")
    coordinator = cluster.coordinator()
    deployment = coordinator.install(PROGRAMS, GRAPH)
    errors = []

    def work():
        try:
            deployment.run(values(GRAPH), timeout=60.0)
        except FabricError as error:
            errors.append(str(error))

    callers = [threading.Thread(target=work) for _ in range(3)]
    for thread in callers:
        thread.start()
    time.sleep(0.1)
    coordinator.close()
    coordinator.close()
    for thread in callers:
        thread.join(10.0)
    assert len(errors) == 3
    assert all("was closed" in error or "has left" in error for error in errors)
    with pytest.raises(FabricError):
        deployment.run(values(GRAPH))


def test_waiting_costs_no_computing(threads, frozen):
    cluster = threads("a")
    frozen(cluster, "b")
    deployment = cluster.coordinator().install(PROGRAMS, GRAPH)

    def work():
        with pytest.raises(FabricError, match="no answer"):
            deployment.run(values(GRAPH), timeout=0.5)

    callers = [threading.Thread(target=work) for _ in range(4)]
    gc.collect()
    before = time.process_time()
    for thread in callers:
        thread.start()
    for thread in callers:
        thread.join(10.0)
    assert time.process_time() - before < 0.4


def test_workers_of_another_version_are_refused_in_one_line(threads):
    cluster = threads("a")
    foreign = cluster.hub.join("b", "worker", lambda frame: None, version=99)
    with pytest.raises(FabricError, match=r"'b' speaks protocol 99, .*install the same version"):
        cluster.coordinator().install(PROGRAMS, GRAPH)
    foreign.close()


def test_a_plan_with_memory_of_its_devices_is_the_same_program():
    roomy = replace(PLAN, devices=tuple(replace(d, memory=1 << 40) for d in PLAN.devices))
    assert compile_plan(roomy).version == PROGRAMS.version
