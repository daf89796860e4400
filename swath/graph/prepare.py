"""From what a user hands in to a model that a `Graph` is built from.

Dimensions are bound, shapes inferred, constants and batch norms folded, and versions are brought
to what ONNX Runtime takes. Everything happens on the model without its weights (see `Skeleton`),
so that it takes milliseconds whatever the model weighs.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from functools import cache
from graphlib import CycleError, TopologicalSorter

import onnx
import onnxruntime
from onnx import TensorProto, TypeProto, helper

from swath.errors import ModelError
from swath.graph.batch_norm import fold_batch_norms
from swath.graph.fold import (
    bodies,
    drop_identities,
    drop_unused,
    fold_constants,
    lift_constants,
    names_inside,
    replace_nodes,
    session,
    static_shape,
)
from swath.graph.kernel_shapes import check_windows, doubted_types, lighten_with
from swath.graph.read import Skeleton, lighten, read, read_skeleton, relight

__all__ = ["Skeleton", "load", "prepare", "read", "runtime_limits"]

logger = logging.getLogger(__name__)

OLDEST_OPSET = 9
OLDEST_IR = 8
"""Files may be older; since IR 4 initializers need not be inputs, since IR 8 functions exist."""


def load(
    model: str | os.PathLike[str] | bytes | onnx.ModelProto,
    dimensions: Mapping[str, int] | None = None,
) -> Skeleton:
    """The prepared model with its weights as arrays: as `prepare`, without a second copy of them.

    ``dimensions`` binds free dimensions of the inputs, by their symbolic name (``batch``) or by
    input and axis (``x:0``). Raises ModelError.
    """
    return prepare_skeleton(read_skeleton(model), dimensions or {})


def prepare(model: onnx.ModelProto, dimensions: Mapping[str, int] | None = None) -> onnx.ModelProto:
    """A model that computes the same, clean enough to be split; ``model`` stays as it is.

    - Its inputs have static shapes, and so has every tensor whose shape does not depend on values.
    - Constant nodes, arithmetic on constants and on shapes, Identity and Dropout are gone, and so
      is BatchNormalization after Conv, ConvTranspose and Gemm.
    - Nodes are sorted, named uniquely, and all needed for an output.
    - There are no functions, and initializers are never inputs.
    - An output may still be an input, an initializer, or given twice.

    Raises ModelError where a dimension stays free or ONNX Runtime does not take the model.
    """
    return load(model, dimensions).whole()


@cache
def runtime_limits() -> tuple[int, int]:
    """The newest opset and IR version that the installed ONNX Runtime takes (it does not tell)."""
    newest = onnx.defs.onnx_opset_version()
    opset = next(o for o in range(newest, 0, -1) if _is_taken(o, OLDEST_IR))
    ir_version = next(i for i in range(onnx.IR_VERSION, 0, -1) if _is_taken(OLDEST_OPSET, i))
    return opset, ir_version


def _is_taken(opset: int, ir_version: int) -> bool:
    value = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])]
    probe = helper.make_model(
        helper.make_graph([], "probe", value, value),
        opset_imports=[helper.make_opsetid("", opset)],
        ir_version=ir_version,
    )
    return _refusal(probe) is None


def _refusal(model: onnx.ModelProto) -> str | None:
    """Why ONNX Runtime does not take a model, in one line."""
    try:
        session(model)
    except Exception as error:  # ONNX Runtime's have no common class
        return " ".join(str(error).split())
    return None


def prepare_skeleton(skeleton: Skeleton, dimensions: Mapping[str, int]) -> Skeleton:
    """As `load`, of a model that has been read; ``skeleton`` is used up."""
    _tidy_domains(skeleton.proto)
    lift_constants(skeleton)
    skeleton = _without_functions(skeleton)
    skeleton = _at_supported_versions(skeleton)
    _bind(skeleton.proto, dimensions)
    _sort(skeleton.proto.graph)
    _name_nodes(skeleton.proto.graph)
    plain = Skeleton(onnx.ModelProto.FromString(skeleton.proto.SerializeToString()))
    plain.weights.update(skeleton.weights)
    try:
        _finish(skeleton, _fold(skeleton))
        refusal = _refused(skeleton)
    except ModelError:
        raise
    except Exception as error:
        refusal = f"{type(error).__name__}: {error}"
    if refusal is not None:
        logger.debug("used unfolded, because folding failed: %s", refusal)
        skeleton = plain
        _finish(skeleton, _infer(skeleton, {})[0])
        refusal = _refused(skeleton)
        if refusal is not None:
            raise ModelError(f"ONNX Runtime does not take the model: {refusal}")
    fold_batch_norms(skeleton)
    drop_unused(skeleton)
    _drop_stale_types(skeleton.proto.graph)
    return skeleton


def _refused(skeleton: Skeleton) -> str | None:
    refusal = _refusal(lighten(skeleton))
    # Some kernels want their large weights to be constants.
    return None if refusal is None else _refusal(skeleton.whole())


def _fold(skeleton: Skeleton) -> dict[str, TypeProto]:
    """Folds until nothing more can be folded; returns the types of all values then."""
    failed: set[str] = set()
    hints: dict[str, TypeProto] = {}
    while True:
        drop_identities(skeleton)
        drop_unused(skeleton)
        types, settled = _infer(skeleton, hints)
        if fold_constants(skeleton, types, failed):
            continue
        learnt = _ask_runtime(skeleton, types, settled)
        if learnt.keys() <= hints.keys():
            return types | hints | settled
        hints |= learnt


def _infer(
    skeleton: Skeleton, hints: Mapping[str, TypeProto]
) -> tuple[dict[str, TypeProto], dict[str, TypeProto]]:
    """The type of every value, as far as it can be told, and those among them that ONNX is not
    trusted with. ``hints``: what is known already. Raises ModelError."""
    settled: dict[str, TypeProto] = {}
    while True:
        types = _inferred(lighten_with(skeleton, settled), hints) | settled
        # A shape that was wrong before may have misled those behind it.
        settled = doubted_types(skeleton, types)
        if all(types[name] == value_type for name, value_type in settled.items()):
            check_windows(skeleton, types)
            return types, settled


def _inferred(light: onnx.ModelProto, hints: Mapping[str, TypeProto]) -> dict[str, TypeProto]:
    light.graph.value_info.extend(
        onnx.ValueInfoProto(name=name, type=value_type) for name, value_type in hints.items()
    )
    try:
        light = onnx.shape_inference.infer_shapes(light, data_prop=True)
    except Exception as error:
        logger.debug("shapes were not inferred: %s", error)
    graph = light.graph
    return {value.name: value.type for value in (*graph.value_info, *graph.output, *graph.input)}


def _ask_runtime(
    skeleton: Skeleton, types: Mapping[str, TypeProto], settled: Mapping[str, TypeProto]
) -> dict[str, TypeProto]:
    """What ONNX Runtime knows of shapes that ONNX cannot infer, of its own operators above all.
    (It infers as ONNX does, so it is not asked for what is ``settled``.)"""
    graph = skeleton.proto.graph
    unknown = [
        name
        for node in graph.node
        for name in node.output
        if name
        and name not in settled
        and static_shape(types.get(name)) is None
        and (name not in types or types[name].WhichOneof("value") in (None, "tensor_type"))
    ]
    if not unknown:
        return {}
    light = lighten_with(skeleton, settled)
    del light.graph.output[:]
    light.graph.output.extend(onnx.ValueInfoProto(name=name) for name in unknown)
    try:
        outputs = session(light).get_outputs()
    except Exception as error:
        logger.debug("ONNX Runtime was not asked for shapes: %s", error)
        return {}
    learnt = {}
    for output in outputs:
        element = _ELEMENTS.get(output.type)
        # It gives [] for a scalar as well as for an unknown shape.
        if element is not None and output.shape and all(isinstance(n, int) for n in output.shape):
            learnt[output.name] = helper.make_tensor_type_proto(element, output.shape)
    return learnt


_NAMED_TYPES = "double float float16 bfloat16 bool string"
_NAMED_INTEGERS = "int8 int16 int32 int64 uint8 uint16 uint32 uint64"
_ELEMENTS = {
    f"tensor({name})": TensorProto.DataType.Value(name.upper())
    for name in f"{_NAMED_TYPES} {_NAMED_INTEGERS}".split()
}


def _finish(skeleton: Skeleton, types: Mapping[str, TypeProto]) -> None:
    """Writes down the types and gives every node a name of its own."""
    graph = skeleton.proto.graph
    del graph.value_info[:]
    ends = {value.name for value in (*graph.input, *graph.output)} | set(skeleton.weights)
    for node in graph.node:
        for name in node.output:
            if name and name not in ends and name in types:
                graph.value_info.add(name=name).type.CopyFrom(types[name])
    for value in graph.output:
        if value.name in skeleton.weights:
            array = skeleton.weights[value.name]
            element = helper.np_dtype_to_tensor_dtype(array.dtype)
            value.type.CopyFrom(helper.make_tensor_type_proto(element, array.shape))
        elif value.name in types:
            value.type.CopyFrom(types[value.name])
    _name_nodes(graph)


def _name_nodes(graph: onnx.GraphProto) -> None:
    taken: set[str] = {node.name for node in graph.node}
    seen: set[str] = set()
    for position, node in enumerate(graph.node):
        name = base = node.name or f"{node.op_type}_{position}"
        count = 0
        while name in seen or (name != node.name and name in taken):
            count += 1
            name = f"{base}_{count}"
        node.name = name
        seen.add(name)


def _drop_stale_types(graph: onnx.GraphProto) -> None:
    made = {name for node in graph.node for name in node.output}
    kept = [value for value in graph.value_info if value.name in made]
    if len(kept) < len(graph.value_info):
        fresh = onnx.GraphProto()
        fresh.value_info.extend(kept)
        del graph.value_info[:]
        graph.value_info.extend(fresh.value_info)


def _tidy_domains(model: onnx.ModelProto) -> None:
    """ONNX's own domain has two names; "" is used from here on."""
    for entry in model.opset_import:
        if entry.domain == "ai.onnx":
            entry.domain = ""
    for graph in _all_graphs(model.graph):
        for node in graph.node:
            if node.domain == "ai.onnx":
                node.domain = ""
    if not any(entry.domain == "" for entry in model.opset_import):
        # As ONNX says for files without, and as ONNX Runtime does for others.
        opset = 1 if model.ir_version < 3 else runtime_limits()[0]
        model.opset_import.add(domain="", version=opset)


