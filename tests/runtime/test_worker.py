"""A worker among members that may say anything: it refuses, and serves the others."""

from __future__ import annotations

import json
import time

import pytest

from swath.engine.session import Session
from swath.errors import WorkerError
from swath.fabric.fabric import Arrival
from swath.fabric.frame import Frame, Kind
from swath.plan.compile import compile_plan
from swath.plan.transport import program_to_json
from tests.plan.plans import chain_graph, two_devices
from tests.runtime.models import assert_equal, values

GRAPH = chain_graph()
PROGRAMS = compile_plan(two_devices(GRAPH))


@pytest.fixture
def cluster(threads):
    return threads("a", "b")


@pytest.fixture
def stranger(cluster):
    """A member that is no coordinator of ours, reaching ``a``; it takes in data of any kind."""
    fabric = cluster.hub.join("stranger", "coordinator", lambda frame: None)
    fabric.reach(cluster.workers["a"].fabric.address)
    yield fabric
    fabric.close()


def assert_well(cluster):
    """Both workers still do their work."""
    deployment = cluster.coordinator().install(PROGRAMS, GRAPH)
    inputs = values(GRAPH)
    assert_equal(GRAPH, deployment.run(inputs), inputs)


def install_question(**changes):
    question = {
        "version": "1" * 32,
        "coordinator": "stranger",
        "program": program_to_json(PROGRAMS.by_device["a"]),
        "peak_memory": 0,
        "peers": {},
    }
    return json.dumps({**question, **changes}).encode()


@pytest.mark.parametrize(
    ("verb", "payload", "reason"),
    [
        ("fly", b"", "'fly' is not known here"),
        ("install", b"", "JSONDecodeError"),
        ("install", b"\xff\xfe\x00", "Error"),
        ("install", b"[]", "TypeError"),
        ("install", b"{}", "KeyError"),
        ("install", install_question(program={"device": "a", "steps": [{}], "messages": []}), ""),
        ("install", install_question(program={"device": "a", "steps": 5, "messages": []}), ""),
        ("install", install_question(program=program_to_json(PROGRAMS.by_device["b"])), "'b'"),
        ("install", install_question(peak_memory=1 << 50), "out of memory .* MiB needed"),
        ("install", install_question(peers={"nobody": [["unix:x"], "t"]}), "cannot reach 'nobody'"),
        ("store", b"", "broken chunk"),
        ("commit", b'{"version": "nothing"}', "KeyError"),
        ("commit", b"{", "JSONDecodeError"),
        ("drop", b"null", "TypeError"),
    ],
)
def test_foreign_questions_are_refused_in_one_line(cluster, stranger, verb, payload, reason):
    with pytest.raises(WorkerError, match=f"worker 'a': .*{reason}") as refusal:
        stranger.ask("a", verb, payload).result()
    assert "\n" not in str(refusal.value)
    assert len(str(refusal.value)) < 700
    assert_well(cluster)


@pytest.mark.parametrize("kind", list(Kind))
@pytest.mark.parametrize("payload", [b"", b"{", bytes(1000)])
def test_foreign_data_is_passed_over(cluster, stranger, kind, payload):
    for version in ("0" * 32, "x"):
        stranger.send("a", Frame(kind, 7, 1, version, len(payload)), [payload])
    assert_well(cluster)


def installed_by(stranger):
    """A plan installed on ``a`` by hand: its version."""
    stranger.ask("a", "install", install_question()).result()
    return "1" * 32


def test_a_commit_without_its_blobs_is_refused(cluster, stranger):
    version = installed_by(stranger)
    with pytest.raises(WorkerError, match="has not come; install again"):
        stranger.ask("a", "commit", json.dumps({"version": version}).encode()).result()
    assert_well(cluster)


def test_data_for_a_plan_that_is_not_ready_is_told_to_its_coordinator(cluster, stranger):
    version = installed_by(stranger)
    worker = cluster.workers["a"].fabric
    worker.reach(stranger.address)
    message = PROGRAMS.by_device["a"].incoming[0]
    frame = Frame(Kind.DATA, message.number, 5, version, message.nbytes)
    stranger.send("a", frame, [bytes(message.nbytes)])
    arrival = next_arrival(stranger)
    assert arrival.frame == Frame(Kind.ERROR, 0, 5, version, len(arrival.payload))
    assert json.loads(bytes(arrival.payload))["worker"] == "a"
    assert_well(cluster)


def next_arrival(fabric):
    for _ in range(20):
        event = fabric.receive(5.0)
        if isinstance(event, Arrival):
            return event
    raise AssertionError("nothing came")


def test_messages_of_another_size_or_number_harm_nobody(cluster):
    deployment = cluster.coordinator().install(PROGRAMS, GRAPH)
    coordinator = cluster.coordinators[0]
    version = coordinator._version(PROGRAMS)
    incoming = PROGRAMS.by_device["a"].incoming[0]
    foreign = cluster.hub.join("foreign", "worker", lambda frame: None)
    foreign.reach(cluster.workers["a"].fabric.address)
    for number, nbytes in ((incoming.number, 3), (999, 8), (PROGRAMS.messages[-1].number, 8)):
        foreign.send("a", Frame(Kind.DATA, number, 77, version, nbytes), [bytes(nbytes)])
    foreign.send("a", Frame(Kind.ERROR, 0, 78, version, 2), [b"{}"])
    inputs = values(GRAPH)
    assert_equal(GRAPH, deployment.run(inputs), inputs)
    foreign.close()


