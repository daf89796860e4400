"""Folding of constants and of what does nothing, on a model without its weights.

ONNX Runtime computes what is folded, so that a folded value is the one it would have had. Which
nodes are folded is decided here, since the tools that decide it themselves were found wanting:
ONNX Runtime's basic level rewrites more than constants (of ONNX's 1,729 operator cases that it
loads it replaced the operators of 206, among them by casts and by the bodies of functions),
onnxscript computes with ONNX's reference operators, which differ from ONNX Runtime's in the last
bits, and takes 0.4 s to import, and onnxslim took 1.8 s for a ResNet-152.
"""

from __future__ import annotations

import logging
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from math import prod

import numpy as np
import onnx
import onnxruntime
from onnx import AttributeProto, NodeProto, TensorProto, TypeProto, helper, numpy_helper

from swath.graph.read import LARGE_BYTES, Skeleton, dense, tensor_proto

logger = logging.getLogger(__name__)

GROWTH_ELEMENTS = 256 * 1024
"""What is folded has at most so many elements, or as many as the constants that it replaces."""

_RANDOM = frozenset(
    {
        "Bernoulli",
        "Dropout",
        "Multinomial",
        "RandomNormal",
        "RandomNormalLike",
        "RandomUniform",
        "RandomUniformLike",
    }
)
_QUANTIZING = frozenset({"DequantizeLinear", "DynamicQuantizeLinear", "QuantizeLinear"})
"""A folded DequantizeLinear would be four times as large, and its consumer no longer int8."""

_GROWING = frozenset(
    {
        "AffineGrid",
        "CenterCropPad",
        "Col2Im",
        "ConstantOfShape",
        "Expand",
        "EyeLike",
        "MaxUnpool",
        "OneHot",
        "Pad",
        "Range",
        "Resize",
        "Tile",
        "Upsample",
    }
)
"""Small inputs may make a large output."""

_COMPUTED = frozenset(
    {
        TensorProto.FLOAT,
        TensorProto.DOUBLE,
        TensorProto.FLOAT16,
        TensorProto.BOOL,
        TensorProto.INT8,
        TensorProto.INT16,
        TensorProto.INT32,
        TensorProto.INT64,
        TensorProto.UINT8,
        TensorProto.UINT16,
        TensorProto.UINT32,
        TensorProto.UINT64,
    }
)
"""Element types that pass between numpy and ONNX Runtime unchanged."""


def bodies(node: NodeProto) -> Iterator[onnx.GraphProto]:
    """The graphs inside If, Loop and Scan."""
    for attribute in node.attribute:
        if attribute.type == AttributeProto.GRAPH:
            yield attribute.g
        elif attribute.type == AttributeProto.GRAPHS:
            yield from attribute.graphs


def names_inside(node: NodeProto) -> set[str]:
    """Every name that the bodies of a node read or define."""
    names: set[str] = set()
    for body in bodies(node):
        names.update(value.name for value in (*body.input, *body.output))
        names.update(tensor.name for tensor in body.initializer)
        for inner in body.node:
            names.update(inner.input, inner.output, names_inside(inner))
    names.discard("")
    return names


def static_shape(value_type: TypeProto | None) -> tuple[int, ...] | None:
    """The shape of a tensor whose every extent is known."""
    if value_type is None or not value_type.HasField("tensor_type"):
        return None
    tensor_type = value_type.tensor_type
    if not tensor_type.HasField("shape"):
        return None
    extents = []
    for dimension in tensor_type.shape.dim:
        if not dimension.HasField("dim_value") or dimension.dim_value < 0:
            return None
        extents.append(dimension.dim_value)
    return tuple(extents)


