"""Serving on virtual time: against queueing theory, by hand, and what is never lost."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from swath.simulate import Request, simulate
from swath.workload.allocators import Setting, known_allocators, make_allocator
from swath.workload.arrivals import offer
from swath.workload.metrics import figures, utilisation
from swath.workload.serving import Moment, Refuse, serve
from swath.workload.workload import Bursty
from tests.simulate.worlds import Fixed, cluster, script
from tests.workload.grounds import AtOnce, alone, at, ground, service, way


def make(name, workload, menus, **details):
    return make_allocator(name, Setting(workload, menus, [1e9] * len(menus[0].ways[0].busy),
                                        **details))  # fmt: skip


@pytest.mark.parametrize("load", [0.3, 0.7])
def test_one_after_the_other_is_an_m_d_1_queue(load):
    """Whose mean is s (1 + load / (2 (1 - load))) by Pollaczek and Khinchin."""
    workload, menus = ground((service(rate=load / 0.1), [alone(0.1)]))
    offered = offer(workload, 20_000.0)
    served = serve(workload, menus, offered, make("greedy", workload, menus))
    assert served.served.all()
    expected = 0.1 * (1 + load / (2 * (1 - load)))
    assert served.latencies.mean() == pytest.approx(expected, rel=0.02)
    assert utilisation(served, [1e9]).busy[0] == pytest.approx(load, rel=0.02)


@pytest.mark.parametrize("load", [0.3, 0.7])
def test_all_at_once_share_the_processor(load):
    """M/G/1 with processor sharing: s / (1 - load), whatever the sizes; here two."""
    workload, menus = ground(
        (service("short", load / 2 / 0.1), [alone(0.1)]),
        (service("long", load / 2 / 0.4), [alone(0.4)]),
    )
    served = serve(workload, menus, offer(workload, 20_000.0), AtOnce())
    for place, seconds in enumerate((0.1, 0.4)):
        mean = served.latencies[served.services == place].mean()
        assert mean == pytest.approx(seconds / (1 - load), rel=0.05)


def test_two_on_one_device_take_twice_as_long_and_by_weight():
    workload, menus = ground((service("a"), [alone(1.0)]), (service("b"), [alone(1.0)]))
    both = at(0.0, 0.0, services=[0, 1])
    assert serve(workload, menus, both, AtOnce()).latencies == pytest.approx([2.0, 2.0])
    # The first has three quarters until it is over at 4/3; a third of the second is done by then.
    weighted = serve(workload, menus, both, AtOnce(3.0, 1.0)).latencies
    assert weighted == pytest.approx([4 / 3, 2.0])


@pytest.mark.parametrize("allocator", [info.name for info in known_allocators()])
def test_slow_devices_take_longer_whoever_allocates(allocator):
    workload, menus = ground((service("a"), [alone(1.0)]), (service("b"), [alone(2.0)]))
    offered = at(0.0, 20.0, 20.0, services=[0, 0, 1])

    def served(slowdown):
        return serve(workload, menus, offered, make(allocator, workload, menus), slowdown)

    usual, slow = served(1.0), served(3.0)
    assert usual.served.all()
    assert slow.latencies == pytest.approx(3 * usual.latencies)
    assert slow.busy == pytest.approx(3 * usual.busy)


def test_who_waits_for_messages_leaves_the_device_to_others():
    """Busy for half of its time, beside one that always is: the computing half takes twice as long,
    and the other one is held up by half of its time."""
    workload, menus = ground((service("a"), [way(1.0, 0.5)]), (service("b"), [alone(9.0)]))
    served = serve(workload, menus, at(0.0, 0.0, services=[0, 1]), AtOnce())
    assert served.latencies[0] == pytest.approx(1.5)
    assert served.latencies[1] == pytest.approx(1.5 + 9.0 - 1.5 / 1.5)


def test_weights_count_only_while_both_compute():
    """One is busy for half of its time and has three times the weight: its tile of x seconds takes
    4/3 x, and x more of waiting follow; the other one computes for 4/3 x of these 7/3 x."""
    workload, menus = ground((service("a"), [way(1.0, 0.5)]), (service("b"), [alone(99.0)]))
    served = serve(workload, menus, at(0.0, 0.0, services=[0, 1]), AtOnce(3.0, 1.0))
    assert served.latencies[0] == pytest.approx(7 / 6)
    assert served.latencies[1] == pytest.approx(7 / 6 + 99 - 7 / 6 * 4 / 7)


def test_all_devices_of_a_way_wait_for_the_last():
    split = way(1.0, 1.0, 1.0)
    workload, menus = ground((service("a"), [split]), (service("b"), [alone(5.0, 1, 2)]))
    served = serve(workload, menus, at(0.0, 0.0, services=[0, 1]), AtOnce())
    assert served.latencies[0] == pytest.approx(2.0)


def test_who_waits_too_long_gives_up_and_counts_with_that():
    workload, menus = ground(
        (service("a", deadline=1.5), [alone(1.0)]), (service("b"), [alone(1.0)]), longest_wait=2.5
    )
    offered = at(0.0, 0.0, 0.0, 0.0, services=[0, 0, 0, 1])
    served = serve(workload, menus, offered, make("greedy", workload, menus))
    assert served.latencies == pytest.approx([1.0, 2.0, 1.5, 3.0])
    assert served.served.tolist() == [True, True, False, True]
    assert served.late.tolist() == [False, True, True, False], "begun in time, and yet too late"


def test_many_split_requests_take_what_their_devices_need():
    """Two, busy for 3/4 of a second each, fill each other's pauses in part; four of them need three
    seconds of the device."""
    workload, menus = ground((service(), [way(1.0, 0.75, 0.75)]))
    served = serve(workload, menus, at(0.0, 0.0), AtOnce())
    assert served.latencies == pytest.approx([1 + 0.75 * 0.75] * 2)
    served = serve(workload, menus, at(*[0.0] * 4), AtOnce())
    assert served.latencies == pytest.approx([3.0] * 4)


def test_a_full_line_takes_nobody_in():
    workload, menus = ground((service(), [alone(1.0)]), most_waiting=2, longest_wait=50.0)
    offered = at(0.0, 0.1, 0.2, 0.3)
    served = serve(workload, menus, offered, make("greedy", workload, menus))
    assert served.served.tolist() == [True, True, True, False]
    assert served.latencies[3] == 50.0


def test_an_allocator_may_refuse_or_let_wait_for_ever():
    class Nobody:
        def decide(self, moment: Moment) -> Refuse | None:
            return Refuse(0) if moment.waiting[0] else None

    class Idle:
        def decide(self, moment: Moment) -> None:
            return None

    workload, menus = ground((service(deadline=0.3), [alone(1.0)]))
    for allocator in (Nobody(), Idle()):
        served = serve(workload, menus, at(0.0, 1.0), allocator)
        assert not served.served.any()
        assert served.latencies == pytest.approx([0.3, 0.3])


def test_use_counts_what_was_over_in_time_and_flops_once():
    """Two devices compute a tenth each of the time, and one FLOP in two twice."""
    twice = way(1.0, 1.0, 1.0)
    workload, menus = ground((service(), [twice]))
    served = serve(workload, menus, at(0.0, 9.5, seconds=10.0), AtOnce())
    found = utilisation(served, [2e9, 2e9])
    assert found.useful == pytest.approx((0.05, 0.05))
    assert found.busy == pytest.approx((0.1, 0.1))
    assert found.total == pytest.approx(0.05)
    assert figures(served).throughput == pytest.approx(0.2)


@settings(max_examples=40)
@example(name="equal", rates=[10.0, 10.0, 12.0, 10.0], seed=0, bursty=False)
@given(
    name=st.sampled_from([info.name for info in known_allocators()]),
    rates=st.lists(st.floats(0, 20), min_size=1, max_size=4),
    seed=st.integers(0, 1000),
    bursty=st.booleans(),
)
def test_every_request_comes_to_an_end(name, rates, seed, bursty):
    """None is lost, none is over sooner than its soonest way, no device does more than it can."""
    ways = [alone(0.05, 0, 3), alone(0.1, 1, 3), alone(0.2, 2, 3), way(0.04, 0.03, 0.03, 0.01)]
    kind = {"arrivals": Bursty(1.0, 2.0)} if bursty else {}
    workload, menus = ground(
        *(
            (service(f"s{place}", rate, deadline=0.5 if place % 2 else None, **kind), sorted(
                ways, key=lambda way: way.seconds))
            for place, rate in enumerate(rates)
        ),
        longest_wait=1.0,
    )  # fmt: skip
    offered = offer(workload, 20.0, seed)
    served = serve(workload, menus, offered, make(name, workload, menus, seed=seed))
    assert len(served.latencies) == len(offered.times)
    assert (served.latencies[served.served] >= 0.04 - 1e-9).all()
    assert (served.latencies[~served.served] > 0).all()
    # What was begun before the end and is over within counts, so at most what fits.
    assert (served.busy <= served.seconds * 1.05 + 1.0).all()


@pytest.mark.parametrize("name", [info.name for info in known_allocators()])
def test_overload_stays_stable(name):
    """Ten times what can be done: devices are busy, lines are bounded, and most give up."""
    workload, menus = ground(
        (service("a", 100.0, deadline=0.5), [alone(0.1, 0, 2), alone(0.1, 1, 2)]),
        (service("b", 100.0), [alone(0.1, 0, 2), alone(0.1, 1, 2)]),
        longest_wait=1.0,
        most_waiting=50,
    )
    served = serve(workload, menus, offer(workload, 30.0), make(name, workload, menus))
    assert 0.05 < served.served.mean() < 0.15
    assert served.latencies.max() < 2.0
    assert not np.isnan(served.latencies).any()


@pytest.mark.parametrize("weights", [(1.0, 1.0), (3.0, 1.0), (1.0, 10.0)])
def test_formulas_agree_with_tiles_that_take_turns(weights):
    """Requests of many small tiles on one device, come by chance: whether looked at as ways or tile
    by tile, they take about as long."""
    workload, menus = ground((service("a", 0.3), [alone(1.0)]), (service("b", 0.3), [alone(2.0)]))
    offered = offer(workload, 300.0)
    by_formula = serve(workload, menus, offered, AtOnce(*weights)).latencies
    scripts = [
        script({"a": [(seconds / 50, -1)] * 50 + [(0.0, 1)]}, [("@", "a", 0, 0), ("a", "@", 0, 0)])
        for seconds in (1.0, 2.0)
    ]
    # Each is a flow of its own, as the formulas take requests of one service to share, too.
    requests = [
        Request(scripts[place], at, flow=number, weight=weights[place])
        for number, (at, place) in enumerate(
            zip(offered.times.tolist(), offered.services.tolist(), strict=True)
        )
    ]
    by_tiles = np.array(simulate(requests, Fixed(cluster())).latencies)
    assert by_tiles == pytest.approx(by_formula, rel=0.1, abs=0.15)
    assert by_tiles.mean() == pytest.approx(by_formula.mean(), rel=0.03)
