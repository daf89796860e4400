"""Whole plans on virtual time: conservation, bounds, determinism; every kind of network."""

from __future__ import annotations

import dataclasses
import itertools
import math
from functools import lru_cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import swath
from swath.cluster import Cluster, Device, Link, parse_channel
from swath.cost import Cooling, Costs, MessageCost, Quota, nominal_costs
from swath.plan.compile import compile_plan
from swath.plan.plan import Plan, PlanDevice
from swath.plan.program import Compute, Programs
from swath.planners.methods.even import Even
from swath.planners.registry import Problem
from swath.simulate import Request, make_script, redundant_flops_share, simulate
from swath.simulate.parties import Processor
from tests.plan.plans import ROWS, chain_graph, layer_plan, two_devices

NETWORKS = ("switch", "shared", "star")


def make_cluster(
    count: int, bandwidth: float = 12.5e6, latency: float = 1e-3, **fields: object
) -> Cluster:
    names = "abcdefgh"[:count]
    return Cluster(
        tuple(Device(name, gflops=5.0) for name in names),
        source="a",
        default_link=Link(bandwidth, latency),
        **fields,  # type: ignore[arg-type]
    )


@lru_cache(maxsize=8)
def vgg16(devices: int) -> tuple[Plan, Programs, Costs]:
    costs = nominal_costs(make_cluster(devices))
    plan = Even().plan(Problem(swath.load("zoo:vgg16"), costs))
    return plan, compile_plan(plan), costs


@dataclasses.dataclass(frozen=True)
class Rationed(Costs):
    def quota(self, device: str) -> Quota | None:
        return Quota(0.25, 0.004, 0.004)


def test_slower_processors_take_longer_for_all_that_they_do():
    plan, programs, costs = vgg16(4)
    script = make_script(plan, programs, costs)
    once, slower = (simulate([Request(s)], costs) for s in (script, script.slower(2.0)))
    for device, busy in once.busy.items():
        assert slower.busy[device] == pytest.approx(2 * busy)
    assert once.makespan < slower.makespan < 2 * once.makespan  # Links are as fast as before.
    alone = make_script(*vgg16(1)[:2], vgg16(1)[2])
    once, slower = (simulate([Request(s)], vgg16(1)[2]) for s in (alone, alone.slower(3.0)))
    assert slower.makespan == pytest.approx(3 * once.makespan, rel=1e-3)


def test_a_real_plan_conserves_work_and_bytes():
    plan, programs, costs = vgg16(4)
    script = make_script(plan, programs, costs)
    result = simulate([Request(script)], costs, record=True)
    assert result.bytes_moved == programs.bytes_moved
    assert result.trace is not None
    spans = result.trace.spans
    tiles = [step for program in programs.by_device.values() for step in program.steps]
    assert sum(s.lane == "compute" for s in spans) == sum(isinstance(t, Compute) for t in tiles)
    for lane in ("send", "receive"):
        assert sum(s.nbytes for s in spans if s.lane == lane) == programs.bytes_moved
        assert len({s.message for s in spans if s.lane == lane}) == len(programs.messages)
    work = sum(sum(part.seconds) for part in script.parts) + sum(script.receiving)
    work += sum(seconds for _, seconds, _ in script.scatter) + script.begins + script.ends
    assert sum(result.busy.values()) == pytest.approx(work)
    for message in programs.messages:
        (sent,) = (s.end for s in spans if s.lane == "send" and s.message == message.number)
        (got,) = (s.start for s in spans if s.lane == "receive" and s.message == message.number)
        local = {message.sender, message.receiver} == {"@coordinator", plan.source}
        # It leaves while it is written.
        written = costs.sending(plan.source).per_byte * message.nbytes
        wire = 0.0 if local else costs.cluster.default_link.seconds(message.nbytes)
        assert got - sent >= wire - written - 1e-9


class Networked(Costs):
    """Of either end's CPU a message takes 1 s, one within a device 1 ms."""

    def sending(self, device: str, receiver: str | None = None) -> MessageCost:
        return MessageCost(1e-3 if receiver == device else 1.0, 0.0)

    def receiving(self, device: str, sender: str | None = None) -> MessageCost:
        return MessageCost(1e-3 if sender == device else 1.0, 0.0)


def test_messages_within_the_source_cost_what_they_do():
    plan, programs, costs = vgg16(4)
    script = make_script(plan, programs, Networked(costs.cluster))
    home = {part.device: place for place, part in enumerate(script.parts)}[plan.source]
    sends = {message: seconds for message, seconds, _ in script.scatter}
    for part in script.parts:
        sends |= dict(zip(part.sends, part.seconds, strict=True))
    seen = set()
    for place, ends in enumerate(zip(script.senders, script.receivers, strict=True)):
        is_within = set(ends) == {-1, home}
        seen.add(is_within)
        for seconds in (sends[place], script.receiving[place]):
            assert (0.5 if is_within else 1.5) > seconds >= (1e-3 if is_within else 1.0)
    assert seen == {False, True}


