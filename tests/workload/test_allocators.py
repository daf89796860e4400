"""Who goes first, and where."""

from __future__ import annotations

import numpy as np
import pytest

from swath.errors import WorkloadError
from swath.workload.allocators import Setting, known_allocators, make_allocator
from swath.workload.allocators.static import optimal_shares
from swath.workload.serving import serve
from tests.workload.grounds import alone, at, ground, service, way

ORDERS = {
    # By name: in which order these three are over on one device, all there at 0: a long one, a
    # short one with a late deadline, one in between with an early one.
    "greedy": [0, 1, 2],
    "shortest-work-first": [1, 2, 0],
    "earliest-deadline": [2, 1, 0],
}


@pytest.mark.parametrize(("name", "order"), ORDERS.items())
def test_orders(name, order):
    workload, menus = ground(
        (service("long"), [alone(0.3)]),
        (service("short", deadline=8.0), [alone(0.1)]),
        (service("middle", deadline=5.0), [alone(0.2)]),
    )
    offered = at(0.0, 1e-6, 2e-6, 3e-6, services=[0, 0, 1, 2])
    allocator = make_allocator(name, Setting(workload, menus, [1e9]))
    served = serve(workload, menus, offered, allocator)
    # The first is under way when the others come.
    ends = served.latencies[1:] + offered.times[1:]
    assert [offered.services[1:][place] for place in np.argsort(ends)] == order


def test_equal_gives_everybody_the_same_and_proportional_does_not():
    workload, menus = ground(
        (service("few", rate=1.0), [alone(1.0)]), (service("many", rate=3.0), [alone(1.0)])
    )
    offered = at(0.0, 0.0, services=[0, 1])
    equal, proportional = (
        serve(
            workload, menus, offered, make_allocator(name, Setting(workload, menus, [1e9]))
        ).latencies
        for name in ("equal", "proportional")
    )
    assert equal == pytest.approx([2.0, 2.0])
    assert proportional == pytest.approx([2.0, 4 / 3])


def test_idle_devices_are_taken_before_anybody_waits():
    """The second request takes the slower device, for the faster one is occupied."""
    workload, menus = ground((service(), [alone(0.1, 0, 2), alone(0.3, 1, 2)]))
    for name in ("round-robin", "shortest-work-first", "earliest-deadline"):
        allocator = make_allocator(name, Setting(workload, menus, [1e9, 1e9]))
        served = serve(workload, menus, at(0.0, 0.0), allocator)
        assert sorted(served.latencies) == pytest.approx([0.1, 0.3])


def test_round_robin_gives_services_their_turns():
    workload, menus = ground((service("a"), [alone(1.0)]), (service("b"), [alone(1.0)]))
    offered = at(0.0, 0.0, 0.0, 0.1, services=[0, 0, 0, 1])
    allocator = make_allocator("round-robin", Setting(workload, menus, [1e9]))
    served = serve(workload, menus, offered, allocator)
    assert served.latencies == pytest.approx([1.0, 3.0, 4.0, 1.9])


def test_random_draws_by_its_seed():
    workload, menus = ground((service(), [alone(0.1, 0, 2), alone(0.1, 1, 2)]))
    offered = at(*np.arange(0.0, 20.0, 1.0))
    busy = [
        serve(
            workload, menus, offered,
            make_allocator("random", Setting(workload, menus, [1e9] * 2, seed=seed)),
        ).busy.tolist()
        for seed in (0, 0, 1, 2)
    ]  # fmt: skip
    assert busy[0] == busy[1]
    assert len({tuple(each) for each in busy}) > 1


def test_static_shares_are_the_best_of_a_grid():
    """Two devices, one twice as fast, and a way over both: no other shares hold fewer requests."""
    workload, menus = ground(
        (service(rate=8.0), [way(0.08, 0.075, 0.075), alone(0.1, 0, 2), alone(0.2, 1, 2)])
    )
    setting = Setting(workload, menus, [1e9, 1e9])
    (found,) = optimal_shares(setting)

    def crowd(shares):
        both, fast, slow = shares
        loads = 8.0 * np.array([0.075 * both + 0.1 * fast, 0.075 * both + 0.2 * slow])
        return np.inf if loads.max() >= 1 else float((loads / (1 - loads)).sum())

    grid = np.linspace(0, 1, 101)
    best = min(crowd((a, b, 1 - a - b)) for a in grid for b in grid if a + b <= 1)
    assert found.sum() == pytest.approx(1.0)
    assert crowd(found) <= best * 1.01


def test_static_shares_of_what_cannot_be_served_are_those_that_serve_the_most():
    workload, menus = ground((service(rate=100.0), [alone(0.1, 0, 2), alone(0.3, 1, 2)]))
    (found,) = optimal_shares(Setting(workload, menus, [1e9, 1e9]))
    assert found == pytest.approx([0.75, 0.25], abs=0.01)


def test_an_unknown_name_is_refused_with_a_hint():
    workload, menus = ground((service(), [alone(0.1)]))
    with pytest.raises(WorkloadError, match="did you mean 'greedy'"):
        make_allocator("gredy", Setting(workload, menus, [1e9]))
    assert len({info.name for info in known_allocators()}) == len(known_allocators())
