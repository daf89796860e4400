"""Small worlds whose times are worked out by hand. Links carry 100 bytes/s where nothing is said;
what stays on the source's device needs 0.1 ms (LOOPBACK)."""

from __future__ import annotations

import dataclasses

import pytest

from swath.cluster import Link
from swath.cluster.cluster import LOOPBACK
from swath.cost import Quota
from swath.errors import ClusterError, PlanError
from swath.simulate import Request, Script, Simulation, simulate
from tests.simulate.worlds import Fixed, cluster, script

LOCAL = LOOPBACK.latency


def run(example: Script, **fields: object) -> Simulation:
    return simulate([Request(example)], Fixed(cluster(**fields)), record=True)  # type: ignore[arg-type]


def ends(simulation: Simulation, device: str, lane: str = "compute") -> list[float]:
    assert simulation.trace is not None
    spans = simulation.trace.spans
    return [span.end for span in spans if span.device == device and span.lane == lane]


def relay(writing: float = 0.0) -> Script:
    """b computes 1 s on 50 bytes of input and answers with 200."""
    return script(
        {"b": [(1.0, -1), (0.0, 1)]},
        [("@", "b", 50, 0), ("b", "@", 200, 0)],
        cpu=0.25,
        request=0.5,
        writing=writing,
    )


def test_one_device_away():
    result = run(relay(), latency=0.125)
    # 0.25 begin, 0.25 send, 0.5 + 0.125 wire, 0.25 receive, 1 tile, 0.25 send, 2 + 0.125 wire,
    # 0.25 receive, 0.25 end.
    assert result.latencies == (pytest.approx(5.25),)
    assert result.makespan == pytest.approx(5.25)
    assert result.bytes_moved == 250
    assert result.busy == {"a": pytest.approx(1.0), "b": pytest.approx(1.5), "c": 0, "d": 0}
    assert result.utilisation["b"] == pytest.approx(1.5 / 5.25)
    assert result.energy["b"] == pytest.approx(2 * 5.25 + 3 * 1.5)
    assert result.energy["d"] == pytest.approx(2 * 5.25)


def test_messages_leave_while_they_are_written():
    # In the last 0.2 of 0.25 s of sending 20 of the 50 bytes leave, and 20 of the 200.
    assert run(relay(writing=0.8), latency=0.125).latencies == (pytest.approx(5.25 - 2 * 0.2),)
    # By the clock: with a quota b is about a second at it.
    rationed = Fixed(cluster(), quotas={"b": Quota(0.25, 0.25, 0.25)})
    late, soon = (simulate([Request(relay(share))], rationed).makespan for share in (0.0, 0.8))
    assert late - soon > 0.2 + 0.4


def test_the_trace_says_who_did_what():
    trace = run(relay(), latency=0.125).trace
    assert trace is not None
    assert trace.origin == "predicted"
    assert trace.devices == ("@coordinator", "b")
    assert [
        (s.device, s.lane, s.name, s.message, s.nbytes, s.start, s.end) for s in trace.spans
    ] == [
        ("@coordinator", "send", "b", 0, 50, 0.25, 0.5),
        ("b", "receive", "@coordinator", 0, 50, 1.125, 1.375),
        ("b", "compute", "stage 0", None, 0, 1.375, 2.375),
        ("b", "send", "@coordinator", 1, 200, 2.375, 2.625),
        ("@coordinator", "receive", "b", 1, 200, 4.75, 5.0),
    ]


def test_on_the_source_itself_no_network_is_used():
    example = script({"a": [(1.0, -1), (0.0, 1)]}, [("@", "a", 10**9, 0), ("a", "@", 10**9, 0)])
    assert run(example).latencies == (pytest.approx(1 + 2 * LOCAL),)


def two_senders(second: int) -> Script:
    """b and c answer with 100 and ``second`` bytes as soon as the request begins."""
    return script(
        {"b": [(0.0, 2)], "c": [(0.0, 3)]},
        [("@", "b", 0, 0), ("@", "c", 0, 0), ("b", "@", 100, 0), ("c", "@", second, 0)],
    )