def _all_graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    yield graph
    for node in graph.node:
        for body in bodies(node):
            yield from _all_graphs(body)


def _without_functions(skeleton: Skeleton) -> Skeleton:
    if not skeleton.proto.functions:
        return skeleton
    from onnx import inliner

    try:
        light = inliner.inline_local_functions(lighten(skeleton))
    except Exception as error:
        raise ModelError(f"the model's functions cannot be inlined: {_line(error)}") from None
    del light.functions[:]
    return relight(light, skeleton.weights)


def _at_supported_versions(skeleton: Skeleton) -> Skeleton:
    """The model at an opset and IR version that ONNX Runtime and the operators' rules take."""
    newest_opset, newest_ir = runtime_limits()
    model = skeleton.proto
    entry = next(entry for entry in model.opset_import if entry.domain == "")
    model.ir_version = min(max(model.ir_version, OLDEST_IR), newest_ir)
    target = min(max(entry.version, OLDEST_OPSET), newest_opset)
    if entry.version == target:
        return skeleton
    if _means_the_same(model.graph, entry.version, target):
        entry.version = target
        return skeleton
    try:
        for inner in _all_graphs(model.graph):
            for node in inner.node:
                if not node.domain and entry.version < _MISCONVERTED.get(node.op_type, 0):
                    raise ValueError(f"{node.op_type} means something else there")
        from onnx import version_converter

        light = version_converter.convert_version(lighten(skeleton), target)
    except Exception as error:
        mend = f"export it at opset {OLDEST_OPSET} to {newest_opset}"
        raise ModelError(
            f"the model's opset {entry.version} cannot be brought to {target}, which ONNX Runtime "
            f"{onnxruntime.__version__} takes: {mend} ({_line(error)})"
        ) from None
    light.ir_version = model.ir_version
    return relight(light, skeleton.weights)


