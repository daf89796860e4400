"""Costs from profiles: measured devices, described ones, and both in one cluster."""

from __future__ import annotations

import statistics
import time
from dataclasses import astuple

import numpy as np
import pytest

import swath
from swath.cluster import Cluster, Device
from swath.cluster.profile import MessageSample, Sample
from swath.cost import (
    Cooling,
    Costs,
    ProfiledCosts,
    Quota,
    costs_for,
    nominal_costs,
)
from swath.cost.features import BLOCKING, UNBLOCKING, describe, family
from swath.cost.profiled import message_cost
from swath.engine.session import Session
from swath.graph.geometry import TileGeometry, handed_on, tile_geometry
from swath.graph.graph import Graph
from swath.graph.tile import extract_tile
from tests.cost.laws import GFLOPS, convolutions, loaded, moving, profile

MESSAGES = tuple(
    MessageSample(side, nbytes, fixed + nbytes * per_byte)
    for side, fixed, per_byte in (("send", 40e-6, 2e-10), ("receive", 70e-6, 5e-10))
    for nbytes in (1_000, 10_000, 100_000, 1_000_000, 4_000_000)
)
CLUSTER = Cluster((Device("pi-a"), Device("pi-b", gflops=5)), source="pi-a")


@pytest.fixture(scope="module")
def graph() -> Graph:
    return swath.load("zoo:resnet18@64x64")


@pytest.fixture(scope="module")
def costs() -> ProfiledCosts:
    samples = convolutions(60) + moving("elementwise", 30, 1e-10)
    samples += moving(BLOCKING, 30, 1e-10) + moving(UNBLOCKING, 30, 1e-10)
    return costs_for(CLUSTER, {"pi-a": profile(samples, MESSAGES)})


def whole(graph: Graph, first: int, last: int) -> TileGeometry:
    nodes = list(range(first, last))
    return tile_geometry(graph, nodes, {n: graph.tensors[n].whole for n in handed_on(graph, nodes)})


def test_a_device_without_a_profile_goes_by_its_gflops(graph: Graph, costs: Costs) -> None:
    nominal = nominal_costs(CLUSTER)
    tile = whole(graph, 0, 12)
    assert costs.tile("pi-b", graph, tile) == pytest.approx(
        nominal.tile("pi-b", graph, tile) + costs.overhead - nominal.overhead
    )
    assert costs.sending("pi-b") == nominal.sending("pi-b")
    assert costs.receiving("pi-b") == nominal.receiving("pi-b")
    assert costs.copy("pi-b", 1000) == nominal.copy("pi-b", 1000)
    assert costs.request("pi-b") == nominal.request("pi-b")
    assert costs.speed("pi-b") == 5e9
    assert costs.quota("pi-b") is None


def test_a_profiled_device_is_asked_its_profile(costs: Costs) -> None:
    assert costs.request("pi-a") == 3e-4
    assert costs.copy("pi-a", 1000) == pytest.approx(1e-7)
    assert costs.overhead == 50e-6
    assert 0.5 * GFLOPS < costs.speed("pi-a") <= 1.01 * GFLOPS
    sending, receiving = costs.sending("pi-a"), costs.receiving("pi-a")
    assert (sending.fixed, sending.per_byte) == pytest.approx((40e-6, 2e-10), rel=0.01)
    assert (receiving.fixed, receiving.per_byte) == pytest.approx((70e-6, 5e-10), rel=0.01)


def test_messages_within_a_device_are_known_where_they_were_measured(costs: Costs) -> None:
    within = tuple(
        MessageSample(f"{side}-within", nbytes, 20e-6 + nbytes * 1e-11)
        for side in ("send", "receive")
        for nbytes in (1_000, 1_000_000, 4_000_000)
    )
    known = costs_for(CLUSTER, {"pi-a": profile(convolutions(20), (*MESSAGES, *within))})
    for side in ("sending", "receiving"):
        other, own = (getattr(known, side)("pi-a", end) for end in ("pi-b", "pi-a"))
        assert other == getattr(known, side)("pi-a") == getattr(costs, side)("pi-a")
        assert astuple(own) == pytest.approx((20e-6, 1e-11), rel=0.01)
        # Who was profiled from elsewhere has no figures of it.
        assert getattr(costs, side)("pi-a", "pi-a") == getattr(costs, side)("pi-a")
        assert getattr(costs, side)("pi-b", "pi-b") == getattr(costs, side)("pi-b")