def test_two_senders_share_the_receivers_port():
    result = run(two_senders(300))
    # Both at 50 bytes/s until 2 s; the other's last 200 bytes at 100.
    assert ends(result, "@coordinator", "receive") == [pytest.approx(2.0), pytest.approx(4.0)]


def test_a_slow_link_leaves_its_share_to_the_other():
    links = {("b", "a"): Link(20.0, 0.0)}
    result = run(two_senders(240), links=links)
    # c has 80 bytes/s: 240 in 3 s. b has its own 20 all the time.
    assert ends(result, "@coordinator", "receive") == [pytest.approx(3.0), pytest.approx(5.0)]


def test_different_receivers_share_the_senders_port_and_each_direction_is_its_own():
    example = script(
        {"b": [(0.0, 1)], "c": [(0.0, -1), (0.0, 3)], "d": [(0.0, -1), (0.0, 4)]},
        [
            ("@", "b", 300, 0), ("b", "@", 300, 0), ("@", "c", 300, 0),
            ("c", "@", 0, 0), ("d", "@", 0, 0), ("@", "d", 300, 0),
        ],
    )  # fmt: skip
    result = run(example)
    # 900 bytes through a's port out, 9 s in all; b's answer comes back at full rate meanwhile.
    assert ends(result, "b", "receive") == [pytest.approx(9.0)]
    assert result.latencies == (pytest.approx(12.0),)


def test_messages_of_one_sender_on_one_link_leave_one_after_another():
    example = script(
        {"b": [(0.0, 2), (0.0, 3)], "c": [(0.0, 4)]},
        [
            ("@", "b", 0, 0), ("@", "c", 0, 0),
            ("b", "@", 100, 0), ("b", "@", 100, 0), ("c", "@", 100, 0),
        ],
    )  # fmt: skip
    # b and c share: 100 bytes each at 2 s, then b's second one alone. Three at once would need 3 s
    # each.
    result = run(example)
    assert ends(result, "@coordinator", "receive") == [pytest.approx(t) for t in (2.0, 2.0, 3.0)]


def test_a_shared_channel_shares_time_not_bytes():
    links = {("b", "a"): Link(25.0, 0.0)}
    result = run(two_senders(100), network="shared", links=links)
    # c alone needs 1 s, b 4 s. Half the time each: c ends at 2 s, b has had 1 s of its 4 by then.
    assert ends(result, "@coordinator", "receive") == [pytest.approx(2.0), pytest.approx(5.0)]


def test_a_shared_channel_is_shared_by_both_directions_and_all_pairs():
    example = script(
        {"b": [(0.0, 2)], "c": [(0.0, -1), (0.0, 3)], "d": [(0.0, -1), (0.0, 4)]},
        [
            ("@", "b", 0, 0), ("@", "c", 300, 0), ("b", "d", 300, 0),
            ("c", "@", 0, 0), ("d", "@", 0, 0),
        ],
    )  # fmt: skip
    assert run(example).latencies == (pytest.approx(3.0),)
    assert run(example, network="shared").latencies == (pytest.approx(6.0),)


def test_a_star_is_crossed_by_way_of_its_hub():
    links = {("b", "d"): Link(50.0, 0.5), ("d", "a"): Link(100.0, 0.25)}
    result = run(two_senders(100), network="star", hub="d", links=links)
    # b's way: 50 bytes/s up. c's: what the hub's link to a has left, 50. Latencies add.
    assert ends(result, "@coordinator", "receive") == [pytest.approx(2.25), pytest.approx(2.75)]