def quiet_options() -> onnxruntime.SessionOptions:
    """For a session that computes something small once, or is only asked what it takes."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    return options


def session(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(
        model.SerializeToString(), quiet_options(), providers=["CPUExecutionProvider"]
    )


def readers(graph: onnx.GraphProto) -> Counter[str]:
    """How often each name is read by nodes, by their bodies and as an output of the graph."""
    counter = Counter(value.name for value in graph.output)
    for node in graph.node:
        counter.update(node.input)
        counter.update(names_inside(node))
    return counter


def replace_nodes(graph: onnx.GraphProto, nodes: Sequence[NodeProto]) -> None:
    fresh = onnx.GraphProto()
    fresh.node.extend(nodes)
    del graph.node[:]
    graph.node.extend(fresh.node)


def lift_constants(skeleton: Skeleton) -> None:
    """Makes weights of Constant nodes."""
    graph = skeleton.proto.graph
    kept = []
    for node in graph.node:
        value = _known_value(node, {})
        if value is None:
            kept.append(node)
        else:
            skeleton.weights[node.output[0]] = value
    if len(kept) < len(graph.node):
        # A graph of its own, since protobuf keeps the memory of what is only deleted.
        slim = onnx.ModelProto()
        slim.graph.node.extend(kept)
        del graph.node[:]
        slim.MergeFrom(skeleton.proto)
        skeleton.proto = slim


def drop_unused(skeleton: Skeleton) -> None:
    """Drops nodes and weights that no output needs."""
    graph = skeleton.proto.graph
    wanted = {value.name for value in graph.output}
    kept = []
    for node in reversed(graph.node):
        if wanted.intersection(filter(None, node.output)):
            kept.append(node)
            wanted.update(node.input, names_inside(node))
    if len(kept) < len(graph.node):
        replace_nodes(graph, kept[::-1])
    for name in skeleton.weights.keys() - wanted:
        del skeleton.weights[name]


def drop_identities(skeleton: Skeleton) -> None:
    """Drops Identity and inference-time Dropout, save where the graph's interface needs one."""
    graph = skeleton.proto.graph
    counts = readers(graph)
    outputs = {value.name for value in graph.output}
    inside = set().union(*(names_inside(node) for node in graph.node))
    made = {name for node in graph.node for name in node.output}
    renamed: dict[str, str] = {}
    made_as: dict[str, str] = {}
    kept = []
    for node in graph.node:
        for position, name in enumerate(node.input):
            if name in renamed:
                node.input[position] = renamed[name]
        if _does_nothing(node, skeleton.weights, counts):
            source, target = node.input[0], node.output[0]
            if target not in outputs and target not in inside:
                renamed[target] = source
                continue
            if (
                target in outputs
                and source in made
                and not {source, target} & inside
                and source not in outputs
                and source not in made_as
            ):
                made_as[source] = target
                continue
        kept.append(node)
    if len(kept) == len(graph.node):
        return
    for node in kept:
        for position, name in enumerate(node.input):
            if name in made_as:
                node.input[position] = made_as[name]
        for position, name in enumerate(node.output):
            if name in made_as:
                node.output[position] = made_as[name]
    replace_nodes(graph, kept)


def _does_nothing(
    node: NodeProto, weights: Mapping[str, np.ndarray], counts: Mapping[str, int]
) -> bool:
    if node.domain or not node.input or not node.output or not node.output[0]:
        return False
    if node.op_type == "Identity":
        return True
    if node.op_type != "Dropout" or any(counts.get(name) for name in node.output[1:] if name):
        return False
    training = node.input[2] if len(node.input) > 2 else ""
    return not training or (training in weights and not weights[training].any())


def fold_constants(skeleton: Skeleton, types: Mapping[str, TypeProto], failed: set[str]) -> bool:
    """One round of folding with what is known of shapes; whether anything was folded.

    ``types``: of every value, as far as known. ``failed``: first outputs of nodes that could not
    be computed before; more are added.
    """
    weights, graph = skeleton.weights, skeleton.proto.graph
    counts = readers(graph)
    sizes = {name: array.size for name, array in weights.items()}
    folded: dict[str, NodeProto] = {}  # by each output
    chosen: list[NodeProto] = []
    nodes: list[NodeProto] = []
    pending = deque(graph.node)
    changed = False
    while pending:
        node = pending.popleft()
        value = _known_value(node, types)
        if value is not None:
            weights[node.output[0]] = value
            sizes[node.output[0]] = value.size
            changed = True
            continue
        taken = _branch_taken(node, weights, graph)
        if taken is not None:
            weights.update({t.name: numpy_helper.to_array(t) for t in taken.initializer})
            pending.extendleft(
                helper.make_node("Identity", [inner.name], [outer])
                for inner, outer in zip(taken.output, node.output, strict=False)
                if outer
            )
            pending.extendleft(reversed(taken.node))
            changed = True
            continue
        nodes.append(node)
        if (
            node.output
            and node.output[0] not in failed
            and _is_foldable(node, skeleton, types, sizes, folded, counts)
        ):
            chosen.append(node)
            for name in filter(None, node.output):
                folded[name] = node
                shape = static_shape(types[name])
                sizes[name] = GROWTH_ELEMENTS if shape is None else prod(shape)
    if chosen:
        by_others = Counter(value.name for value in graph.output)
        for node in nodes:
            if not node.output or node.output[0] not in folded:
                by_others.update(node.input)
                by_others.update(names_inside(node))
        values = _compute(skeleton, chosen, [name for name in folded if by_others[name]], types)
        done = _made_of(chosen, values, by_others)
        failed.update(node.output[0] for node in chosen if node.output[0] not in done)
        nodes = [node for node in nodes if not node.output or node.output[0] not in done]
        weights.update(values)
        changed = changed or bool(done)
    if changed:
        replace_nodes(graph, nodes)
    return changed


def _made_of(
    chosen: Sequence[NodeProto], values: Mapping[str, np.ndarray], by_others: Mapping[str, int]
) -> set[str]:
    """First outputs of those nodes that nobody needs any more, now that ``values`` are known."""
    needed: set[str] = set()
    done = set()
    for node in reversed(chosen):
        names = [name for name in node.output if name]
        if any(n not in values and (n in needed or by_others.get(n)) for n in names):
            needed.update(node.input)
        else:
            done.add(node.output[0])
    return done


