"""What a model is made of: operators, their cost, receptive fields, and where it can be cut."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from swath.graph.graph import Constant, Graph
from swath.ops import Region, splittable_axes


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """A tensor by name. ``shape`` is None where it is only known when it is there."""

    name: str
    shape: tuple[int, ...] | None
    dtype: str
    nbytes: int


@dataclass(frozen=True, slots=True)
class OperatorInfo:
    """One operator. ``inputs`` are its activations, ``weight_bytes`` its constants.

    ``receptive_field``: extents (rows and columns of a picture) of the part of the model's first
    input that one entry in the middle of the first output depends on; None where there is no such
    part. ``splittable_axes``: axes of the first output along which parts cost less than the whole.
    """

    name: str
    type: str
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    flops: int
    weight_bytes: int
    receptive_field: tuple[int, ...] | None
    splittable_axes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class CutInfo:
    """A place where the model may be cut in two: between the operators ``after`` and ``before``.
    ``tensors`` are made on the one side and read on the other."""

    position: int
    after: str
    before: str
    tensors: tuple[TensorInfo, ...]

    @property
    def nbytes(self) -> int:
        return sum(tensor.nbytes for tensor in self.tensors)


@dataclass(frozen=True, slots=True)
class Inspection:
    """A model, prepared as it will run: constants and batch norm folded, shapes fixed.

    ``activation_peak_bytes``: the most that is alive at once when the operators run one after
    another, each tensor from when it is made until its last reader has run.
    """

    name: str
    opset: int
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    operators: tuple[OperatorInfo, ...]
    cuts: tuple[CutInfo, ...]
    flops: int
    parameters: int
    weight_bytes: int
    activation_peak_bytes: int


def inspect_graph(graph: Graph) -> Inspection:
    """Everything that can be said of a model without running it."""
    return Inspection(
        name=graph.name,
        opset=graph.opsets.get("", 1),
        inputs=tuple(_info(graph, name) for name in graph.inputs),
        outputs=tuple(_info(graph, name) for name in graph.outputs),
        operators=tuple(_operator(graph, position) for position in range(len(graph.nodes))),
        cuts=legal_cuts(graph),
        flops=graph.flops,
        parameters=sum(prod(c.tensor.shape or ()) for c in _weights(graph)),
        weight_bytes=graph.weight_bytes,
        activation_peak_bytes=activation_peak(graph),
    )


def _weights(graph: Graph) -> list[Constant]:
    return [c for c in graph.constants.values() if c.tensor.dtype.startswith(("float", "bfloat"))]


def _info(graph: Graph, name: str) -> TensorInfo:
    tensor = graph.tensors[name]
    return TensorInfo(name, tensor.shape, tensor.dtype, tensor.nbytes)


def _operator(graph: Graph, position: int) -> OperatorInfo:
    node = graph.nodes[position]
    reads = tuple(dict.fromkeys(name for name in node.reads if name))
    constants = [name for name in reads if name in graph.constants]
    return OperatorInfo(
        name=node.name,
        type=node.type,
        inputs=tuple(_info(graph, name) for name in reads if name not in graph.constants),
        outputs=tuple(_info(graph, name) for name in node.outputs if name),
        flops=graph.node_flops[position],
        weight_bytes=sum(graph.constants[name].tensor.nbytes for name in constants),
        receptive_field=receptive_field(graph, position),
        splittable_axes=splittable_axes(graph.operators[position]) if node.outputs[0] else (),
    )


def receptive_field(graph: Graph, position: int) -> tuple[int, ...] | None:
    """Extents of the part of the model's first input that one entry of an operator depends on.

    The entry lies in the middle of the first output. Batch and channels are left out where the
    input has them: (rows, columns) of N x C x H x W. What reaches beyond the input is not counted.
    """
    outputs = [name for name in graph.nodes[position].outputs if name]
    shape = graph.tensors[outputs[0]].shape if outputs else None
    if not outputs or shape is None or not graph.inputs:
        return None
    wanted = {outputs[0]: Region((extent // 2, extent // 2 + 1) for extent in shape)}
    for earlier in range(position, -1, -1):
        node = graph.nodes[earlier]
        asked = tuple(wanted.pop(name, None) if name else None for name in node.outputs)
        if all(region is None for region in asked):
            continue
        demand = graph.rules[earlier].demand(graph.operators[earlier], asked)
        for name, region in zip(node.reads, demand.inputs, strict=True):
            if region is not None and name and name not in graph.constants:
                wanted[name] = wanted[name].hull(region) if name in wanted else region
    seen = wanted.get(graph.inputs[0])
    return None if seen is None else _pixels(seen, graph.tensors[graph.inputs[0]].shape or ())


def _pixels(region: Region, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Extents of a region without its batch and channels, wherever these stand."""
    if len(shape) < 3:
        return region.shape
    channels_last = shape[-1] in (1, 3) and shape[1] not in (1, 3)
    return region.shape[1:-1] if channels_last else region.shape[2:]


def legal_cuts(graph: Graph) -> tuple[CutInfo, ...]:
    """Positions of the topological order where everything that crosses has a known shape."""
    last_reader = {name: readers[-1] for name, readers in graph.consumers.items()}
    crossing: dict[str, int] = {}
    cuts = []
    for position in range(1, len(graph.nodes)):
        before = graph.nodes[position - 1]
        crossing.update({name: last_reader[name] for name in before.outputs if name in last_reader})
        crossing = {name: last for name, last in crossing.items() if last >= position}
        if all(graph.tensors[name].shape is not None for name in crossing):
            tensors = tuple(_info(graph, name) for name in crossing)
            cuts.append(CutInfo(position, before.name, graph.nodes[position].name, tensors))
    return tuple(cuts)


def activation_peak(graph: Graph) -> int:
    """Bytes of activations alive at once, at most, when the operators run in order."""
    end = len(graph.nodes)
    last = {name: readers[-1] for name, readers in graph.consumers.items()}
    last.update(dict.fromkeys(graph.outputs, end))
    alive = sum(graph.tensors[name].nbytes for name in graph.inputs)
    peak = alive
    dying: dict[int, int] = {}
    for name in graph.inputs:
        dying[last.get(name, end)] = dying.get(last.get(name, end), 0) + graph.tensors[name].nbytes
    for position, node in enumerate(graph.nodes):
        for name in filter(None, node.outputs):
            nbytes = graph.tensors[name].nbytes
            alive += nbytes
            until = last.get(name, position)
            dying[until] = dying.get(until, 0) + nbytes
        peak = max(peak, alive)
        alive -= dying.pop(position, 0)
    return peak
