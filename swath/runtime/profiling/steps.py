"""What a tile and a request cost besides operators and messages: the same network as one tile and
as many, run for real, with weights enough to leave nothing else in a core's own cache."""

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
from swath.runtime.coordinator import Coordinator
from swath.runtime.deployment import Deployment
from swath.runtime.profiling.asking import Exchanged
from swath.runtime.profiling.echo import PAUSE
from swath.runtime.profiling.layers import INPUT, Layers

TILES = 24
REQUESTS = 40
WARM_UP = 5
FEATURES = 256
"""Of every layer: its weights are a quarter of a megabyte."""


def tile_and_request(
    coordinator: Coordinator, device: str, messages: Exchanged
) -> tuple[float, float]:
    """(seconds of the clock of a tile on the device, CPU seconds of a request here).

    ``messages``: between this process and the device; theirs is not counted.
    """
    inputs = {INPUT: np.zeros((1, FEATURES), np.float32)}
    graph = _graph()
    with (
        _deployed(coordinator, graph, _plan(graph, device, len(graph.nodes))) as one,
        _deployed(coordinator, graph, _plan(graph, device, 1)) as many,
    ):
        short, long, spent = [], [], []
        for turn in range(WARM_UP + REQUESTS):
            time.sleep(PAUSE)  # As between the messages whose time is taken off below.
            before = time.process_time()
            _, seconds = one.timed(inputs)
            after = time.process_time()
            time.sleep(PAUSE)
            _, more_seconds = many.timed(inputs)
            if turn >= WARM_UP:
                short.append(seconds)
                long.append(more_seconds)
                spent.append(after - before)
    tile = (statistics.median(long) - statistics.median(short)) / (TILES - 1)
    ends = sum(statistics.median(messages.asking[side, 0]) for side in ("send", "receive"))
    return max(0.0, tile), max(0.0, statistics.median(spent) - ends)


@contextmanager
def _deployed(coordinator: Coordinator, graph: Graph, plan: Plan) -> Iterator[Deployment]:
    deployment = coordinator.install(compile_plan(plan), graph)
    try:
        yield deployment
    finally:
        coordinator.drop(deployment.programs)


def _graph() -> Graph:
    layers = Layers(1, FEATURES)
    value = layers.input
    for _ in range(TILES):
        value = layers.linear(value, FEATURES)
    return layers.graph()


def _plan(graph: Graph, device: str, length: int) -> Plan:
    """Stages of so many nodes each, all on the device."""
    groups = [graph.nodes[first : first + length] for first in range(0, len(graph.nodes), length)]
    return Plan(
        planner="profiling",
        model=graph.digest,
        graph=weightless(graph),
        devices=(PlanDevice(device),),
        source=device,
        stages=tuple(Stage(group[0].name, tuple(node.name for node in group)) for group in groups),
        tiles=tuple(
            Tile(
                device,
                group[0].name,
                {name: graph.tensors[name].whole for name in group[-1].outputs},
            )
            for group in groups
        ),
    )
