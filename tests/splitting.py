"""Runs a model whole and in parts, and compares: what every test of an operator rule stands on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper

from swath.engine.session import disabled_optimizers
from swath.graph.build import build_graph
from swath.graph.geometry import tile_flops, tile_geometry
from swath.graph.graph import Graph
from swath.graph.load import load_onnx
from swath.graph.tile import TileModel, extract_tile
from swath.ops import Region, split_evenly

TOLERANCE = {"float16": 2e-3, "bfloat16": 1e-2}
"""Relative to the largest finite entry of the reference; 1e-5 for the types that are not here."""


@dataclass(frozen=True, slots=True)
class SplitCount:
    """Parts that were cheaper to make than the whole, and axes that no rule splits."""

    split: int = 0
    whole: int = 0

    def __add__(self, other: SplitCount) -> SplitCount:
        return SplitCount(self.split + other.split, self.whole + other.whole)


def session(model: bytes, weights: Mapping[str, np.ndarray] | None = None) -> Any:
    """An ONNX Runtime session with one thread and, given by name, external initializers."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    if weights:
        # ONNX Runtime keeps pointers: the session has to own what they point to.
        kept = {name: np.ascontiguousarray(array) for name, array in weights.items()}
        values = [onnxruntime.OrtValue.ortvalue_from_numpy(array) for array in kept.values()]
        options.add_external_initializers(list(kept), values)
    return onnxruntime.InferenceSession(
        model,
        options,
        providers=["CPUExecutionProvider"],
        disabled_optimizers=disabled_optimizers(model),
    )


def prepared(model: onnx.ModelProto) -> onnx.ModelProto:
    """Nodes get names, tensors get shapes, and Constant nodes become initializers."""
    model = onnx.ModelProto.FromString(model.SerializeToString())
    outputs = {value.name for value in model.graph.output}
    nodes = []
    for position, node in enumerate(model.graph.node):
        is_value = node.op_type == "Constant" and node.attribute[0].name == "value"
        if is_value and node.output[0] not in outputs:
            tensor = model.graph.initializer.add()
            tensor.CopyFrom(node.attribute[0].t)
            tensor.name = node.output[0]
            continue
        node.name = f"{node.op_type}_{position}"
        nodes.append(onnx.NodeProto.FromString(node.SerializeToString()))
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return onnx.shape_inference.infer_shapes(model, data_prop=True)


def with_constants(model: onnx.ModelProto, values: Mapping[str, np.ndarray]) -> onnx.ModelProto:
    """The model with some of its inputs made constants."""
    model = onnx.ModelProto.FromString(model.SerializeToString())
    inputs = [value for value in model.graph.input if value.name not in values]
    del model.graph.input[:]
    model.graph.input.extend(inputs)
    model.graph.initializer.extend(
        numpy_helper.from_array(array, name) for name, array in values.items()
    )
    return model


class TileRunner:
    """Runs tiles of a graph on nothing but the regions that they say they need.

    Tiles that are the same model with the same weights share a session.
    """

    def __init__(self, graph: Graph, feeds: Mapping[str, Any]) -> None:
        self.graph = graph
        self.feeds = feeds
        self._arrays = {
            constant.digest: constant.data
            for constant in graph.constants.values()
            if constant.data is not None and not constant.is_parameter
        }
        self._sessions: dict[Any, Any] = {}

    def run(self, tile: TileModel) -> dict[str, Any]:
        key = (tile.model, tuple(tile.weights.items()))
        if key not in self._sessions:
            weights = {
                name: self._arrays[weight.digest][weight.region.slices()]
                for name, weight in tile.weights.items()
            }
            self._sessions[key] = session(tile.model, weights)
        cut = {
            name: np.ascontiguousarray(self.feeds[name][region.slices()])
            if isinstance(self.feeds[name], np.ndarray) and region
            else self.feeds[name]
            for name, region in tile.inputs.items()
        }
        results = self._sessions[key].run(list(tile.outputs), cut)
        return dict(zip(tile.outputs, results, strict=True))


def assert_same(made: Any, expected: Any, context: str) -> None:
    """Integers and booleans alike to the bit, floats within the tolerance, NaN where NaN was."""
    if not isinstance(expected, np.ndarray):
        if isinstance(expected, list):
            assert len(made) == len(expected), context
            for a, b in zip(made, expected, strict=True):
                assert_same(a, b, context)
        else:
            assert made == expected or made is expected or (made != made), context
        return
    assert made.shape == expected.shape, f"{context}: {made.shape} is not {expected.shape}"
    assert made.dtype == expected.dtype, context
    if not np.issubdtype(expected.dtype, np.inexact):
        assert np.array_equal(made, expected), f"{context}: integers differ"
        return
    finite = np.isfinite(expected)
    assert np.array_equal(np.isnan(made), np.isnan(expected)), f"{context}: NaNs differ"
    assert np.array_equal(made[~finite], expected[~finite], equal_nan=True), (
        f"{context}: infinities differ"
    )
    if finite.any():
        reference = expected[finite].astype(np.complex128)
        difference = np.abs(made[finite].astype(np.complex128) - reference).max()
        limit = TOLERANCE.get(expected.dtype.name, 1e-5) * np.abs(reference).max()
        assert difference <= limit, f"{context}: differs by {difference} > {limit}"


def check_loaded(
    model: onnx.ModelProto, feeds: Mapping[str, np.ndarray], parts: Sequence[int] = (2, 3, 5)
) -> SplitCount:
    """As `check_split`, of the graph that `load_onnx` makes of the model."""
    return _check(load_onnx(model), model, feeds, parts)


