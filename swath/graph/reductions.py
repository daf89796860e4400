"""Splitting reductions: one pure pass that turns an operator into partial results and their sum.

Which reductions are split, along which axis and where is plan data (`ReductionSplit`); this pass
applies it. What the new operators mean is told in `swath.ops.partial` and `swath.ops.moments`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise, product
from math import prod
from typing import Any

from swath.graph.graph import Graph, Node
from swath.ops import SWATH_DOMAIN, Operator, Tensor
from swath.ops.partial import POWER_SUM

_FLOATS = ("float32", "float64")
_NUMBERS = (*_FLOATS, "int32", "int64")


@dataclass(frozen=True, slots=True)
class ReductionSplit:
    """Where one node's reduction is cut.

    ``axis``: of the node's data input. ``bounds``: ascending cut points from 0 to the extent of
    that axis; part ``p`` is ``[bounds[p], bounds[p + 1])``. A node may be cut along several axes
    (a grid) by several of these; its partial tensor then has one leading axis for each, in order.
    """

    node: str
    axis: int
    bounds: tuple[int, ...]


Cuts = Mapping[int, tuple[int, ...]]
"""Bounds by axis of one node, in the order of the leading axes."""


@dataclass(frozen=True, slots=True)
class _Step:
    """One of the operators that take a node's place; an input is a name of the graph or of a step
    before (by its suffix). ``shape`` is its output's; the last step's is the node's own."""

    suffix: str
    type: str
    inputs: tuple[str, ...]
    attributes: Mapping[str, Any]
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Reduction:
    """How a kind of operator is split: along which axes, and into what."""

    axes: Callable[[Operator], tuple[int, ...]]
    steps: Callable[[Node, Operator, Cuts], list[_Step]]


def reducible_axes(graph: Graph, node_position: int) -> tuple[int, ...]:
    """Axes of a node's data input along which `split_reductions` can cut it; () for most nodes."""
    op = graph.operators[node_position]
    reduction = _REDUCTIONS.get(op.type) if op.domain == "" else None
    present = [tensor for tensor in (*op.inputs, *op.outputs) if tensor is not None]
    if reduction is None or any(tensor.shape is None for tensor in present):
        return ()
    shape = op.input_shape()
    return tuple(axis for axis in reduction.axes(op) if shape[axis] > 1)


def split_reductions(graph: Graph, splits: Sequence[ReductionSplit]) -> Graph:
    """The graph with each of these nodes replaced by partial results and what makes them whole.

    Node ``n`` becomes ``n/partial`` (output ``t/partial``, one entry per part on its new leading
    axis) and ``n/combine``, which makes the original tensor ``t``. A normalisation becomes
    ``n/partial``, ``n/combine`` (``t/combine``: mean and 1/std) and ``n/apply``. Needs no weights.

    Raises ValueError for a node that does not exist or cannot be cut along that axis, and for
    bounds that do not ascend from 0 to the axis's extent.
    """
    return graph.recall(_split, tuple(splits)) if splits else graph


def _split(graph: Graph, splits: tuple[ReductionSplit, ...]) -> Graph:
    cuts: dict[int, dict[int, tuple[int, ...]]] = {}
    for split in splits:
        position = graph.index.get(split.node)
        if position is None:
            raise ValueError(f"there is no node {split.node!r} whose reduction could be split")
        if split.axis in cuts.setdefault(position, {}):
            raise ValueError(f"node {split.node!r}: axis {split.axis} is split twice")
        cuts[position][split.axis] = _checked_bounds(graph, position, split)
    nodes: list[Node] = []
    tensors = dict(graph.tensors)
    for position, node in enumerate(graph.nodes):
        if position not in cuts:
            nodes.append(node)
            continue
        for new, tensor in _rewritten(graph, position, cuts[position]):
            nodes.append(new)
            tensors[new.outputs[0]] = tensor
    return replace(graph, nodes=tuple(nodes), tensors=tensors)


def _checked_bounds(graph: Graph, position: int, split: ReductionSplit) -> tuple[int, ...]:
    axes = reducible_axes(graph, position)
    op = graph.operators[position]
    if split.axis not in axes:
        raise ValueError(
            f"node {split.node!r} ({op.type}) cannot be split along axis {split.axis}: "
            f"it reduces {list(axes) or 'no axis that can be split'}"
        )
    bounds = tuple(int(bound) for bound in split.bounds)
    extent = op.input_shape()[split.axis]
    ascending = all(low < high for low, high in pairwise(bounds))
    if len(bounds) < 2 or bounds[0] != 0 or bounds[-1] != extent or not ascending:
        raise ValueError(
            f"node {split.node!r}: bounds must ascend from 0 to {extent}, got {list(bounds)}"
        )
    return bounds