_MISCONVERTED = {"PRelu": 7, "Scan": 9}
"""Since when these mean what they mean now: before, a slope lay along the channels without being
shaped so, and Scan had a batch axis. The converter passes both through as they are."""


def _means_the_same(graph: onnx.GraphProto, opset: int, other: int) -> bool:
    """Whether no operator in use changed between two opsets."""
    for inner in _all_graphs(graph):
        for node in inner.node:
            if node.domain:
                continue
            try:
                here = onnx.defs.get_schema(node.op_type, opset, "")
                there = onnx.defs.get_schema(node.op_type, other, "")
            except onnx.defs.SchemaError:
                return False
            if here.since_version != there.since_version:
                return False
    return True


def _line(error: Exception) -> str:
    return " ".join(str(error).split())


def _bind(model: onnx.ModelProto, dimensions: Mapping[str, int]) -> None:
    """Binds free dimensions; forgets what the file says of other tensors' shapes.

    (What a file says of inner shapes and of outputs may hold for the sizes it was exported with
    only; inference tells them anew.)
    """
    for key, size in dimensions.items():
        if isinstance(size, bool) or not isinstance(size, int) or size < 1:
            raise ModelError(f"dimension '{key}' is bound to {size!r}: give an integer above 0")
    unused = set(dimensions)
    free: list[str] = []
    for value in model.graph.input:
        if value.type.WhichOneof("value") != "tensor_type":
            continue
        if not value.type.tensor_type.HasField("shape"):
            raise ModelError(
                f"input '{value.name}' has no known number of dimensions: "
                "export the model with a shape for it"
            )
        for axis, dimension in enumerate(value.type.tensor_type.shape.dim):
            place = f"{value.name}:{axis}"
            if dimension.HasField("dim_value") and dimension.dim_value >= 0:
                if dimensions.get(place, dimension.dim_value) != dimension.dim_value:
                    raise ModelError(
                        f"input '{value.name}' has {dimension.dim_value} in axis {axis}, which "
                        f"cannot be bound to {dimensions[place]}: leave it, or export the model "
                        "with a free dimension there"
                    )
                unused.discard(place)
                continue
            symbol = dimension.dim_param
            key = place if place in dimensions else symbol
            free += [symbol or place]
            unused -= {place, symbol}
            if key not in dimensions:
                named = f"'{symbol}' (axis {axis})" if symbol else f"in axis {axis}"
                raise ModelError(
                    f"input '{value.name}' has the free dimension {named}: "
                    f"bind it, e.g. --dim {symbol or place}=1"
                )
            dimension.dim_value = dimensions[key]
    if unused:
        known = f"it has {', '.join(dict.fromkeys(free))}" if free else "it has none"
        raise ModelError(f"the model has no free dimension '{min(unused)}': {known}")
    for graph in _all_graphs(model.graph):
        del graph.value_info[:]
        if graph is not model.graph:
            continue
        for value in graph.output:
            if value.type.WhichOneof("value") == "tensor_type":
                value.type.tensor_type.ClearField("shape")


def _sort(graph: onnx.GraphProto) -> None:
    """Brings the nodes into an order in which each finds its inputs, where they are not yet."""
    makers = {name: i for i, node in enumerate(graph.node) for name in node.output if name}
    needs = {
        i: {makers[name] for name in (*node.input, *names_inside(node)) if name in makers} - {i}
        for i, node in enumerate(graph.node)
    }
    if all(max(needed, default=-1) < i for i, needed in needs.items()):
        return
    try:
        replace_nodes(graph, [graph.node[i] for i in TopologicalSorter(needs).static_order()])
    except CycleError as error:
        names = ", ".join(f"'{graph.node[i].name}'" for i in error.args[1][:4])
        raise ModelError(f"the model's nodes need each other in a circle: {names}") from None
