"""The sharing of rates: always max-min fair, nothing lost, order kept; against plain filling."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swath.simulate.events import Events
from swath.simulate.network import Connection, Network, Resource, Switched
from swath.simulate.radio import Radio


def fair_rates(capacities: list[float], paths: list[tuple[int, ...]]) -> list[float]:
    """Progressive filling from the beginning, in the plainest way."""
    rates = [0.0] * len(paths)
    rising = set(range(len(paths)))
    while rising:
        room = {
            place: (capacity - sum(rates[f] for f, path in enumerate(paths) if place in path))
            / count
            for place, capacity in enumerate(capacities)
            if (count := sum(place in paths[f] for f in rising))
        }
        least = min(room.values())
        for flow in rising:
            rates[flow] += least
        full = {place for place, left in room.items() if left <= least * (1 + 1e-12) + 1e-12}
        rising = {flow for flow in rising if not full & set(paths[flow])}
    return rates


class Observed(Switched):
    """Compares all rates with plain filling whenever they were worked out."""

    def __init__(self, events: Events, resources: list[Resource], places: list[Connection]):
        super().__init__(events)
        self.resources = resources
        self.places = places

    def _settle(self) -> None:
        super()._settle()
        active = [c for c in self.places if c.cargo is not None]
        paths = [tuple(self.resources.index(r) for r in c.resources) for c in active]
        fair = fair_rates([r.capacity for r in self.resources], paths)
        assert [c.rate for c in active] == pytest.approx(fair, rel=1e-6)


class Steps:
    """A capacity that is 10 and 1 byte/s in turn, each for a second."""

    def at(self, time: float) -> tuple[float, float]:
        second = math.floor(time)
        return (10.0 if second % 2 == 0 else 1.0), second + 1.0


MESSAGES = st.lists(
    st.tuples(st.integers(0, 11), st.integers(1, 60), st.floats(0, 3)), min_size=1, max_size=30
)
PATHS = st.lists(
    st.lists(st.integers(0, 5), min_size=1, max_size=3, unique=True), min_size=12, max_size=12
)
CAPACITIES = st.lists(st.sampled_from([1.0, 2.0, 5.0, 10.0, 30.0]), min_size=6, max_size=6)


def send_all(
    network: Network,
    events: Events,
    connections: list[Connection],
    messages: list[tuple[int, int, float]],
    writing: float = 0.0,
) -> None:
    """``messages``: (connection, bytes, when all of it is written), ``writing``: since how long."""

    def send(told: tuple[int, int, int]) -> None:
        place, _, nbytes = told
        network.send(connections[place], nbytes, told, events.now - writing)

    for number, (place, nbytes, at) in enumerate(messages):
        events.at(at, send, (place, number, nbytes))
    events.run()


@settings(max_examples=200)
@given(
    capacities=CAPACITIES,
    varying=st.sets(st.integers(0, 5)),
    paths=PATHS,
    messages=MESSAGES,
    writing=st.sampled_from([0.0, 0.3, 2.0]),
)
def test_rates_are_max_min_fair_at_all_times(capacities, varying, paths, messages, writing):
    events = Events()
    capacities = [10.0 if place in varying else c for place, c in enumerate(capacities)]
    resources = [
        Resource(capacity, Steps() if place in varying else None)
        for place, capacity in enumerate(capacities)
    ]
    arrived: list[tuple[int, int, int]] = []
    connections = [Connection([resources[r] for r in p], 0.0, arrived.append) for p in paths]
    network = Observed(events, resources, connections)
    send_all(network, events, connections, messages, writing)
    assert sorted(number for _, number, _ in arrived) == list(range(len(messages)))
    for place in range(len(connections)):
        mine = [number for where, number, _ in arrived if where == place]
        assert mine == sorted(mine, key=lambda number: (messages[number][2], number))
    assert not any(resource.limited or resource.others for resource in resources)
    # No resource has carried more than it can: its bytes need their time.
    for place, capacity in enumerate(capacities):
        through = [m for m in messages if place in paths[m[0]]]
        if through:
            busy = events.now - min(at for _, _, at in through) + writing
            assert sum(nbytes for _, nbytes, _ in through) <= capacity * busy * (1 + 1e-6)


@settings(max_examples=80)
@given(capacities=CAPACITIES, messages=MESSAGES)
def test_a_radio_channel_is_never_idle_while_somebody_sends(capacities, messages):
    """Messages that all begin at once end when the sum of their times is over."""
    events = Events()
    links = [Resource(capacity) for capacity in capacities]
    arrived: list[tuple[int, int, int]] = []
    connections = [Connection([links[p % 6]], 0.0, arrived.append) for p in range(12)]
    send_all(Radio(events), events, connections, [(p, n, 0.0) for p, n, _ in messages])
    assert len(arrived) == len(messages)
    needed = math.fsum(nbytes / capacities[place % 6] for place, nbytes, _ in messages)
    assert events.now == pytest.approx(needed)


@pytest.mark.parametrize("kind", [Switched, Radio])
def test_a_capacity_that_varies(kind):
    events = Events()
    times: list[float] = []
    link = Resource(5.0, Steps())
    connection = Connection([link], 0.25, lambda told: times.append(events.now))
    # 10 bytes in the first second, 1 in the next, 4 in 0.4 s.
    send_all(kind(events), events, [connection], [(0, 15, 0.0)])
    assert times == [pytest.approx(2.65)]
    # Half of a second is left of what is slow then; nothing happened meanwhile.
    send_all(kind(events), events, [connection], [(0, 1, 9.5)])
    assert times[1] == pytest.approx(10.05 + 0.25)


def test_two_share_a_capacity_that_varies():
    events = Events()
    times: list[float] = []
    link = Resource(5.0, Steps())
    port = Resource(8.0)
    pair = [Connection(r, 0.0, lambda told: times.append(events.now)) for r in ([link], [port])]
    both = Connection([link, port], 0.0, lambda told: times.append(events.now))
    # First second: 4 to `both` (the port's half), 6 and 4 to the others; then 0.5, 0.5 and 7.5.
    send_all(Switched(events), events, [*pair, both], [(0, 100, 0.0), (1, 15, 0.0), (2, 5, 0.0)])
    # Then 4 each until `both` has its last half byte; 3 more of the port's other flow at 8.
    assert times[0] == pytest.approx(2 + 0.5 / 4)
    assert times[1] == pytest.approx(2 + 0.5 / 4 + 3 / 8)


@pytest.mark.parametrize("kind", [Switched, Radio])
def test_a_bucket_lets_pass_at_once_what_it_has_saved(kind):
    events = Events()
    times: list[float] = []
    link = Resource(10.0, None, 20.0)
    connection = Connection([link], 0.25, lambda told: times.append(events.now - 0.25))
    # Full: 15 of its 20 bytes, then the other 5, and 10 more in 1 s.
    send_all(kind(events), events, [connection], [(0, 15, 0.0), (0, 15, 0.0)])
    assert times == pytest.approx([0.0, 1.0])
    # 1 s of rest is worth 10 bytes of the 30; 5 s no more than all 20 of the 40.
    send_all(kind(events), events, [connection], [(0, 30, 2.0), (0, 40, 9.0)])
    assert times[2:] == pytest.approx([4.0, 11.0])


def test_what_one_resource_holds_back_does_not_pass_at_once():
    events = Events()
    times: list[float] = []
    resources = [Resource(10.0, None, 20.0), Resource(10.0, None, 5.0), Resource(10.0)]
    both, all_three = (
        Connection(crossed, 0.0, lambda told: times.append(events.now))
        for crossed in (resources[:2], resources)
    )
    send_all(Switched(events), events, [both, all_three], [(0, 25, 0.0), (1, 25, 10.0)])
    assert times == pytest.approx([2.0, 12.5])


@pytest.mark.parametrize("kind", [Switched, Radio])
def test_a_message_leaves_while_it_is_written(kind):
    events = Events()
    times: list[float] = []
    link = Resource(10.0)
    connection = Connection([link], 0.25, lambda told: times.append(events.now - 0.25))
    # Written from 1 to 3: 20 of the 30 bytes have left by then. What is short waits for its end.
    send_all(kind(events), events, [connection], [(0, 30, 3.0), (0, 5, 9.0)], writing=2.0)
    assert times == pytest.approx([4.0, 9.0])
    # The first one's last byte leaves at 22: from then on the second one, written from 21 to 23.
    send_all(kind(events), events, [connection], [(0, 40, 20.0), (0, 40, 23.0)], writing=2.0)
    assert times[2:] == pytest.approx([22.0, 26.0])


@pytest.mark.parametrize("kind", [Switched, Radio])
def test_what_others_send_meanwhile_goes_before_what_is_still_written(kind):
    events = Events()
    times: list[float] = []
    link = Resource(10.0)
    pair = [Connection([link], 0.0, lambda told: times.append(events.now)) for _ in range(2)]
    # The first one is under way until 4. When the second one is there it has half of what is left.
    send_all(kind(events), events, pair, [(0, 40, 2.0), (1, 10, 3.0)], writing=2.0)
    assert times == pytest.approx([5.0, 5.0])


def test_a_bucket_that_a_message_meets_while_it_is_written():
    events = Events()
    times: list[float] = []
    link = Resource(10.0, None, 20.0)
    connection = Connection([link], 0.0, lambda told: times.append(events.now))
    # Full at 1: by 3 it has let pass its 20 bytes and 20 more.
    send_all(Switched(events), events, [connection], [(0, 50, 3.0), (0, 10, 4.5)], writing=2.0)
    assert times == pytest.approx([4.0, 5.0])