def _known_value(node: NodeProto, types: Mapping[str, TypeProto]) -> np.ndarray | None:
    """The value of Constant, and of Shape and Size of a tensor of known shape."""
    if node.domain:
        return None
    if node.op_type == "Constant" and len(node.attribute) == 1:
        return _constant_value(node.attribute[0])
    if node.op_type not in ("Shape", "Size"):
        return None
    shape = static_shape(types.get(node.input[0]))
    if shape is None:
        return None
    if node.op_type == "Size":
        return np.array(prod(shape), np.int64)
    bounds = {attribute.name: attribute.i for attribute in node.attribute}
    return np.array(shape[bounds.get("start", 0) : bounds.get("end", len(shape))], np.int64)


def _constant_value(attribute: AttributeProto) -> np.ndarray | None:
    match attribute.name:
        case "value":
            return numpy_helper.to_array(attribute.t)
        case "sparse_value":
            return dense(attribute.sparse_tensor)
        case "value_float":
            return np.array(attribute.f, np.float32)
        case "value_floats":
            return np.array(attribute.floats, np.float32)
        case "value_int":
            return np.array(attribute.i, np.int64)
        case "value_ints":
            return np.array(attribute.ints, np.int64)
    return None


def _branch_taken(
    node: NodeProto, weights: Mapping[str, np.ndarray], graph: onnx.GraphProto
) -> onnx.GraphProto | None:
    """The branch of an If whose condition is known, when its names are free outside."""
    if node.op_type != "If" or node.domain or node.input[0] not in weights:
        return None
    wanted = "then_branch" if weights[node.input[0]].all() else "else_branch"
    branch = next(attribute.g for attribute in node.attribute if attribute.name == wanted)
    defined = {name for inner in branch.node for name in inner.output if name}
    defined |= {tensor.name for tensor in branch.initializer}
    outside = set(weights) | {value.name for value in graph.input}
    for other in graph.node:
        outside.update(other.output)
        if other.output != node.output:
            outside |= names_inside(other)
    return None if defined & outside or branch.sparse_initializer else branch


def _is_foldable(
    node: NodeProto,
    skeleton: Skeleton,
    types: Mapping[str, TypeProto],
    sizes: Mapping[str, int],
    folded: Mapping[str, NodeProto],
    counts: Mapping[str, int],
) -> bool:
    if node.domain or node.op_type in _RANDOM | _QUANTIZING or not node.input or any(bodies(node)):
        return False
    inputs = [name for name in node.input if name]
    for name in inputs:
        array = skeleton.weights.get(name)
        if name not in folded and (array is None or array.dtype.kind not in "biuf"):
            return False
    outputs = [types.get(name) for name in node.output if name]
    if any(t is None or t.tensor_type.elem_type not in _COMPUTED for t in outputs):
        return False
    shapes = [static_shape(value_type) for value_type in outputs]
    known = [prod(shape) for shape in shapes if shape is not None]
    if len(known) < len(shapes):
        few = sum(sizes[name] for name in inputs) <= GROWTH_ELEMENTS // 16
        return few and node.op_type not in _GROWING
    freed = sum(sizes[name] for name in set(inputs) if counts.get(name) == 1)
    return sum(known) <= max(GROWTH_ELEMENTS, freed)


def _compute(
    skeleton: Skeleton,
    nodes: Sequence[NodeProto],
    wanted: Sequence[str],
    types: Mapping[str, TypeProto],
) -> dict[str, np.ndarray]:
    """The wanted outputs of nodes that need nothing but weights, as far as they can be had."""
    try:
        return _run(skeleton, nodes, wanted, skeleton.weights)
    except Exception as error:  # ONNX Runtime's have no common class
        logger.debug("not folded at once: %s", error)
    values: dict[str, np.ndarray] = {}
    for node in nodes:
        known = skeleton.weights | values
        outputs = [name for name in node.output if name]
        if all(name in known for name in node.input if name):
            try:
                values |= _run(skeleton, [node], outputs, known)
            except Exception as error:
                logger.debug("not folded: node '%s' (%s): %s", node.name, node.op_type, error)
    return values


def _run(
    skeleton: Skeleton,
    nodes: Sequence[NodeProto],
    wanted: Sequence[str],
    known: Mapping[str, np.ndarray],
) -> dict[str, np.ndarray]:
    model = onnx.ModelProto(ir_version=skeleton.proto.ir_version)
    model.opset_import.extend(skeleton.proto.opset_import)
    model.graph.name = "constants"
    model.graph.node.extend(nodes)
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in wanted)
    feeds = {}
    for name in dict.fromkeys(name for node in nodes for name in node.input):
        if name not in known:
            continue
        array = known[name]
        if array.nbytes > LARGE_BYTES:
            element = helper.np_dtype_to_tensor_dtype(array.dtype)
            model.graph.input.append(helper.make_tensor_value_info(name, element, array.shape))
            feeds[name] = array
        else:
            model.graph.initializer.append(tensor_proto(array, name))
    results = session(model).run(list(wanted), feeds)
    if any(not isinstance(result, np.ndarray) for result in results):
        raise TypeError("not a tensor")
    return dict(zip(wanted, results, strict=True))
