"""Kernels are timed inside tiles as workers run them, and each is told for what it computes."""

from __future__ import annotations

import time
from collections import Counter
from itertools import count

import pytest

from swath.cost.features import FAMILIES, NEAR
from swath.engine.session import BoundSession
from swath.graph.geometry import tile_flops, tile_geometry
from swath.graph.tile import extract_tile
from swath.runtime.profiling import samples
from swath.runtime.profiling.chains import CHAINS, draw_chain
from swath.runtime.profiling.effort import FULL, QUICK
from swath.runtime.profiling.kernels import COLD_RUNS, Kernel, Timed, copy_seconds_per_byte, typical
from swath.runtime.profiling.layers import Layers
from swath.runtime.profiling.samples import timings
from swath.runtime.profiling.tiles import TimedTile, draw_tile, sweeps, whole_tile

EVERY = frozenset(FAMILIES)
BY_THE_ENGINE = {"blocking", "unblocking"}
"""Families that no operator of a model belongs to."""


def tile_of(layers: Layers) -> TimedTile:
    return whole_tile(layers.graph())


def kernels(tile: TimedTile, seconds: float) -> list[Kernel]:
    return Timed(tile.model.model, **tile.shapes, threads=1).kernels(seconds, swept=1 << 20)


def test_neither_an_interruption_nor_cold_caches_make_a_model_slower(monkeypatch):
    layers = Layers(1, 16, 14, 14)
    layers.conv(layers.input, 16, 3)
    tile = tile_of(layers)
    whole = Timed(tile.model.model, **tile.shapes, threads=1).whole()
    usual = whole.typical(0.02)
    run = BoundSession.run

    def disturbed(waiting, *times):
        runs = count()

        def slow(self):
            run(self)
            if next(runs) in times:
                waiting(0.02)

        return slow

    def busy(seconds):
        end = time.thread_time() + seconds
        while time.thread_time() < end:
            pass

    monkeypatch.setattr(BoundSession, "run", disturbed(time.sleep, COLD_RUNS + 1))
    assert whole.typical(0.02) < 20 * usual < 0.02
    monkeypatch.setattr(BoundSession, "run", disturbed(busy, *range(COLD_RUNS)))
    assert whole.typical(0.0) < 20 * usual


def test_a_fused_kernel_is_its_convolution_s_unless_it_does_more_than_that():
    layers = Layers(1, 32, 28, 28)
    value = layers.same("Relu", layers.conv(layers.input, 32, 3))
    inner = layers.same("Relu", layers.conv(value, 32, 3))
    value = layers.same("Relu", layers.same("Add", layers.conv(inner, 32, 3), value))
    value = layers.flatten(layers.global_pool(value))
    layers.same("Relu", layers.linear(value, 256))
    tile = tile_of(layers)
    found = timings(tile, kernels(tile, 0.02))
    kinds = Counter(timing.family for timing in found)
    assert kinds["convolution"] == 1, "two alike are one; the one that adds a map is not only that"
    assert not kinds["elementwise"]
    convolutions = [timing for timing in found if timing.family == "convolution"]
    for timing in convolutions:
        assert timing.features.flops == pytest.approx(2 * 32 * 32 * 9 * 28 * 28, rel=0.05)
        assert timing.features.kernel == 9
        assert timing.shape == "Conv 3x3 from 32x28x28 to 32x28x28"


def test_a_depthwise_convolution_is_a_family_of_its_own():
    layers = Layers(1, 64, 56, 56)
    layers.same("Relu", layers.depthwise(layers.input, 3))
    tile = tile_of(layers)
    kinds = {timing.family for timing in timings(tile, kernels(tile, 0.02))}
    assert "depthwise" in kinds
    assert "convolution" not in kinds


def test_kernels_of_one_node_are_added_up_and_strangers_left_out():
    layers = Layers(1, 8, 8, 8)
    layers.pool(layers.input, 3, 1)
    tile = tile_of(layers)
    name = tile.graph.nodes[0].name
    found = [
        Kernel("first", "MaxPool", (1, 8, 8, 8), 1.0),
        Kernel(f"{name}#0", "MaxPool", (1, 8, 8, 8), 3e-5),
        Kernel(f"{name}#1", "Slice", (1, 8, 8, 8), 1e-5),
        Kernel("something else", "Slice", (1, 8, 8, 8), 1e-5),
        Kernel("ReorderInput", "ReorderInput", (1, 8, 8, 8), samples.SHORTEST / 2),
    ]
    (only,) = timings(tile, found)
    assert (only.family, only.seconds) == ("plain-max-pooling", pytest.approx(4e-5))


def test_the_first_networks_cover_every_family_within_their_bounds():
    tiles = [draw_tile(number, QUICK.most_flops) for number in range(QUICK.tiles)]
    seen = {
        samples.family(tile.graph.operators[position])
        for tile in tiles
        for position in tile.geometry.demands
    }
    assert set(FAMILIES) - BY_THE_ENGINE <= seen
    batches = {tile.graph.tensors[tile.graph.inputs[0]].shape[0] for tile in tiles}
    assert {1, 2} < batches, "what reads weights once for several pictures is seen too"
    small = [t for t in tiles if tile_flops(t.graph, t.geometry) <= QUICK.most_flops]
    assert len(small) >= 0.9 * len(tiles)
    assert draw_tile(7, 1e9).model.model == draw_tile(7, 1e9).model.model


def test_chains_compute_and_move():
    """What is loaded by other work may be either."""
    seen = set()
    for name in CHAINS:
        tile = draw_chain(name)
        seen |= {samples.family(tile.graph.operators[p]) for p in tile.geometry.demands}
    assert {"convolution", "pointwise", "depthwise", "dense", "elementwise", "joining"} <= seen
    assert set(QUICK.chains) < set(FULL.chains) == set(CHAINS)


def test_a_slab_costs_less_than_the_whole():
    layers = Layers(1, 64, 56, 56)
    layers.conv(layers.input, 64, 3)
    whole = tile_of(layers)
    graph = whole.graph
    rows = {graph.outputs[0]: graph.tensors[graph.outputs[0]].whole.replace(2, (20, 27))}
    nodes = range(len(graph.nodes))
    geometry = tile_geometry(graph, nodes, rows)
    slab = TimedTile(graph, geometry, extract_tile(graph, nodes, rows), EVERY)
    seconds = [
        sum(t.seconds for t in timings(tile, kernels(tile, 0.05)) if t.features.flops)
        for tile in (slab, whole)
    ]
    assert 0 < seconds[0] < seconds[1]


def test_what_is_near_the_median_counts():
    assert typical([10.0, 11.0, 9.0, 10.0, 50.0, 1.0, 10.0], grain=0.1) == pytest.approx(10.0)
    assert typical([2e-6, 3e-6, 3e-6, 9e-6], grain=1.1e-6) == pytest.approx(8e-6 / 3)
    assert typical([5.0], grain=0.1) == 5.0
    assert typical([1.0, 1.0, 9.0, 9.0], grain=0.1) == 1.0, "the median need not be among them"


def test_weights_are_met_near_and_far():
    """A tile with many weights is timed at several distances, and knows them."""
    tiles = {number: draw_tile(number, QUICK.most_flops) for number in range(0, 60, 3)}
    swept = {number: sweeps(number, tile) for number, tile in tiles.items()}
    assert {NEAR} < {bytes for found in swept.values() for bytes in found}
    for number, tile in tiles.items():
        assert swept[number][0] == NEAR
        assert tile.away(NEAR) == NEAR + 2 * tile.weights


def test_copying_takes_time():
    assert 1e-12 < copy_seconds_per_byte() < 1e-7
