"""What a tile and a request cost besides operators and messages: plans that compute next to
nothing, run for real."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from swath.graph.codec import weightless
from swath.graph.graph import Graph
from swath.plan.compile import compile_plan
from swath.plan.plan import Plan, PlanDevice, Stage, Tile
from swath.runtime.coordinator import Coordinator, Deployment
from swath.runtime.profiling.asking import Exchanged
from swath.runtime.profiling.layers import INPUT, Layers

TILES = 24
REQUESTS = 40
WARM_UP = 5
SIDE = 4


def tile_and_request(
    coordinator: Coordinator, device: str, messages: Exchanged
) -> tuple[float, float]:
    """(seconds of the clock of a tile on the device, CPU seconds of a request here).

    ``messages``: between this process and the device; theirs is not counted.
    """
    inputs = {INPUT: np.zeros((1, 1, SIDE, SIDE), np.float32)}
    with _deployed(coordinator, device, 1) as one, _deployed(coordinator, device, TILES) as many:
        short, long, spent = [], [], []
        for turn in range(WARM_UP + REQUESTS):
            before = time.process_time()
            _, seconds = one.timed(inputs)
            after = time.process_time()
            _, more_seconds = many.timed(inputs)
            if turn >= WARM_UP:
                short.append(seconds)
                long.append(more_seconds)
                spent.append(after - before)
    tile = (statistics.median(long) - statistics.median(short)) / (TILES - 1)
    ends = sum(statistics.median(messages.asking[side, 0]) for side in ("send", "receive"))
    return max(0.0, tile), max(0.0, statistics.median(spent) - ends)


@contextmanager
def _deployed(coordinator: Coordinator, device: str, tiles: int) -> Iterator[Deployment]:
    graph = _graph(tiles)
    deployment = coordinator.install(compile_plan(_plan(graph, device)), graph)
    try:
        yield deployment
    finally:
        coordinator.drop(deployment.programs)


def _graph(tiles: int) -> Graph:
    layers = Layers(1, 1, SIDE, SIDE)
    value = layers.input
    for _ in range(tiles):
        value = layers.same("HardSigmoid", value)
    return layers.graph()


def _plan(graph: Graph, device: str) -> Plan:
    """Every node is a stage of its own, all on the device."""
    return Plan(
        planner="profiling",
        model=graph.digest,
        graph=weightless(graph),
        devices=(PlanDevice(device),),
        source=device,
        stages=tuple(Stage(node.name, (node.name,)) for node in graph.nodes),
        tiles=tuple(
            Tile(device, node.name, {name: graph.tensors[name].whole for name in node.outputs})
            for node in graph.nodes
        ),
    )
