"""Worker processes on this machine: killed, frozen, orphaned, refused; nothing is left running."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import psutil
import pytest

import swath
from swath.cluster.file import parse_cluster
from swath.errors import FabricError, PlanError, WorkerError
from swath.runtime.clusters import LocalCluster, connect
from swath.runtime.local import free_port
from swath.runtime.serve import main
from tests.plan.plans import chain_graph, layer_plan
from tests.runtime.models import assert_equal, values

MAX_IDLE_BYTES = 150 << 20
MAX_IDLE_THREADS = 7

GRAPH = chain_graph()
SLOW = chain_graph(layers=40, channels=16, rows=200)
"""Takes workers long enough to be interrupted."""


def names(cluster):
    return sorted(cluster.pids)


def halves(graph, devices, rows):
    """A plan with half of the rows on each of two devices."""
    layers = range(len(graph.nodes) // 2)
    first, second = devices
    return layer_plan(
        graph,
        [t for i in layers for t in ((first, i, 0, rows // 2), (second, i, rows // 2, rows))],
    )


@pytest.fixture(scope="module")
def shared():
    """Two worker processes for the tests that leave them as they were."""
    with LocalCluster(2) as cluster:
        # Connections are made with the first plan, and stay.
        cluster.deploy(GRAPH, halves(GRAPH, names(cluster), 12)).run(values(GRAPH))
        yield cluster


def is_gone(pid):
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


# Well


def test_results_are_those_of_the_unsplit_model(shared):
    report = shared.run(GRAPH, plan=halves(GRAPH, names(shared), 12), repeat=2)
    assert report.bit_exact
    assert report.max_abs_diff == 0.0
    assert report.speedup == report.single.median / report.latency.median
    assert report.bytes_moved > 0


def test_an_idle_worker_is_small(shared):
    for name, pid in shared.pids.items():
        process = psutil.Process(pid)
        resident = process.memory_info().rss
        print(f"{name}: {resident >> 20} MiB resident, {process.num_threads()} threads")
        assert resident <= MAX_IDLE_BYTES
        assert process.num_threads() <= MAX_IDLE_THREADS


def test_a_worker_loads_no_more_than_it_needs():
    code = "import sys, swath.runtime.serve; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert not loaded & {"onnx", "matplotlib", "pydantic", "sklearn", "scipy", "rich", "torch"}


def test_requests_of_several_threads(shared):
    deployment = shared.deploy(GRAPH, halves(GRAPH, names(shared), 12))
    wrong = []

    def work(seed):
        for _ in range(10):
            made = deployment.run(values(GRAPH, seed))
            try:
                assert_equal(GRAPH, made, values(GRAPH, seed))
            except AssertionError as error:
                wrong.append(error)

    callers = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in callers:
        thread.start()
    for thread in callers:
        thread.join(60.0)
    assert wrong == []


def test_a_plan_for_devices_that_are_not_there(shared):
    with pytest.raises(PlanError, match="'x', which this cluster lacks"):
        shared.deploy(GRAPH, halves(GRAPH, ("x", "y"), 12))


def test_ctrl_c_is_not_for_the_workers(shared):
    for pid in shared.pids.values():
        assert os.getpgid(pid) != os.getpgid(0)


# Killed, frozen, orphaned


def begin_slowly(cluster):
    """A request in a thread of its own that takes a while; what it ended with."""
    deployment = cluster.deploy(SLOW, halves(SLOW, names(cluster), 200))
    inputs = values(SLOW)
    deployment.run(inputs)
    outcome = {}

    def work():
        try:
            while True:
                deployment.run(inputs, timeout=30.0)
        except swath.SwathError as error:
            outcome["error"] = error
            outcome["time"] = time.monotonic()

    thread = threading.Thread(target=work)
    thread.start()
    return thread, outcome


def test_a_worker_that_is_killed_while_computing_is_named_at_once():
    with LocalCluster(2) as cluster:
        thread, outcome = begin_slowly(cluster)
        victim = names(cluster)[1]
        time.sleep(0.2)
        killed = time.monotonic()
        os.kill(cluster.pids[victim], signal.SIGKILL)
        thread.join(20.0)
        assert isinstance(outcome["error"], WorkerError | FabricError)
        assert repr(victim) in str(outcome["error"])
        assert outcome["time"] - killed < 5.0
        pids = cluster.pids
    cluster.close()
    assert all(is_gone(pid) for pid in pids.values())


def test_a_frozen_worker_is_a_timeout_and_is_stopped(monkeypatch):
    monkeypatch.setattr("swath.runtime.local.STOP_TIMEOUT", 0.5)
    with LocalCluster(2) as cluster:
        plan = halves(GRAPH, names(cluster), 12)
        cluster.deploy(GRAPH, plan)
        frozen = cluster.pids[names(cluster)[0]]
        os.kill(frozen, signal.SIGSTOP)
        with pytest.raises(FabricError, match="no answer within"):
            cluster.deploy(GRAPH, plan).run(values(GRAPH), timeout=0.5)
        start = time.monotonic()
    assert time.monotonic() - start < 10.0
    assert is_gone(frozen)


def test_a_worker_that_was_frozen_for_a_moment_goes_on():
    with LocalCluster(2) as cluster:
        plan = halves(GRAPH, names(cluster), 12)
        deployment = cluster.deploy(GRAPH, plan)
        pid = cluster.pids[names(cluster)[0]]
        os.kill(pid, signal.SIGSTOP)
        timer = threading.Timer(0.3, os.kill, (pid, signal.SIGCONT))
        timer.start()
        assert_equal(GRAPH, deployment.run(values(GRAPH)), values(GRAPH))
        timer.join()


ORPHANS = """
import sys, time
from swath.runtime.clusters import LocalCluster
cluster = LocalCluster(2)
print(*cluster.pids.values(), flush=True)
time.sleep(60)
"""


def test_workers_stop_with_the_process_that_made_them(eventually):
    parent = subprocess.Popen([sys.executable, "-c", ORPHANS], stdout=subprocess.PIPE, text=True)
    with parent:
        pids = [int(pid) for pid in parent.stdout.readline().split()]
        assert len(pids) == 2
        parent.kill()
    eventually(lambda: all(is_gone(pid) for pid in pids), timeout=10.0)


def test_a_cluster_that_is_closed_takes_no_more():
    cluster = LocalCluster(1)
    pids = cluster.pids
    deployment = cluster.deploy(
        GRAPH, layer_plan(GRAPH, [(n, i, 0, 12) for i in range(3) for n in pids])
    )
    cluster.close()
    cluster.close()
    assert all(is_gone(pid) for pid in pids.values())
    with pytest.raises(swath.SwathError):
        deployment.run(values(GRAPH))


@pytest.mark.parametrize(
    ("executable", "reason"),
    [("/bin/false", "ended with status 1 while it started"), ("/no/such", "cannot be started")],
)
def test_workers_that_cannot_start_are_reported_quickly(monkeypatch, executable, reason):
    monkeypatch.setattr(sys, "executable", executable)
    start = time.monotonic()
    with pytest.raises(FabricError, match=reason):
        LocalCluster(2)
    assert time.monotonic() - start < 10.0


# Elsewhere


class Served:
    """A worker as somebody starts it on a machine of his own."""

    def __init__(self, name, *arguments):
        self.endpoint = f"tcp/127.0.0.1:{free_port()}"
        command = [sys.executable, "-m", "swath.runtime.serve", "--name", name]
        command += ["--listen", self.endpoint, *arguments]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.ready = self.process.stdout.readline().split()

    def stop(self, number=signal.SIGTERM):
        """Its exit status and what it said."""
        self.process.send_signal(number)
        _, said = self.process.communicate(timeout=10.0)
        return self.process.returncode, said


@pytest.fixture
def served():
    made = []

    def start(*arguments):
        made.append(Served(*arguments))
        return made[-1]

    yield start
    for worker in made:
        if worker.process.poll() is None:
            worker.process.kill()
        worker.process.communicate()


def described(*workers):
    devices = [{"name": name, "gflops": 5, "address": worker.endpoint} for name, worker in workers]
    return parse_cluster({"source": devices[0]["name"], "devices": devices})


def test_connect_to_workers_by_a_cluster_description(served):
    left, right = served("left"), served("right")
    assert (left.ready, right.ready) == (["ready", "left"], ["ready", "right"])
    for _ in range(2):  # Workers serve one coordinator after the other.
        with connect(described(("left", left), ("right", right))) as cluster:
            report = cluster.run(GRAPH, plan=halves(GRAPH, ("left", "right"), 12))
            assert report.bit_exact
    assert left.stop() == (0, "")
    assert right.stop(signal.SIGINT) == (0, "")


def test_connect_to_whoever_is_there(served):
    worker = served("alone")
    with connect(endpoints=(worker.endpoint,)) as cluster:
        assert [device.name for device in cluster.cluster.workers] == ["alone"]
        assert cluster.costs().speed("alone") > 1e8
        assert cluster.run(GRAPH).max_abs_diff < 1e-5


def test_connecting_in_vain_says_what_was_tried():
    endpoint = f"tcp/127.0.0.1:{free_port()}"
    with pytest.raises(FabricError, match=f"no worker found within 0.2 s; tried {endpoint}"):
        connect(endpoints=(endpoint,), timeout=0.2)
    with pytest.raises(FabricError, match="nowhere to connect to"):
        connect()


def test_a_worker_that_the_description_names_is_missed(served):
    worker = served("left")
    description = described(("left", worker), ("right", worker))
    with pytest.raises(FabricError, match="worker 'right' has not come within 0 s"):
        connect(description, timeout=0.2)


def test_a_worker_whose_name_is_taken_ends_with_one_line(served):
    first = served("left")
    second = served("left", "--connect", first.endpoint)
    _, said = second.process.communicate(timeout=10.0)
    assert second.process.returncode == 2
    assert said == ("swath: the name 'left' is taken in this cluster; choose another with --name\n")
    assert first.process.poll() is None


def test_a_name_that_is_taken_two_hops_away_ends_the_younger_with_one_line(served):
    middle = served("middle")
    first = served("left", "--connect", middle.endpoint)
    second = served("left", "--connect", middle.endpoint)
    _, said = second.process.communicate(timeout=10.0)
    assert (second.process.returncode, said.count("\n")) == (2, 1)
    assert "the name 'left' is taken" in said
    assert first.process.poll() is None
    with connect(endpoints=(middle.endpoint, first.endpoint)) as cluster:
        cluster.coordinator.wait_for(("left", "middle"), 5.0)
        assert cluster.coordinator.hello("left")["pid"] == first.process.pid


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--listen", "10.0.0.9:7447"], "is not understood"),
        (["--name", "a/b"], "the name 'a/b' cannot be used"),
        (["--cluster-name", "*"], "the cluster name"),
        (["--listen", "tcp/203.0.113.1:7447"], "203.0.113.1"),
        (["--listen", "tcp/127.0.0.1:65535"], "65536"),
    ],
)
def test_a_worker_that_cannot_join_says_so_in_one_line(capsys, arguments, reason):
    assert main(arguments) == 2
    out, said = capsys.readouterr()
    assert out == ""
    assert reason in said
    assert said.splitlines()[-1].startswith("swath: ")


def test_nan_travels_as_it_is(shared):
    deployment = shared.deploy(GRAPH, halves(GRAPH, names(shared), 12))
    inputs = values(GRAPH)
    inputs["x0"][0, 0, 6, 4] = np.nan
    assert_equal(GRAPH, deployment.run(inputs), inputs)