def _rewritten(graph: Graph, position: int, cuts: Cuts) -> Iterable[tuple[Node, Tensor]]:
    node, op = graph.nodes[position], graph.operators[position]
    output = next(name for name in node.outputs if name)
    steps = _REDUCTIONS[op.type].steps(node, op, cuts)
    made: dict[str, str] = {}
    for place, step in enumerate(steps):
        last = place == len(steps) - 1
        name = output if last else f"{output}/{step.suffix}"
        if not last and name in graph.tensors:
            raise ValueError(f"the graph already has a tensor {name!r}")
        attributes = {key: value for key, value in step.attributes.items() if value is not None}
        inputs = tuple(made.get(item, item) for item in step.inputs)
        yield (
            Node(
                f"{node.name}/{step.suffix}", step.type, SWATH_DOMAIN, inputs, (name,), attributes
            ),
            Tensor(step.shape, op.input(0).dtype, op.input(0).itemsize),
        )
        made[f":{step.suffix}"] = name


_PARTIAL, _COMBINE = ":partial", ":combine"
"""Inputs that are made by the steps before."""


def _part_counts(cuts: Cuts) -> tuple[int, ...]:
    return tuple(len(bounds) - 1 for bounds in cuts.values())


def _split_attributes(cuts: Cuts) -> dict[str, Any]:
    return {
        "split_axes": list(cuts),
        "split_bounds": [bound for bounds in cuts.values() for bound in bounds],
    }


# Sums, maxima, products, ... over axes


@dataclass(frozen=True, slots=True)
class _ReductionKind:
    """``partial`` reduces a part, ``combine`` the parts; then come divisor, logarithm and root."""

    partial: str
    combine: str = "ReduceSum"
    dtypes: tuple[str, ...] = _NUMBERS
    mean: bool = False
    root: int = 0
    logarithm: bool = False


_SMALL_NUMBERS = (*_NUMBERS, "int8", "uint8")
_REDUCTION_KINDS = {
    "ReduceSum": _ReductionKind("ReduceSum"),
    "ReduceMean": _ReductionKind("ReduceSum", dtypes=_FLOATS, mean=True),
    "ReduceMax": _ReductionKind("ReduceMax", "ReduceMax", _SMALL_NUMBERS),
    "ReduceMin": _ReductionKind("ReduceMin", "ReduceMin", _SMALL_NUMBERS),
    "ReduceProd": _ReductionKind("ReduceProd", "ReduceProd"),
    "ReduceL1": _ReductionKind("ReduceL1"),
    "ReduceL2": _ReductionKind("ReduceSumSquare", dtypes=_FLOATS, root=2),
    "ReduceSumSquare": _ReductionKind("ReduceSumSquare"),
    "ReduceLogSum": _ReductionKind("ReduceSum", dtypes=_FLOATS, logarithm=True),
    "ReduceLogSumExp": _ReductionKind("ReduceLogSumExp", "ReduceLogSumExp", _FLOATS),
    "GlobalAveragePool": _ReductionKind("ReduceSum", dtypes=_FLOATS, mean=True),
    "GlobalMaxPool": _ReductionKind("ReduceMax", "ReduceMax", _FLOATS),
    "GlobalLpPool": _ReductionKind(POWER_SUM, dtypes=_FLOATS),
}


def _reduction_kind(op: Operator) -> _ReductionKind:
    kind = _REDUCTION_KINDS[op.type]
    if op.type == "GlobalLpPool":
        power = int(op.attribute("p", 2))
        partial = {1: "ReduceL1", 2: "ReduceSumSquare"}.get(power, POWER_SUM)
        return replace(kind, partial=partial, root=0 if power == 1 else power)
    return kind


def _reduced_axes(op: Operator) -> tuple[int, ...]:
    """All the axes that the operator reduces, if its parts can be joined; else ()."""
    rank = len(op.input_shape())
    if op.input(0).dtype not in _REDUCTION_KINDS[op.type].dtypes:
        return ()
    if op.type.startswith("Global"):
        return tuple(range(2, rank))
    axes = op.attribute("axes")
    if op.has_input(1):
        value = op.value(1)
        if value is None:
            return ()
        axes = [int(axis) for axis in value]
    if not axes:
        return () if op.attribute("noop_with_empty_axes", 0) else tuple(range(rank))
    return tuple(sorted({axis % rank for axis in axes}))


def _reduction_steps(node: Node, op: Operator, cuts: Cuts) -> list[_Step]:
    kind = _reduction_kind(op)
    axes = _reduced_axes(op)
    shape = op.input_shape()
    kept = [1 if axis in axes else extent for axis, extent in enumerate(shape)]
    keeps = op.type.startswith("Global") or op.attribute("keepdims", 1)
    return [
        _Step(
            "partial",
            "PartialReduce",
            (node.inputs[0],),
            {
                "reduce": kind.partial,
                "axes": list(axes),
                "p": kind.root if kind.partial == POWER_SUM else None,
                **_split_attributes(cuts),
            },
            (*_part_counts(cuts), *kept),
        ),
        _Step(
            "combine",
            "CombineParts",
            (_PARTIAL,),
            {
                "leading": len(cuts),
                "reduce": kind.combine,
                "squeezed": None if keeps else list(axes),
                "divisor": prod(shape[axis] for axis in axes) if kind.mean else None,
                "root": kind.root or None,
                "logarithm": 1 if kind.logarithm else None,
            },
            op.output_shape(),
        ),
    ]