def test_message_costs_are_robust_and_never_negative() -> None:
    spoilt = [*MESSAGES[:5], MessageSample("send", 50_000, 5e-3)]
    found = message_cost(spoilt)
    assert found is not None
    assert (found.fixed, found.per_byte) == pytest.approx((40e-6, 2e-10), rel=0.1)
    falling = [MessageSample("send", 1000, 2e-4), MessageSample("send", 1_000_000, 1e-4)]
    kept = message_cost(falling)
    assert kept is not None and kept.fixed > 0 and kept.per_byte == 0
    assert message_cost([]) is None


def test_a_profile_without_messages_leaves_them_to_the_speed() -> None:
    silent = costs_for(CLUSTER, {"pi-a": profile(convolutions(20))})
    device = Device("pi-a", gflops=silent.speed("pi-a") / 1e9)
    nominal = nominal_costs(Cluster((device,), source="pi-a"))
    for side in ("sending", "receiving"):
        found, expected = (getattr(costs, side)("pi-a") for costs in (silent, nominal))
        assert astuple(found) == pytest.approx(astuple(expected))


def test_load_slows_a_device_that_was_never_timed_under_one(graph: Graph) -> None:
    """As a fair scheduler lets it: whatever takes CPU takes 1 + load times as long."""
    unloaded = profile(convolutions(60) + moving("elementwise", 30, 1e-10), MESSAGES)
    costs, busy = (costs_for(CLUSTER, {"pi-a": unloaded}, {"pi-a": load}) for load in (0.0, 0.5))
    tile = whole(graph, 0, 12)
    assert busy.tile("pi-a", graph, tile) == pytest.approx(1.5 * costs.tile("pi-a", graph, tile))
    demand = tile.demands[2]
    assert busy.node("pi-a", graph, 2, demand) == pytest.approx(
        1.5 * costs.node("pi-a", graph, 2, demand)
    )
    assert busy.speed("pi-a") == pytest.approx(costs.speed("pi-a") / 1.5)
    assert busy.copy("pi-a", 1000) == pytest.approx(1.5 * costs.copy("pi-a", 1000))


def test_load_slows_everything_that_takes_cpu(graph: Graph) -> None:
    alone = convolutions(60) + moving("elementwise", 30, 1e-10)
    measured = profile([*alone, *loaded(alone, 0.5, 2.0)], MESSAGES)
    costs, busy = (costs_for(CLUSTER, {"pi-a": measured}, {"pi-a": load}) for load in (0.0, 0.5))
    tile = whole(graph, 2, 3)
    assert busy.request("pi-a") == pytest.approx(2 * costs.request("pi-a"), rel=0.01)
    assert busy.sending("pi-a").fixed == pytest.approx(2 * costs.sending("pi-a").fixed, rel=0.01)
    assert busy.speed("pi-a") == pytest.approx(costs.speed("pi-a") / 2, rel=0.05)
    assert busy.tile("pi-a", graph, tile) > costs.tile("pi-a", graph, tile)


def test_a_tile_is_its_kernels_and_what_is_reordered(graph: Graph, costs: ProfiledCosts) -> None:
    """Conv, Relu: the Relu is free; the map is reordered on its way in and on its way out."""
    position = next(
        place
        for place in range(3, len(graph.nodes) - 1)
        if graph.nodes[place].type == "Conv" and graph.nodes[place + 1].type == "Relu"
    )
    tile = whole(graph, position, position + 2)
    op, demand = graph.operators[position], tile.demands[position]
    features = describe(op, graph.node_flops[position], demand)
    curves = costs.profiled["pi-a"].curves
    expected = 50e-6 + curves.model.predict("convolution", [features])[0]
    assert costs.node("pi-a", graph, position + 1, tile.demands[position + 1]) == 0
    reorderings = costs.tile("pi-a", graph, tile) - expected
    moved = features.read + features.written
    assert reorderings == pytest.approx(2 * 2e-6 + 2 * moved * 1e-10, rel=0.05)