def test_a_device_does_one_thing_at_a_time():
    plan, programs, costs = vgg16(4)
    trace = simulate([Request(make_script(plan, programs, costs))] * 2, costs, record=True).trace
    assert trace is not None
    for device in ("@coordinator", "b", "c", "d"):
        mine = sorted((s.start, s.end) for s in trace.spans if s.device == device)
        assert all(end <= start + 1e-12 for (_, end), (start, _) in itertools.pairwise(mine))


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("quota", [False, True])
def test_vgg16_on_every_kind_of_network(network, quota):
    plan, programs, costs = vgg16(4)
    cluster = dataclasses.replace(
        costs.cluster, network=network, hub="b" if network == "star" else None
    )
    costs = Rationed(cluster) if quota else Costs(cluster)
    script = make_script(plan, programs, costs)
    result = simulate([Request(script)] * 2, costs)
    compute = max(sum(part.seconds) for part in script.parts)
    lower, upper = (4, 12) if quota else (1, 4)
    assert all(lower * compute * 0.98 <= latency <= upper * compute for latency in result.latencies)
    assert result == simulate([Request(script)] * 2, costs)
    assert result.makespan == pytest.approx(sum(result.latencies))
    assert all(0 <= share <= (0.27 if quota else 1) for share in result.utilisation.values())


@pytest.mark.parametrize("text", ["rayleigh(snr=10dB)", "gaussian(std=40Mbps)",
                                  "gilbert(bad=1Mbps, good_time=20ms, bad_time=20ms)"])  # fmt: skip
@pytest.mark.parametrize("network", NETWORKS)
def test_fading_depends_on_the_seed_alone(text, network):
    plan, programs, costs = vgg16(2)
    link = dataclasses.replace(costs.cluster.default_link, channel=parse_channel(text))
    costs = Costs(
        dataclasses.replace(
            costs.cluster,
            network=network,
            hub="b" if network == "star" else None,
            default_link=link,
        )
    )
    request = Request(make_script(plan, programs, costs))
    results = [simulate([request] * 2, costs, seed=seed, record=True) for seed in (0, 0, 1)]
    assert results[0] == results[1]
    assert results[0].latencies != results[2].latencies
    assert results[0].bytes_moved == results[2].bytes_moved == 2 * programs.bytes_moved


def test_the_share_of_flops_computed_twice():
    graph = chain_graph()
    whole = layer_plan(graph, [("a", layer, 0, ROWS) for layer in range(3)])
    assert redundant_flops_share(whole, compile_plan(whole)) == 0
    twice = layer_plan(graph, [("a", 0, 0, ROWS), ("b", 0, 0, ROWS), ("a", 1, 0, 6),
                               ("b", 1, 6, ROWS), ("a", 2, 0, 6), ("b", 2, 6, ROWS)])  # fmt: skip
    assert redundant_flops_share(twice, compile_plan(twice)) == pytest.approx(1 / 3)


# Random plans

CUTS = st.lists(st.integers(0, ROWS), min_size=2, max_size=2).map(sorted)


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    """Three layers, each cut into up to three bands of rows, on a, b and c in any order."""
    graph = chain_graph()
    tiles = []
    for layer in range(3):
        low, high = draw(CUTS)
        devices = draw(st.permutations("abc"))
        bands = ((0, low), (low, high), (high, ROWS))
        tiles += [(d, layer, lo, hi) for d, (lo, hi) in zip(devices, bands, strict=True) if lo < hi]
    exchange = draw(st.sampled_from(["peer", "leader"]))
    leader = "a" if exchange == "leader" else None
    return dataclasses.replace(
        layer_plan(graph, tiles),
        devices=tuple(PlanDevice(name) for name in "abc"),
        exchange=exchange,
        leader=leader,
        source="a",
    )


@settings(max_examples=40)
@given(plan=plans(), network=st.sampled_from(NETWORKS), bandwidth=st.floats(1e5, 1e9))
def test_random_plans_are_bound_by_work_and_wire(plan, network, bandwidth):
    hub = "b" if network == "star" else None
    costs = nominal_costs(make_cluster(3, bandwidth, network=network, hub=hub))
    programs = compile_plan(plan)
    script = make_script(plan, programs, costs)
    result = simulate([Request(script)], costs)
    (latency,) = result.latencies
    assert latency >= max(sum(part.seconds) for part in script.parts)
    assert latency >= max(result.busy.values())
    assert latency >= critical_path(programs, script, costs) - 1e-12
    assert latency <= sum(result.busy.values()) + sum(
        2 * (1e-3 + message.nbytes / bandwidth) for message in programs.messages
    ) + 1e-3 * len(script.nbytes)
    assert simulate([Request(script)], costs) == result


