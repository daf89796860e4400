"""The flow shop behind offloading: orders of jobs, and messages that share links."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swath.planners.methods.offload.flow_shop import johnson, makespan, minimising_waiting
from swath.planners.methods.offload.timing.links import Lines, leaving


def table(jobs: int, machines: int) -> st.SearchStrategy[np.ndarray]:
    row = st.lists(st.integers(0, 20), min_size=jobs, max_size=jobs)
    rows = st.lists(row, min_size=machines, max_size=machines)
    return rows.map(lambda values: np.array(values, dtype=float))


def span(stages: np.ndarray, order: np.ndarray | slice = slice(None)) -> float:
    """The makespan of jobs that all begin here. Stages that are lacking take nothing."""
    three = np.concatenate([stages, np.zeros((3 - len(stages), stages.shape[1]))])[:, order]
    return float(makespan(*three[:, None], np.zeros((1, three.shape[1]), dtype=bool))[0])


def soonest_of_all(stages: np.ndarray) -> float:
    return min(span(stages, np.array(order)) for order in permutations(range(stages.shape[1])))


def least_waiting(stages: np.ndarray, jobs: int | None = None) -> np.ndarray:
    """The order of jobs that all begin here."""
    is_shown = np.zeros((1, stages.shape[1]), dtype=bool)
    count = np.array([stages.shape[1] if jobs is None else jobs])
    return minimising_waiting(*stages[:, None], is_shown, count)[0]


@given(st.integers(1, 5).flatmap(lambda jobs: table(jobs, 3)))
def test_the_makespan_is_the_longest_way_through_the_schedule(stages):
    """Every way from the first job on the first machine to the last on the last counts."""
    jobs = stages.shape[1]
    ways = [
        stages[0, : a + 1].sum() + stages[1, a : b + 1].sum() + stages[2, b:].sum()
        for a, b in product(range(jobs), repeat=2)
        if a <= b
    ]
    assert span(stages) == max(ways)


@given(st.integers(1, 5).flatmap(lambda jobs: table(jobs, 2)))
def test_johnsons_rule_is_the_best_order_for_two_machines(stages):
    order = johnson(*stages[:, None])[0]
    assert span(stages, order) == soonest_of_all(stages)


@given(st.integers(1, 5).flatmap(lambda jobs: table(jobs, 2)), st.booleans())
def test_minimising_waiting_is_johnsons_rule_where_one_stage_is_nothing(stages, is_first):
    idle = np.zeros_like(stages[:1])
    three = np.concatenate([idle, stages] if is_first else [stages, idle])
    assert span(three, least_waiting(three)) == soonest_of_all(three)


@given(st.integers(1, 6).flatmap(lambda jobs: table(jobs, 3)), st.integers(1, 6))
def test_minimising_waiting_orders_what_is_there(stages, jobs):
    count = min(jobs, stages.shape[1])
    order = least_waiting(stages, count)
    assert sorted(order[:count]) == list(range(count))
    assert sorted(order) == list(range(stages.shape[1]))
    some = stages[:, :count]
    by_rule = johnson(some[None, 0] + some[None, 1], some[None, 1] + some[None, 2])[0]
    assert span(some, order[:count]) <= span(some, by_rule)


@pytest.mark.parametrize(
    ("local", "uplink", "is_shown", "ends"),
    [
        ([0, 0], [3, 4], [True, True], 7),  # In one message: both are there when it is.
        ([0, 9], [4, 2], [True, False], 11),  # It is there long before the other is sent.
        ([0, 2], [6, 4], [True, False], 10),  # From the second second on each has half the link:
        ([0, 2], [6, 3], [True, False], 9),  # at 8 the other is there, at 9 what was shown.
    ],
)
def test_what_is_shown_shares_the_link(local, uplink, is_shown, ends):
    jobs = (np.array([values], dtype=float) for values in (local, uplink, [0, 0]))
    assert makespan(*jobs, np.array([is_shown]))[0] == ends


def test_what_is_shown_takes_its_turn_when_it_has_come():
    """A server that waits for a large picture serves another path meanwhile."""
    local, uplink, server = (np.array([row], dtype=float) for row in ([0, 2], [9, 1], [1, 3]))
    order = minimising_waiting(local, uplink, server, np.array([[True, False]]), np.array([2]))
    assert order.tolist() == [[1, 0]]


def test_many_schedules_at_once_are_each_their_own():
    rng = np.random.default_rng(1)
    stages = [rng.random((50, 6)) for _ in range(3)]
    is_shown = rng.random((50, 6)) < 0.3
    together = makespan(*stages, is_shown)
    for row in range(50):
        rows = slice(row, row + 1)
        assert together[row] == makespan(*(seconds[rows] for seconds in stages), is_shown[rows])[0]


# Links


def lines(rates: list[float], port: float, is_radio: bool = False) -> Lines:
    return Lines(np.array([rates]), np.arange(len(rates)), np.array([port]), is_radio)


@pytest.mark.parametrize(
    ("of", "nbytes", "ends"),
    [
        (lines([10, 10], 10), [75, 125], [15, 20]),  # Half of the port each, then all of it.
        (lines([10, 10], np.inf), [100, 100], [10, 10]),
        (lines([2, 10], 10), [80, 100], [40, 12.5]),  # What one cannot use is the other's.
        (lines([10, 5], np.inf, is_radio=True), [100, 100], [20, 30]),  # Half of the time each.
    ],
)
def test_two_connections_share(of, nbytes, ends):
    at_once = np.zeros((1, 2))
    found = leaving(at_once, np.array([nbytes]), at_once, np.array([[0, 1]]), of)
    assert found[0] == pytest.approx(ends)


def test_messages_of_one_connection_leave_one_after_the_other():
    ready, nbytes = np.array([[0.0, 1.0, 9.0]]), np.array([[30.0, 20.0, 10.0]])
    found = leaving(ready, nbytes, 0 * ready, np.zeros((1, 3), dtype=int), lines([10], 10))
    assert found[0] == pytest.approx([3, 5, 10])


@pytest.mark.parametrize(
    ("writing", "ends"),
    [
        ([1, 0, 0], [7, 12, 13]),  # What was written meanwhile has left meanwhile.
        ([5, 0, 0], [4, 12, 13]),  # Never sooner than it is written.
        ([1, 9, 0], [7, 10, 13]),  # Nor while another one is under way.
    ],
)
def test_messages_leave_while_they_are_written(writing, ends):
    ready, nbytes = np.array([[4.0, 9.0, 12.0]]), np.array([[40.0, 30.0, 10.0]])
    one = np.zeros((1, 3), dtype=int)
    found = leaving(ready, nbytes, np.array([writing], dtype=float), one, lines([10], 10))
    assert found[0] == pytest.approx(ends)
