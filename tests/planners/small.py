"""Small instances, seeded: the networks and clusters on which planners meet brute force."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import onnx
from onnx import helper

from swath.cluster import Cluster, Device, Link, Watts
from swath.cluster.cluster import Network
from swath.cost import nominal_costs
from swath.graph.graph import Graph
from swath.graph.load import load_onnx
from swath.planners import Problem
from swath.planners.methods.brute_force import BruteForce
from tests.tiles import make_model

MOST_PLANS = 3600
"""That brute force has to try for an instance."""

SPACES: tuple[Mapping[str, Any], ...] = (
    {"steps": 4, "modes": "rows,cols,channels"},
    {"steps": 3, "modes": "rows,cols,channels"},
    {"steps": 4, "modes": "rows,channels"},
    {"steps": 3, "modes": "rows,channels"},
    {"steps": 2, "modes": "rows,channels"},
    {"steps": 3, "modes": "rows"},
    {"steps": 2, "modes": "rows"},
)
"""Options of brute force."""


HEAD = 3
"""Layers of what ends in a fully connected one: pool, flattening, product."""


@dataclass(frozen=True)
class Instance:
    """A problem, its graph with weights, and the options with which brute force has few enough
    plans."""

    name: str
    graph: Graph
    problem: Problem
    options: Mapping[str, Any]


def instances(count: int = 120) -> Iterator[Instance]:
    """So many instances, always the same ones: chains and small DAGs of two to six layers on one to
    three devices, equal or uneven, in a switched, a shared and a star network, slow to fast."""
    seed = made = 0
    while made < count:
        instance = _instance(seed)
        seed += 1
        if instance is not None:
            made += 1
            yield instance


def _instance(seed: int) -> Instance | None:
    """With the largest space that is not too large; None where all are."""
    rng = np.random.default_rng(seed)
    devices = int(rng.choice([1, 2, 2, 2, 2, 2, 3, 3, 3, 3]))
    layers = int(rng.integers(2, {1: 7, 2: 6, 3: 4}[devices]))
    graph = load_onnx(_model(rng, layers))
    cluster = _cluster(rng, devices)
    problem = Problem(graph, nominal_costs(cluster))
    counts = [BruteForce(**options).count(problem) for options in SPACES]
    feasible = [count for count in counts if count <= MOST_PLANS]
    if not feasible:
        return None
    name = f"{seed}: {layers} layers, {devices} devices, {cluster.network}"
    return Instance(name, graph, problem, SPACES[counts.index(max(feasible))])


def _cluster(rng: np.random.Generator, devices: int) -> Cluster:
    even = rng.random() < 0.3
    speeds = [float(speed) for speed in np.exp(rng.uniform(0.0, np.log(20), devices))]
    watts = Watts(idle=2.0, busy=6.0)
    workers = [
        Device(f"d{place}", gflops=speeds[0] if even else speed, watts=watts)
        for place, speed in enumerate(speeds)
    ]
    source = workers[int(rng.integers(devices))].name
    if rng.random() < 0.15:
        source = "eye"
        workers.append(Device("eye", compute=False, watts=watts))
    network = cast(Network, str(rng.choice(["switch", "switch", "shared", "star"])))
    names = [worker.name for worker in workers]
    links = {}
    if rng.random() < 0.3:
        for sender, receiver in [(one, other) for one in names for other in names if one != other]:
            if rng.random() < 0.5:
                links[sender, receiver] = _link(rng)
    return Cluster(
        tuple(workers),
        source,
        network,
        _link(rng),
        links,
        names[int(rng.integers(len(names)))] if network == "star" else None,
    )


def _link(rng: np.random.Generator) -> Link:
    mbit = float(rng.choice([50, 100, 300, 1000, 10000]))
    return Link(mbit * 125e3, float(rng.choice([1e-4, 1e-4, 1e-3])))


@dataclass
class _Builder:
    """Grows a network; ``name`` is its newest map."""

    rng: np.random.Generator
    channels: int
    side: int
    name: str = "x"
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: dict[str, np.ndarray] = field(default_factory=dict)

    def add(self, kind: str, *inputs: str, **attributes: Any) -> str:
        name = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [name], f"{kind}{name}", **attributes))
        self.name = name
        return name

    def weight(self, *shape: int) -> str:
        name = f"w{len(self.constants)}"
        scale = np.float32(1 / np.sqrt(np.prod(shape[1:])))
        self.constants[name] = self.rng.standard_normal(shape, np.float32) * scale
        return name

    def convolution(self, read: str, channels: int, kernel: int, stride: int = 1) -> str:
        weight = self.weight(channels, self.channels, kernel, kernel)
        made = self.add(
            "Conv", read, weight, pads=[kernel // 2] * 4, strides=[stride, stride]
        )  # fmt: skip
        return self.add("Relu", made)


def _model(rng: np.random.Generator, layers: int) -> onnx.ModelProto:
    """Convolutions, some strided, with pools, shortcuts and branches between, and perhaps a fully
    connected layer at the end."""
    side, channels = int(rng.choice([24, 32, 48])), int(rng.choice([16, 48, 96]))
    builder = _Builder(rng, channels, side)
    feeds = {"x": np.zeros((1, channels, side, side), np.float32)}
    has_head = layers > 3 and rng.random() < 0.4
    left = layers - HEAD if has_head else layers
    while left > 0:
        kind = str(rng.choice(["conv", "conv", "strided", "pool", "shortcut", "branches"]))
        read, kernel = builder.name, int(rng.choice([1, 3, 3, 5]))
        if kind == "pool" and builder.nodes:
            builder.add("MaxPool", read, kernel_shape=[2, 2], strides=[2, 2])
            builder.side //= 2
        elif kind == "shortcut":
            builder.add("Add", builder.convolution(read, builder.channels, kernel), read)
        elif kind == "branches" and left >= 3:
            made = [builder.convolution(read, builder.channels, size) for size in (1, 3)]
            builder.add("Concat", *made, axis=1)
            builder.channels *= 2
            left -= 2
        else:
            stride = 2 if kind == "strided" else 1
            made_channels = int(rng.choice([32, 64, 128]))
            builder.convolution(read, made_channels, kernel, stride)
            builder.channels, builder.side = made_channels, -(-builder.side // stride)
        left -= 1
    if has_head:
        small = builder.add("MaxPool", builder.name, kernel_shape=[4, 4], strides=[4, 4])
        features = builder.channels * (builder.side // 4) ** 2
        weight = builder.weight(int(rng.choice([10, 256])), features)
        builder.add("Gemm", builder.add("Flatten", small), weight, transB=1)
    return make_model(builder.nodes, feeds, builder.constants)