def test_parts_never_cost_more_than_the_whole_nor_less_than_their_share(
    graph: Graph, costs: Costs
) -> None:
    nodes = list(range(3, 8))
    (name,) = handed_on(graph, nodes)
    region = graph.tensors[name].whole
    rows = region[2][1]
    seconds = [
        costs.tile("pi-a", graph, tile_geometry(graph, nodes, {name: region.replace(2, (0, n))}))
        for n in range(1, rows + 1)
    ]
    assert seconds == sorted(seconds)
    assert seconds[rows // 2 - 1] > seconds[-1] / 2


def test_quotas_are_handed_through() -> None:
    quota = Quota(0.25, 4e-3, 4e-3)
    costs = costs_for(CLUSTER, {}, quotas={"pi-b": quota})
    assert costs.quota("pi-b") == quota
    assert costs.quota("pi-a") is None
    assert costs.overhead == nominal_costs(CLUSTER).overhead


def test_a_quota_that_stops_a_device_makes_its_memory_slow(graph: Graph) -> None:
    profiles = dict.fromkeys(("pi-a", "pi-b"), profile(convolutions(40)))
    quotas = {"pi-a": Quota(0.25, 4.4e-3, 4e-3), "pi-b": Quota(1.0, 4.4e-3, 4e-3)}
    cooling = Cooling(waited=1e-4, half=3e-4, warm=2e-3, refill=1e-10)
    coolings = dict.fromkeys(quotas, cooling)
    free = costs_for(CLUSTER, profiles)
    limited = costs_for(CLUSTER, profiles, quotas=quotas, coolings=coolings)
    tile = whole(graph, 0, 12)
    assert limited.cooling("pi-a") == cooling
    assert limited.tile("pi-b", graph, tile) == free.tile("pi-b", graph, tile)
    maps = 2 * graph.tensors[graph.nodes[0].outputs[0]].nbytes
    more = limited.tile("pi-a", graph, tile) - free.tile("pi-a", graph, tile)
    assert maps * 1e-10 < more < 20 * maps * 1e-10
    uncalibrated = costs_for(CLUSTER, profiles, quotas=quotas)
    assert uncalibrated.tile("pi-a", graph, tile) == free.tile("pi-a", graph, tile)


def test_devices_of_one_profile_share_their_curves() -> None:
    one, other = profile(convolutions(20)), profile(convolutions(20))
    costs = costs_for(CLUSTER, {"pi-a": one, "pi-b": one})
    assert costs.profiled["pi-a"] is costs.profiled["pi-b"]
    for apart in (
        costs_for(CLUSTER, {"pi-a": one, "pi-b": one}, {"pi-b": 0.5}),
        costs_for(CLUSTER, {"pi-a": one, "pi-b": other}),
    ):
        assert apart.profiled["pi-a"] is not apart.profiled["pi-b"]


def seconds_of(session: Session, feeds: dict[str, np.ndarray]) -> float:
    session.run(feeds)
    found = []
    for _ in range(15):
        start = time.perf_counter()
        session.run(feeds)
        found.append(time.perf_counter() - start)
    return statistics.median(found)


@pytest.mark.slow
def test_from_measured_layers_to_a_predicted_stage() -> None:
    """Single convolutions of VGG-16, timed here, foretell a stage of it within a factor."""
    graph = swath.load("zoo:vgg16@112x112")

    def session(nodes: list[int], rows: int) -> tuple[Session, dict[str, np.ndarray], TileGeometry]:
        (name,) = handed_on(graph, nodes)
        outputs = {name: graph.tensors[name].whole.replace(2, (0, rows))}
        geometry = tile_geometry(graph, nodes, outputs)
        tile = extract_tile(graph, nodes, outputs)
        weights = {
            key: np.ascontiguousarray(graph.weights[part.digest][part.region.slices()])
            for key, part in tile.weights.items()
        }
        feeds = {key: np.ones(held.shape, np.float32) for key, held in tile.inputs.items()}
        return Session(tile.model, weights), feeds, geometry

    samples = []
    for position in range(2, 30):
        op = graph.operators[position]
        if op.type != "Conv":
            continue
        height = op.output_shape()[2]
        for rows in sorted({height, max(1, height // 2), max(1, height // 4)}):
            timed, feeds, geometry = session([position], rows)
            demand = geometry.demands[position]
            flops = graph.rules[position].flops(op, demand.outputs)
            f = describe(op, flops, demand)
            sample = Sample(
                family(op), f"{position}/{rows}", f.flops, f.read, f.written, f.weights, f.kernel,
                f.channels, f.width, f.away, 0.0, seconds_of(timed, feeds),
            )  # fmt: skip
            samples.append(sample)
    costs = costs_for(CLUSTER, {"pi-a": profile(samples)})
    stage = list(range(5, 16))
    timed, feeds, geometry = session(stage, 7)
    predicted = costs.tile("pi-a", graph, geometry)
    assert predicted == pytest.approx(seconds_of(timed, feeds), rel=0.6)