@pytest.mark.parametrize(
    ("names", "link", "seconds"),
    [
        # Links of 30 bytes at once, then 100 bytes/s, but for this one of b to a.
        ("ab", Link(50.0, 0.0, burst=10.0), (200 - 10) / 50),  # All that b has: so is its port.
        ("abc", Link(50.0, 0.0, burst=10.0), (200 - 10) / 50),
        ("abc", Link(50.0, 0.0, burst=40.0), (200 - 30) / 50),  # No more than its port lets by.
        ("abc", Link(200.0, 0.0, burst=60.0), (200 - 60) / 200),  # The port of its best link.
        ("abc", Link(50.0, 0.0), 200 / 50),
    ],
)
def test_what_passes_at_once_is_said_by_the_link_that_says_the_rate(names, link, seconds):
    example = script({"b": [(0.0, 1)]}, [("@", "b", 0, 0), ("b", "@", 200, 0)])
    result = run(example, names=names, burst=30.0, links={("b", "a"): link})
    assert result.latencies == (pytest.approx(seconds),)


def test_the_hub_of_a_star_is_one_link_away():
    example = script({"b": [(0.0, 1)]}, [("@", "b", 0, 0), ("b", "@", 100, 0)])
    links = {("b", "a"): Link(10.0, 0.5)}
    result = run(example, network="star", hub="a", links=links)
    assert result.latencies == (pytest.approx(10.5),)


def test_the_coordinators_work_delays_a_tile():
    example = script(
        {"a": [(4.0, -1), (0.0, 2)], "b": [(0.0, 3)]},
        [("@", "a", 0, 0), ("@", "b", 0, 0), ("a", "@", 0, 0), ("b", "@", 100, 0)],
        request=0.5,
    )
    slow = dataclasses.replace(example, receiving=(0.0, 0.0, 0.0, 0.75))
    # The tile begins at 0.25 (and LOCAL); b's answer at 1.25 takes 0.75 s of the same CPU.
    result = run(slow)
    assert ends(result, "a") == [pytest.approx(5.0 + LOCAL)]
    assert ends(result, "@coordinator", "receive") == [
        pytest.approx(2.0), pytest.approx(5.0 + 2 * LOCAL)
    ]  # fmt: skip
    assert result.busy["a"] == pytest.approx(5.25)


def test_what_arrives_during_a_tile_is_taken_in_after_it():
    example = script(
        {"b": [(2.0, -1), (1.0, -1), (0.0, 2)]},
        [("@", "b", 0, 0), ("@", "b", 100, 1), ("b", "@", 0, 0)],
        cpu=0.25,
    )
    # 0.25 send, 0.25 receive, tile until 2.5; there since 1.5, taken in until 2.75; tile until
    # 3.75; 0.25 send and 0.25 receive.
    result = run(example)
    assert ends(result, "b") == [pytest.approx(2.5), pytest.approx(3.75)]
    assert result.latencies == (pytest.approx(4.25),)


def test_sends_follow_a_tile_before_anything_is_looked_at():
    example = script(
        {"b": [(2.0, -1), (0.0, 2), (1.0, -1), (0.0, 3)]},
        [("@", "b", 0, 0), ("@", "b", 100, 2), ("b", "@", 0, 0), ("b", "@", 0, 0)],
        cpu=0.25,
    )
    result = run(example)
    assert ends(result, "b", "send")[0] == pytest.approx(2.75)
    assert ends(result, "b", "receive") == [pytest.approx(0.5), pytest.approx(3.0)]


def test_the_oldest_request_goes_first():
    """Two tiles each: the first request's second tile before the second request's first."""
    example = script({"b": [(1.0, -1), (1.0, -1), (0.0, 1)]}, [("@", "b", 0, 0), ("b", "@", 0, 0)])
    result = simulate([Request(example, 0.0), Request(example, 0.5)], Fixed(cluster()))
    assert result.latencies == (pytest.approx(2.0), pytest.approx(3.5))


def test_back_to_back_and_at_given_times():
    costs = Fixed(cluster())
    once = simulate([Request(relay())], costs).makespan
    assert simulate([Request(relay())] * 3, costs).makespan == pytest.approx(3 * once)
    apart = simulate([Request(relay(), at=10.0), Request(relay(), at=20.0)], costs, record=True)
    assert apart.makespan == pytest.approx(10 + once)
    assert apart.latencies == (pytest.approx(once), pytest.approx(once))
    assert apart.trace is not None
    assert apart.trace.spans[0].start == pytest.approx(0.25)