# Convolutions over input channels, products over the inner axis


def _product_steps(
    node: Node, op: Operator, cuts: Cuts, partial: Mapping[str, Any], combine: Mapping[str, Any]
) -> list[_Step]:
    addend = [name for name in node.inputs[2:3] if name]
    return [
        _Step(
            "partial",
            f"Partial{op.type}",
            node.inputs[:2],
            {**partial, **_split_attributes(cuts)},
            (*_part_counts(cuts), *op.output_shape()),
        ),
        _Step(
            "combine",
            "CombineParts",
            (_PARTIAL, *addend),
            {"leading": len(cuts), "reduce": "ReduceSum", **(combine if addend else {})},
            op.output_shape(),
        ),
    ]


def _conv_axes(op: Operator) -> tuple[int, ...]:
    whole = op.attribute("group", 1) == 1 and op.input(0).dtype in _FLOATS
    return (1,) if whole else ()


def _conv_steps(node: Node, op: Operator, cuts: Cuts) -> list[_Step]:
    kept = {key: op.attribute(key) for key in ("auto_pad", "pads", "strides", "dilations")}
    return _product_steps(node, op, cuts, kept, {"addend_axis": 1})


def _gemm_axes(op: Operator) -> tuple[int, ...]:
    if op.input(0).dtype not in _FLOATS:
        return ()
    return (0,) if op.attribute("transA", 0) else (1,)


def _gemm_steps(node: Node, op: Operator, cuts: Cuts) -> list[_Step]:
    kept = {key: op.attribute(key) for key in ("alpha", "transA", "transB")}
    return _product_steps(node, op, cuts, kept, {"beta": op.attribute("beta")})


def _matmul_axes(op: Operator) -> tuple[int, ...]:
    return (len(op.input_shape()) - 1,) if op.input(0).dtype in _FLOATS else ()


def _matmul_steps(node: Node, op: Operator, cuts: Cuts) -> list[_Step]:
    return _product_steps(node, op, cuts, {}, {})


# Normalisations


def _normalised_axes(op: Operator) -> tuple[int, ...]:
    """The axes that share one mean, if only the normalised tensor is asked for; else ()."""
    rank = len(op.input_shape())
    if op.input(0).dtype not in _FLOATS or sum(output is not None for output in op.outputs) > 1:
        return ()
    if op.type == "LayerNormalization":
        return tuple(range(op.attribute("axis", -1) % rank, rank))
    one_group = op.type == "GroupNormalization" and op.attribute("num_groups") == 1
    return tuple(range(1 if one_group else 2, rank))


def _normalisation_steps(node: Node, op: Operator, cuts: Cuts) -> list[_Step]:
    shape = op.input_shape()
    axes = _normalised_axes(op)
    groups = op.attribute("num_groups", 0) if 1 not in axes else 0
    statistics = [1 if axis in axes else extent for axis, extent in enumerate(shape)]
    if op.type == "GroupNormalization" and groups:
        statistics[1] = groups
    alone = prod(
        extent for axis, extent in enumerate(shape) if axis in axes and axis not in cuts
    ) * (shape[1] // groups if groups else 1)
    sizes = [[high - low for low, high in pairwise(bounds)] for bounds in cuts.values()]
    common = {"axes": list(axes), "groups": groups or None}
    return [
        _Step(
            "partial",
            "PartialMoments",
            (node.inputs[0],),
            {**common, **_split_attributes(cuts)},
            (*_part_counts(cuts), 2, *statistics),
        ),
        _Step(
            "combine",
            "CombineMoments",
            (_PARTIAL,),
            {
                "leading": len(cuts),
                "counts": [alone * prod(part) for part in product(*sizes)],
                "epsilon": float(op.attribute("epsilon", 1e-5)),
            },
            (2, *statistics),
        ),
        _Step(
            "apply",
            "ApplyMoments",
            (node.inputs[0], _COMBINE, *node.inputs[1:]),
            {**common, "per_channel": None if op.type == "LayerNormalization" else 1},
            op.output_shape(),
        ),
    ]


_REDUCTIONS: Mapping[str, _Reduction] = {
    **{name: _Reduction(_reduced_axes, _reduction_steps) for name in _REDUCTION_KINDS},
    "Conv": _Reduction(_conv_axes, _conv_steps),
    "Gemm": _Reduction(_gemm_axes, _gemm_steps),
    "MatMul": _Reduction(_matmul_axes, _matmul_steps),
    "InstanceNormalization": _Reduction(_normalised_axes, _normalisation_steps),
    "GroupNormalization": _Reduction(_normalised_axes, _normalisation_steps),
    "LayerNormalization": _Reduction(_normalised_axes, _normalisation_steps),
}