def test_many_requests_that_were_withdrawn_are_forgotten_in_time(cluster, stranger, monkeypatch):
    monkeypatch.setattr("swath.runtime.worker.REMEMBERED", 10)
    deployment = cluster.coordinator().install(PROGRAMS, GRAPH)
    coordinator = cluster.coordinators[0]
    version = coordinator._version(PROGRAMS)
    for number in range(1000, 1100):
        stranger.send("a", Frame(Kind.CANCEL, 0, number, version, 0))
    inputs = values(GRAPH)
    assert_equal(GRAPH, deployment.run(inputs), inputs)
    assert len(cluster.workers["a"]._withdrawn) == 10


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (MemoryError(), "out of memory; use more devices or a smaller input"),
        (
            RuntimeError("[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION :\n std::bad_alloc"),
            r"out of memory \(\[ONNXRuntimeError\].*std::bad_alloc\); use more devices",
        ),
        (RuntimeError("first\nsecond " + "x" * 9000), "RuntimeError: first second x*$"),
    ],
)
def test_what_goes_wrong_while_computing_reaches_the_caller(cluster, monkeypatch, error, told):
    deployment = cluster.coordinator().install(PROGRAMS, GRAPH)

    def fail(*_):
        raise error

    with monkeypatch.context() as patch:
        patch.setattr("swath.engine.session.BoundSession.run", fail)
        with pytest.raises(WorkerError, match=f"^worker '[ab]': {told}") as failure:
            deployment.run(values(GRAPH))
    assert "\n" not in str(failure.value)
    inputs = values(GRAPH)
    assert_equal(GRAPH, deployment.run(inputs), inputs)


def test_no_memory_for_sessions_is_one_line_and_leaves_nothing(cluster, monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("Failed to allocate memory for requested buffer of size 123")

    with monkeypatch.context() as patch:
        patch.setattr(Session, "__init__", fail)
        with pytest.raises(WorkerError, match=r"worker '[ab]': out of memory \(.*123\); use more"):
            cluster.coordinator().install(PROGRAMS, GRAPH)
    assert_well(cluster)


def test_a_memory_limit_is_kept(threads, monkeypatch):
    cluster = threads("a", "b", memory=64 << 20)
    deployment = cluster.coordinator().install(PROGRAMS, GRAPH)
    inputs = values(GRAPH)
    assert_equal(GRAPH, deployment.run(inputs), inputs)
    monkeypatch.setattr(
        "swath.runtime.install.peak_memory", lambda programs: dict.fromkeys("ab", 100 << 20)
    )
    with pytest.raises(WorkerError) as refusal:
        cluster.coordinator().install(PROGRAMS, GRAPH)
    assert "out of memory (100 MiB needed, " in str(refusal.value)
    assert str(refusal.value).endswith("MiB free); use more devices or a smaller input")
    assert_equal(GRAPH, deployment.run(inputs), inputs)


def test_room_is_made_by_dropping_what_nobody_uses(threads, monkeypatch):
    cluster = threads("a", "b")
    first = cluster.coordinator()
    first.install(PROGRAMS, GRAPH)
    first.drop(PROGRAMS)
    blobs = cluster.workers["a"]._blobs
    assert blobs.weights.nbytes > 0
    held = blobs.weights.nbytes
    monkeypatch.setattr(
        cluster.workers["a"],
        "_free_memory",
        lambda: 0 if blobs.weights.nbytes == held else 1 << 40,
    )
    other = chain_graph(layers=1, channels=2)
    programs = compile_plan(two_devices(other))
    deployment = first.install(programs, other)
    inputs = values(other)
    assert_equal(other, deployment.run(inputs), inputs)
    assert blobs.weights.nbytes == sum(array.nbytes for array in other.weights.values())


def test_who_computes_alone_is_not_timed(cluster, monkeypatch):
    looks = []
    monkeypatch.setattr(time, "thread_time", lambda: looks.append(1) or 0.0)
    assert_well(cluster)
    assert not looks


def test_stop_by_a_question(threads, eventually):
    cluster = threads("a")
    coordinator = cluster.coordinator()
    coordinator.fabric.ask("a", "stop").result()
    eventually(lambda: coordinator.workers() == ())


def test_hello_tells_what_others_use_of_the_cpu(cluster):
    said = cluster.coordinator().hello("a")
    assert 0 <= said["load"] <= 1
    assert said["cpus"] > 0


def test_hello_tells_what_memory_a_plan_could_have(threads):
    """What is kept though nobody uses it counts, what a plan uses does not."""
    cluster = threads("a", "b", memory=64 << 20)
    coordinator = cluster.coordinator()
    worker = cluster.workers["a"]

    def beyond_free(free=10 << 20):
        worker._free_memory = lambda: free
        return coordinator.hello("a")["free_memory_bytes"] - free

    assert beyond_free() == 0
    coordinator.install(PROGRAMS, GRAPH)
    assert beyond_free() == 0
    coordinator.drop(PROGRAMS)
    assert beyond_free() == worker._blobs.weights.nbytes > 0
    del worker._free_memory
    assert 0 < coordinator.hello("a")["free_memory_bytes"] <= 64 << 20