def test_a_placement_moves_a_plan_to_other_devices():
    costs = Fixed(cluster(latency=0.125))
    moved = [Request(relay(), 0.0), Request(relay(), 0.0, {"a": "c", "b": "d"})]
    result = simulate(moved, costs, record=True)
    assert result.latencies == (pytest.approx(5.25), pytest.approx(5.25))
    assert result.busy["d"] == result.busy["b"] == pytest.approx(1.5)
    assert result.trace is not None
    assert result.trace.devices == ("@coordinator", "@coordinator:c", "b", "d")


def test_a_quota_stretches_what_lasts():
    costs = Fixed(cluster(), quotas={"b": Quota(0.25, 0.004, 0.004)})
    long = simulate([Request(relay())], costs).makespan
    # 1.5 s of b's CPU take four times as long.
    assert long == pytest.approx(
        simulate([Request(relay())], Fixed(cluster())).makespan + 4.5, rel=0.01
    )


def test_the_coordinator_lives_on_its_devices_ration():
    quota = Quota(0.5, 0.01, 0.001)
    example = script(
        {"a": [(1.0, -1), (0.0, 2)], "b": [(0.0, 3)]},
        [("@", "a", 0, 0), ("@", "b", 0, 0), ("a", "@", 0, 0), ("b", "@", 50, 0)],
    )
    slow = dataclasses.replace(example, receiving=(0.0, 0.0, 0.0, 0.25))
    result = simulate([Request(slow)], Fixed(cluster(), quotas={"a": quota}), record=True)
    assert ends(result, "a") == [pytest.approx(2.5, abs=0.02)]
    assert ends(result, "@coordinator", "receive")[0] == pytest.approx(1.0, abs=0.02)


def test_a_device_that_is_not_there():
    with pytest.raises(ClusterError, match="'z' is not in the cluster"):
        simulate([Request(relay(), placement={"b": "z"})], Fixed(cluster()))


def test_devices_that_wait_for_each_other():
    example = script(
        {"b": [(0.0, 1)], "c": [(0.0, 2)]},
        [("@", "b", 0, 0), ("b", "c", 0, 0), ("c", "b", 0, 0), ("c", "@", 0, 0)],
    )
    with pytest.raises(PlanError, match="request 0 never ends"):
        run(example)


def flowing(*flows: tuple[int, float]) -> Simulation:
    """Requests of six tiles of 1 s on the source, each of a (flow, weight), all begun at 0."""
    example = script({"a": [(1.0, -1)] * 6 + [(0.0, 1)]}, [("@", "a", 0, 0), ("a", "@", 0, 0)])
    requests = [Request(example, 0.0, flow=flow, weight=weight) for flow, weight in flows]
    return simulate(requests, Fixed(cluster()))


def test_flows_share_a_device_by_their_weights():
    alone, other = flowing((1, 1.0), (2, 1.0)).latencies
    assert alone == pytest.approx(11, abs=0.01)
    assert other == pytest.approx(12, abs=0.01)
    # Two of the second's tiles are done when all six of the first's are.
    heavy, light = flowing((1, 3.0), (2, 1.0)).latencies
    assert 6 <= heavy <= 8.01
    assert light == pytest.approx(12, abs=0.01)


def test_within_a_flow_the_oldest_request_goes_first():
    first, second = flowing((7, 1.0), (7, 9.0)).latencies
    assert (first, second) == (pytest.approx(6, abs=0.01), pytest.approx(12, abs=0.01))
    of_two, beside, behind = flowing((1, 1.0), (2, 1.0), (1, 1.0)).latencies
    assert of_two == pytest.approx(11, abs=0.01)
    assert beside == pytest.approx(12, abs=0.01)
    assert behind == pytest.approx(18, abs=0.01)