def critical_path(programs: Programs, script, costs: Costs) -> float:
    """The longest chain of steps and messages, each as fast as if it were alone, processors and
    links without limit to how many they serve."""
    sent: dict[int, float] = {}
    written: dict[int, float] = {}
    when = script.begins
    for message, seconds, writing in script.scatter:
        when += seconds
        sent[message] = when
        written[message] = seconds * writing
    devices = list(programs.by_device)
    done = dict.fromkeys(range(len(devices)), 0.0)
    position = dict.fromkeys(range(len(devices)), 0)
    moved = True
    while moved:
        moved = False
        for place, part in enumerate(script.parts):
            while position[place] < len(part.sends):
                step = position[place]
                awaited = [m for m, (to, by) in enumerate(zip(script.receivers, script.read_by,
                           strict=True)) if to == place and by == step]  # fmt: skip
                if not all(m in sent for m in awaited):
                    break
                ready = [
                    sent[m] + wire(script, m, written[m], costs) + script.receiving[m]
                    for m in awaited
                ]
                done[place] = max([done[place], *ready]) + part.seconds[step]
                if part.sends[step] >= 0:
                    sent[part.sends[step]] = done[place]
                    written[part.sends[step]] = part.seconds[step] * part.writing[step]
                position[place] += 1
                moved = True
    ends = [sent[m] + wire(script, m, written[m], costs) + script.receiving[m]
            for m, to in enumerate(script.receivers) if to == -1]  # fmt: skip
    return max(ends) + script.ends


def wire(script, message: int, written: float, costs: Costs) -> float:
    """Seconds after a message has been written, in so many seconds, until it is there."""
    names = [*(part.device for part in script.parts), script.source]
    sender, receiver = names[script.senders[message]], names[script.receivers[message]]
    if sender == receiver:
        return 0.0
    path = costs.cluster.path(sender, receiver)
    slowest = min(link.bandwidth for link in path)
    leaving = max(0.0, script.nbytes[message] / slowest - written)
    return sum(link.latency for link in path) + leaving


@settings(max_examples=30)
@given(bandwidth=st.floats(1e4, 1e8), factor=st.floats(1.0, 20.0))
def test_more_bandwidth_never_hurts_a_chain(bandwidth, factor):
    """Two devices that work by turns: nothing can overtake."""
    plan = layer_plan(chain_graph(), [("b", 0, 0, ROWS), ("c", 1, 0, ROWS), ("b", 2, 0, ROWS)])
    plan = dataclasses.replace(plan, source="a")
    programs = compile_plan(plan)
    latencies = []
    for rate in (bandwidth, bandwidth * factor):
        costs = nominal_costs(make_cluster(3, rate))
        latencies += simulate([Request(make_script(plan, programs, costs))], costs).latencies
    assert latencies[1] <= latencies[0] * (1 + 1e-9)


@settings(max_examples=20)
@given(
    starts=st.lists(st.floats(0, 0.01), min_size=1, max_size=6),
    where=st.lists(st.permutations("abcd"), min_size=6, max_size=6),
)
def test_many_requests_in_flight_on_many_devices(starts, where):
    costs = nominal_costs(make_cluster(4))
    plan = two_devices(chain_graph())
    script = make_script(plan, compile_plan(plan), costs)
    alone = simulate([Request(script)], costs)
    requests = [
        Request(script, at, {"a": names[0], "b": names[1]})
        for at, names in zip(starts, where, strict=False)
    ]
    result = simulate(requests, costs)
    assert result.bytes_moved == len(requests) * alone.bytes_moved
    assert sum(result.busy.values()) == pytest.approx(len(requests) * sum(alone.busy.values()))
    assert min(result.latencies) >= max(sum(part.seconds) for part in script.parts)
    assert simulate(requests, costs) == result


def test_waiting_leaves_caches_cold():
    plan, programs, costs = vgg16(2)

    @dataclasses.dataclass(frozen=True)
    class Cold(Costs):
        def cooling(self, device: str) -> Cooling:
            return Cooling(waited=1e-3, half=1e-9, warm=1e-9)

    script = make_script(plan, programs, costs)
    warm = simulate([Request(script)], costs)
    cold = simulate([Request(script)], Cold(costs.cluster))
    more = cold.busy["b"] - warm.busy["b"]
    assert more == pytest.approx(1e-3 * round(more / 1e-3), rel=1e-3), "so much for each pause"
    assert more > 1e-3


def test_caches_warm_up_with_the_work_that_follows():
    cooling = Cooling(waited=1e-3, half=1e-9, warm=2e-3)
    in_parts, at_once = Processor(None, cooling), Processor(None, cooling)
    at_once.work(1.0, 2e-3)
    for _ in range(4):
        in_parts.work(1.0, 0.5e-3)
    assert at_once.busy == pytest.approx(2e-3 + (1 - math.exp(-1)) * 1e-3)
    assert in_parts.busy == pytest.approx(at_once.busy)
    in_parts.work(1.0, 1.0)
    assert in_parts.busy == pytest.approx(1.002 + 1e-3), "no more than all of it"
