"""What a tile's session is said to run is what ONNX Runtime's own profile says it runs."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
from onnx import helper

import swath
from swath.cost.features import FREE, family
from swath.cost.kernels import IN_PLACE, ONE_OF_THREE, cuts_of, work_of
from swath.engine.session import session_options
from swath.graph.build import build_graph
from swath.graph.geometry import handed_on, tile_geometry
from swath.graph.graph import Graph
from swath.graph.tile import extract_tile
from swath.ops import Region, split_evenly
from tests.tiles import make_model

CHANNELS = 16


def graph_of(*nodes: tuple[str, list[str], str], outputs: list[str] | None = None) -> Graph:
    """Of operators on maps of one shape; ``w`` is a 1 x 1 filter."""
    shape = (1, CHANNELS, 8, 8)
    model = make_model(
        [helper.make_node(kind, inputs, [output]) for kind, inputs, output in nodes],
        {"x": np.zeros(shape, np.float32), "y": np.zeros(shape, np.float32)},
        {"w": np.ones((CHANNELS, CHANNELS, 1, 1), np.float32)},
        outputs=outputs,
    )
    return build_graph(model)


CONV = ("Conv", ["x", "w"], "a")
OTHER = ("Conv", ["y", "w"], "b")
CASES = {
    "a relu is free": (graph_of(CONV, ("Relu", ["a"], "r")), {1: 0.0}, ["x", "r"]),
    "another activation is a pass": (
        graph_of(CONV, ("Sigmoid", ["a"], "s")),
        {1: IN_PLACE},
        ["x", "s"],
    ),
    "two readers keep it apart": (
        graph_of(CONV, ("Relu", ["a"], "r"), ("Sigmoid", ["a"], "s"), outputs=["r", "s"]),
        {},
        ["x", "r", "s"],
    ),
    "a sum of blocked maps is one more to read": (
        graph_of(CONV, OTHER, ("Add", ["a", "b"], "s"), ("Relu", ["s"], "r")),
        {2: ONE_OF_THREE, 3: 0.0},
        ["x", "y", "r"],
    ),
    "a sum with a map from outside is its own": (
        graph_of(CONV, ("Add", ["a", "y"], "s")),
        {},
        ["x", "a"],
    ),
    "an activation ends it": (
        graph_of(CONV, OTHER, ("Relu", ["a"], "r"), ("Relu", ["b"], "q"), ("Add", ["r", "q"], "s")),
        {2: 0.0, 3: 0.0},
        ["x", "y", "s"],
    ),
    "a SiLU is one kernel": (
        graph_of(CONV, ("Sigmoid", ["a"], "s"), ("Mul", ["a", "s"], "m")),
        {2: 0.0},
        ["x", "m"],
    ),
}


@pytest.mark.parametrize(("graph", "shares", "reordered"), CASES.values(), ids=CASES)
def test_what_is_fused_and_what_is_reordered(
    graph: Graph, shares: dict[int, float], reordered: list[str]
) -> None:
    work = work_of(graph, range(len(graph.nodes)))
    assert work.shares == shares
    assert [*work.entering, *work.leaving] == reordered


def middle(graph: Graph, nodes: list[int], parts: int) -> dict[str, Region]:
    """The outputs of the tile in the middle, when rows are cut into so many parts."""
    outputs = {}
    for name in handed_on(graph, nodes):
        whole = graph.tensors[name].whole
        rows = split_evenly(whole[2][1], parts)[parts // 2] if len(whole) == 4 else None
        outputs[name] = whole.replace(2, rows) if rows else whole
    return outputs


def profiled(
    graph: Graph, nodes: list[int], outputs: dict[str, Region], folder: Path
) -> Counter[str]:
    """How many kernels and reorderings ONNX Runtime runs of a tile."""
    tile = extract_tile(graph, nodes, outputs)
    options = session_options()
    options.enable_profiling = True
    options.profile_file_prefix = str(folder / "profile")
    weights = {
        name: ort.OrtValue.ortvalue_from_numpy(
            np.ascontiguousarray(graph.weights[part.digest][part.region.slices()])
        )
        for name, part in tile.weights.items()
    }
    options.add_external_initializers(list(weights), list(weights.values()))
    session = ort.InferenceSession(tile.model, options, providers=["CPUExecutionProvider"])
    session.run(None, {v.name: np.zeros(v.shape, np.float32) for v in session.get_inputs()})
    events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    found = [event["args"]["op_name"] for event in events if event.get("cat") == "Node"]
    return Counter(
        "reordering" if name.startswith("Reorder") else "kernel"
        for name in found
        if name not in ("Reshape", "Flatten")
    )


@pytest.mark.parametrize(
    ("model", "first", "last", "parts"),
    [
        ("vgg16@64x64", 0, 31, 1),
        ("vgg16@64x64", 4, 20, 2),
        ("resnet18@64x64", 2, 30, 1),
        ("resnet18@64x64", 2, 8, 3),
        ("mobilenet_v2@64x64", 18, 38, 3),
        ("googlenet@64x64", 0, 60, 1),
        ("mobilenet_v2@64x64", 0, 60, 1),
        ("efficientnet_b0@64x64", 0, 40, 1),
        ("densenet121@64x64", 0, 40, 1),
    ],
)
def test_the_engine_agrees(model: str, first: int, last: int, parts: int, tmp_path: Path) -> None:
    graph = swath.load(f"zoo:{model}")
    nodes = list(range(first, last))
    outputs = middle(graph, nodes, parts)
    geometry = tile_geometry(graph, nodes, outputs)
    cuts = cuts_of(graph, geometry)
    work = work_of(graph, list(geometry.demands), cuts)
    real = profiled(graph, nodes, outputs, tmp_path)
    if not real["reordering"]:
        pytest.skip("this processor's kernels do not work on blocks of channels")
    assert real["reordering"] == len(work.entering) + len(work.leaving)
    assert real["kernel"] == len(cuts) + sum(
        position not in work.shares and family(graph.operators[position]) != FREE
        for position in geometry.demands
    )