def check_split(
    model: onnx.ModelProto,
    feeds: Mapping[str, Any],
    parts: Sequence[int] = (2, 3, 5),
    boxes: int = 2,
    seed: int = 0,
) -> SplitCount:
    """Compare a model run whole with the same run in parts.

    Every output is split along every axis into ``parts``; ``boxes`` random boxes are made besides.
    Each piece is one tile of all nodes, fed only with the input regions that it needs.
    """
    return _check(build_graph(prepared(model)), model, feeds, parts, boxes, seed)


def _check(
    graph: Graph,
    model: onnx.ModelProto,
    feeds: Mapping[str, Any],
    parts: Sequence[int],
    boxes: int = 2,
    seed: int = 0,
) -> SplitCount:
    names = list(graph.outputs)
    reference = session(model.SerializeToString()).run(names, dict(feeds))
    runner = TileRunner(graph, feeds)
    count = SplitCount()
    random = np.random.default_rng(seed)
    for name, expected in zip(names, reference, strict=True):
        tensor = graph.tensors[name]
        whole = tensor.whole
        if tensor.shape is not None:
            assert tensor.shape == expected.shape, f"{name}: inferred shape is wrong"
        _compare(runner, name, whole, expected)
        for axis, extent in enumerate(whole.shape):
            if extent < 2:
                continue
            pieces = dict.fromkeys(
                interval
                for number in parts
                for interval in split_evenly(extent, number)
                if interval[0] < interval[1]
            )
            regions = [whole.replace(axis, piece) for piece in pieces]
            cheaper = sum(_is_cheaper(graph, name, region) for region in regions)
            # Where nothing is gained, every piece is the whole tile and a crop: one is enough.
            for region in regions if cheaper else regions[:1]:
                _compare(runner, name, region, expected)
            count += SplitCount(split=cheaper) if cheaper else SplitCount(whole=1)
        for box in _random_boxes(whole, boxes, random):
            _compare(runner, name, box, expected)
    return count


def _random_boxes(whole: Region, count: int, random: np.random.Generator) -> Iterator[Region]:
    if whole.size < 2:
        return
    for _ in range(count):
        bounds = (sorted(random.choice(extent + 1, 2, replace=False)) for _, extent in whole)
        yield Region((int(lo), int(hi)) for lo, hi in bounds)


def _is_cheaper(graph: Graph, name: str, region: Region) -> bool:
    """Whether making a part takes fewer operations, or less of an input, than making all."""
    nodes = range(len(graph.nodes))
    part = tile_geometry(graph, nodes, {name: region})
    everything = tile_geometry(graph, nodes, {name: graph.tensors[name].whole})
    return tile_flops(graph, part) < tile_flops(graph, everything) or any(
        each not in part.needs or part.needs[each].size < region.size
        for each, region in everything.needs.items()
    )


def _compare(runner: TileRunner, name: str, region: Region, expected: Any) -> None:
    graph = runner.graph
    geometry = tile_geometry(graph, range(len(graph.nodes)), {name: region})
    for position, demand in geometry.demands.items():
        again = graph.rules[position].demand(graph.operators[position], demand.outputs)
        assert again == demand, f"{graph.nodes[position].type}: asked for what it makes, makes more"
    tile = extract_tile(graph, range(len(graph.nodes)), {name: region})
    made = runner.run(tile)[name]
    context = f"{graph.name}: {name}{region} from {dict(tile.inputs)}"
    assert_same(made, expected[region.slices()] if region else expected, context)


def node_model(
    op_type: str,
    inputs: Sequence[np.ndarray | None],
    attributes: Mapping[str, Any] | None = None,
    *,
    variable: Sequence[int] = (0,),
    outputs: int = 1,
    opset: int = 17,
    domain: str = "",
) -> tuple[onnx.ModelProto, dict[str, np.ndarray]]:
    """A model of one node, and what to feed it. Inputs that are not ``variable`` are constants."""
    names = [f"x{index}" if array is not None else "" for index, array in enumerate(inputs)]
    made = [f"y{index}" for index in range(outputs)]
    node = helper.make_node(op_type, names, made, domain=domain, **(attributes or {}))
    arrays = {name: array for name, array in zip(names, inputs, strict=True) if array is not None}
    feeds = {f"x{index}": arrays[f"x{index}"] for index in variable if f"x{index}" in arrays}
    imports = [helper.make_opsetid("", opset)]
    if domain:
        imports.append(helper.make_opsetid(domain, 1))
    model = helper.make_model(
        helper.make_graph(
            [node],
            op_type,
            [_value(name, array) for name, array in feeds.items()],
            [onnx.ValueInfoProto(name=name) for name in made],
            [numpy_helper.from_array(a, name) for name, a in arrays.items() if name not in feeds],
        ),
        opset_imports=imports,
        ir_version=10,
    )
    # ONNX Runtime tells the outputs' shapes, also of operators that ONNX does not know.
    results = session(model.SerializeToString()).run(None, feeds)
    del model.graph.output[:]
    model.graph.output.extend(map(_value, made, results))
    return model, feeds


def _value(name: str, array: np.ndarray) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(
        name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape
    )


def check_node(
    op_type: str,
    inputs: Sequence[np.ndarray | None],
    attributes: Mapping[str, Any] | None = None,
    **options: Any,
) -> SplitCount:
    """`check_split` of a model of one node; the options are those of `node_model`."""
    model, feeds = node_model(op_type, inputs, attributes, **options)
    return check_split(model, feeds)
