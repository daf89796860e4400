"""Several services at once on real workers: all are answered, exactly, as the allocator says."""

from __future__ import annotations

import os
import signal

import numpy as np
import pytest

import swath
from swath.errors import FabricError, WorkerError
from swath.workload.allocators import Setting, known_allocators, make_allocator
from swath.workload.arrivals import Offered
from swath.workload.live import LiveServices, menus_in_use
from swath.workload.serving import Moment, Refuse
from swath.workload.ways import menus
from swath.workload.workload import Service, Workload

SERVICES = (
    Service("doors", "zoo:squeezenet@64x64", 10.0),
    Service("cars", "zoo:mobilenet_v2@64x64", 5.0, deadline=20.0),
)
WORKLOAD = Workload(SERVICES, longest_wait=20.0)
SPEEDS = (1e9, 1e9)


@pytest.fixture(scope="module")
def graphs():
    return {service.model: swath.load(service.model) for service in SERVICES}


@pytest.fixture(scope="module")
def session():
    with swath.LocalCluster(["a", "b"]) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def ground(session, graphs):
    return menus(WORKLOAD, graphs.__getitem__, session.costs(), "even")


@pytest.fixture(scope="module")
def live(session, ground, graphs):
    made = LiveServices(session, WORKLOAD, ground, graphs)
    made.check()  # The first requests open connections, which stay as long as the session.
    return made


def setting(ground, workload=WORKLOAD):
    return Setting(workload, ground, SPEEDS)


def offered(*services, apart=0.01):
    return Offered(apart * np.arange(len(services)), np.array(services, dtype=int), 1.0)


def test_every_way_computes_what_the_unsplit_model_does(live, ground):
    checks = live.check()
    assert len(checks) == sum(len(menu.ways) for menu in ground)
    assert {check.service for check in checks} == {"doors", "cars"}
    assert all(check.is_close for check in checks)


@pytest.mark.parametrize("name", [info.name for info in known_allocators()])
def test_all_are_served(live, ground, name):
    told = []
    services = [0, 1, 0, 0, 1, 0]
    served = live.serve(
        offered(*services), setting(ground), name, lambda *progress: told.append(progress)
    )
    assert served.served.all() and not served.late.any()
    assert served.services.tolist() == services
    assert (served.latencies > 0).all()
    assert (served.latencies < 20).all()
    assert served.useful.sum() > 0
    assert told[-1] == ("serving", 6, 6)


def test_nobody_comes(live, ground):
    served = live.serve(offered(), setting(ground), "equal")
    assert served.latencies.size == 0


def test_what_waits_too_long_is_given_up(live, session, ground, graphs):
    """One in line at a time: the rest is refused, and counts with what it would have waited."""
    hasty = Workload(SERVICES, longest_wait=0.5, most_waiting=1)
    served = LiveServices(session, hasty, ground, graphs).serve(
        offered(*[0] * 40, apart=0.0), setting(ground, hasty), "greedy"
    )
    assert 1 <= served.served.sum() <= 3
    assert served.latencies[~served.served].tolist() == [0.5] * int((~served.served).sum())
    assert served.late[~served.served].all()


def test_only_ways_that_are_taken_are_installed(ground):
    soonest = menus_in_use(
        WORKLOAD, ground, offered(0, 1, 0), make_allocator("equal", setting(ground))
    )
    assert [menu.ways for menu in soonest] == [menu.ways[:1] for menu in ground]
    assert [menu.service for menu in soonest] == list(SERVICES)
    # Who has no request could still have one.
    unasked = menus_in_use(WORKLOAD, ground, offered(0), make_allocator("random", setting(ground)))
    assert unasked[1].ways == ground[1].ways[:1]


class Nobody:
    """Lets everybody wait."""

    def decide(self, moment: Moment) -> Refuse | None:
        return None


def test_who_is_never_begun_gives_up(live, session, ground, graphs, monkeypatch):
    hasty = Workload(SERVICES[:1], longest_wait=0.2)
    hasty_ones = LiveServices(session, hasty, ground[:1], graphs)
    monkeypatch.setattr("swath.workload.live.make_allocator", lambda *_: Nobody())
    served = hasty_ones.serve(offered(0, 0), setting(ground[:1], hasty), "nobody")
    assert served.latencies.tolist() == [0.2, 0.2]
    assert not served.served.any()


def test_a_worker_that_dies_ends_it_in_one_line(ground, graphs):
    with swath.LocalCluster(["a", "b"]) as cluster:
        live = LiveServices(cluster, WORKLOAD, ground, graphs)

        def kill(what: str, done: int, total: int) -> None:
            if done == 3:
                os.kill(cluster.pids["b"], signal.SIGKILL)

        # Which of these depends on who hears of it first.
        gone = r"worker 'b' has gone|a worker of the plan has gone|'b' cannot be sent to"
        with pytest.raises((WorkerError, FabricError), match=gone):
            live.serve(offered(*[0, 1] * 20, apart=0.05), setting(ground), "random", kill)
        assert not cluster.coordinator._requests
