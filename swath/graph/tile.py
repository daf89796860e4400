"""Tile extraction: (graph, stage, output regions) -> a standalone ONNX model without weights.

The model is pinned to the graph's opset and IR version. Its weights are external initializers,
addressed by the digest of the whole constant and the region that the tile reads, so that whoever
runs the tile can fetch, keep and share them. Parameters (small constants) travel inside.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from swath.graph.geometry import tile_geometry
from swath.graph.graph import Graph
from swath.graph.sinking import Ordering, in_order, needed
from swath.graph.types import dtype_of, element_type_of
from swath.graph.weights import WeightSlice
from swath.ops import Region, Tensor
from swath.ops.emitting import emit_crop


@dataclass(frozen=True, slots=True)
class TileModel:
    """A standalone ONNX model that makes one tile.

    ``model`` is a serialised ModelProto, ``digest`` its address. ``inputs`` and ``outputs`` give
    name and region in the model's order; a tensor keeps its name. ``weights`` says what the
    external initializers hold.
    """

    model: bytes
    digest: str
    inputs: Mapping[str, Region]
    outputs: Mapping[str, Region]
    weights: Mapping[str, WeightSlice]
    flops: int


def extract_tile(
    graph: Graph,
    nodes: Sequence[int],
    outputs: Mapping[str, Region],
    orders: Mapping[str, tuple[int, ...]] | None = None,
) -> TileModel:
    """The tile that makes ``outputs`` (tensor -> region) from the stage ``nodes``.

    ``nodes`` are ascending positions in ``graph.nodes``. ``orders``: the axes, outermost first, of
    tensors that the model takes and gives in another order than their own. Raises ValueError where
    the stage does not make an output.
    """
    needs = tile_geometry(graph, nodes, outputs).needs
    ports = {*needs, *outputs}
    own = tuple((name, order) for name, order in (orders or {}).items() if name in ports)
    return graph.recall(_extracted, tuple(nodes), tuple(outputs.items()), own)


def _extracted(
    graph: Graph,
    nodes: tuple[int, ...],
    wanted: tuple[tuple[str, Region], ...],
    orders: tuple[tuple[str, tuple[int, ...]], ...],
) -> TileModel:
    outputs = dict(wanted)
    geometry = tile_geometry(graph, nodes, outputs)
    builder = _TileBuilder(graph, dict(orders))
    flops = 0
    for name, region in geometry.needs.items():
        if name in outputs:
            raise ValueError(f"tensor {name!r} is not made by this stage")
        builder.add_input(name, region)
    for position, demand in geometry.demands.items():
        node = graph.nodes[position]
        op, rule = graph.operators[position], graph.rules[position]
        names = [
            builder.read(name, region) if name and region is not None else None
            for name, region in zip(node.reads, demand.inputs, strict=True)
        ]
        builder.node_name = node.name
        made = rule.emit(op, demand, names, builder)
        for name, held, made_name in zip(node.outputs, demand.outputs, made, strict=True):
            if name and held is not None and made_name:
                builder.hold(name, held, made_name)
        flops += rule.flops(op, demand.outputs)
    for name, region in outputs.items():
        builder.add_output(name, region)
    model = builder.serialise()
    return TileModel(
        model=model,
        digest=hashlib.sha256(model).hexdigest()[:32],
        inputs=dict(geometry.needs),
        outputs=outputs,
        weights=builder.weights,
        flops=flops,
    )


def inverse(order: Sequence[int]) -> tuple[int, ...]:
    """The permutation that undoes another."""
    return tuple(sorted(range(len(order)), key=lambda axis: order[axis]))


def permuted(region: Region, order: Sequence[int]) -> Region:
    """A region with its axes in another order."""
    return Region(region[axis] for axis in order)


def external_tensor(name: str, location: str, dtype: str, shape: Sequence[int]) -> onnx.TensorProto:
    """An initializer whose data is handed to the session, not stored in the model."""
    itemsize = dtype_of(element_type_of(dtype)).itemsize
    return onnx.TensorProto(
        name=name,
        data_type=element_type_of(dtype),
        dims=shape,
        data_location=onnx.TensorProto.EXTERNAL,
        external_data=[
            onnx.StringStringEntryProto(key="location", value=location),
            onnx.StringStringEntryProto(key="offset", value="0"),
            onnx.StringStringEntryProto(key="length", value=str(prod(shape) * itemsize)),
        ],
    )


class _TileBuilder:
    """The emitter that rules write to, and the book of what is held under which name."""

    def __init__(self, graph: Graph, orders: Mapping[str, Sequence[int]]) -> None:
        self.graph = graph
        self._orders = orders
        self.opset = graph.opsets.get("", 1)
        self.node_name = ""
        self.weights: dict[str, WeightSlice] = {}
        self._held: dict[str, tuple[Region, str]] = {}
        self._crops: dict[tuple[str, Region], str] = {}
        self._ordering = Ordering()
        self._made: set[str] = set()
        self._read: set[str] = set()
        self._final_names: dict[str, str] = {}
        self._nodes: list[onnx.NodeProto] = []
        self._initializers: dict[str, onnx.TensorProto] = {}
        self._inputs: list[onnx.ValueInfoProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []
        self._count = 0

    # What rules call (swath.ops.Emitter)

    def node(
        self,
        op_type: str,
        inputs: Sequence[str | None],
        *,
        outputs: Sequence[bool] = (True,),
        domain: str = "",
        attributes: Mapping[str, Any] | None = None,
    ) -> tuple[str, ...]:
        names = tuple(self._fresh() if present else "" for present in outputs)
        self._made.update(names)
        arguments = ["" if name is None else name for name in inputs]
        while arguments and not arguments[-1]:
            arguments.pop()
        proto = onnx.NodeProto(
            op_type=op_type,
            domain=domain,
            name=f"{self.node_name}#{len(self._nodes)}",
            input=arguments,
            output=names,
        )
        for key, value in (attributes or {}).items():
            if value is not None:
                proto.attribute.append(
                    value
                    if isinstance(value, onnx.AttributeProto)
                    else helper.make_attribute(key, value)
                )
        self._nodes.append(proto)
        return names

    def constant(self, value: np.ndarray) -> str:
        name = self._fresh()
        self._initializers[name] = numpy_helper.from_array(np.asarray(value, order="C"), name)
        return name

    # What extraction calls

    def add_input(self, name: str, region: Region) -> None:
        self._inputs.append(self._port(name, region))
        order = self._orders.get(name, ())
        self._held[name] = (region, self._own_order(name, region, order) if order else name)

    def hold(self, name: str, region: Region, made: str) -> None:
        """Record that ``made`` holds this region of a tensor.

        A name that a rule did not make anew, or returned twice, must stay what it is: a tensor of
        this name gets a copy.
        """
        if made not in self._made or made in self._read or made in self._final_names:
            self.node_name = f"copy for {name}"
            (made,) = self.node("Identity", [made])
        self._final_names[made] = name
        self._held[name] = (region, made)
        self._ordering.regions[made] = region

    def read(self, name: str, region: Region) -> str:
        """A name that holds exactly this region: the tensor itself, or a crop of it."""
        if name in self.graph.constants:
            return self._read_constant(name, region)
        held, held_name = self._held[name]
        if held == region:
            return held_name
        key = (name, region)
        if key not in self._crops:
            self.node_name = f"crop {name}"
            given = self._ordering.given.get(held_name)
            if given is None:
                cropped = emit_crop(self, held_name, held, region)
            else:
                # Cut first, then turned: a Transpose for a convolution alone costs nothing.
                order = self._orders[name]
                part = emit_crop(self, given, permuted(held, order), permuted(region, order))
                cropped = self._own_order(part, region, order)
            self._crops[key] = cropped
            self._read.add(cropped)
            self._ordering.regions[cropped] = region
        return self._crops[key]

    def add_output(self, name: str, region: Region) -> None:
        held_name = self._held[name][1]
        given = self.read(name, region)
        order = self._orders.get(name, ())
        if order:
            self.node_name = f"memory order of {name}"
            given = in_order(given, order, self._ordering, list(self._nodes), self._scalars(), self)
        if given != held_name:
            self._final_names[held_name] = f"{name}@{self._fresh()}"
            self._final_names[given] = name
        self._outputs.append(self._port(name, region))

    def _own_order(self, given: str, region: Region, order: Sequence[int]) -> str:
        """A tensor's region in its own order, of a name that holds it in another."""
        self.node_name = f"own order of {given}"
        own = self.node("Transpose", [given], attributes={"perm": inverse(order)})[0]
        self._ordering.given[own] = given
        self._ordering.regions[own] = region
        return own

    def _scalars(self) -> dict[str, onnx.TensorProto]:
        """Initializers of one entry, which look the same in every order."""
        return {name: proto for name, proto in self._initializers.items() if prod(proto.dims) == 1}

    def serialise(self) -> bytes:
        final = self._final_names
        for node in self._nodes:
            node.input[:] = [final.get(name, name) for name in node.input]
            node.output[:] = [final.get(name, name) for name in node.output]
        nodes = needed(self._nodes, [value.name for value in self._outputs])
        used = {node.domain for node in nodes}
        model = onnx.ModelProto(
            ir_version=self.graph.ir_version,
            producer_name="swath",
            opset_import=[
                helper.make_opsetid(domain, version)
                for domain, version in self.graph.opsets.items()
                if domain in ("", "ai.onnx") or domain in used
            ],
            graph=onnx.GraphProto(
                name="tile",
                node=nodes,
                initializer=self._initializers.values(),
                input=self._inputs,
                output=self._outputs,
            ),
        )
        serialised: bytes = model.SerializeToString(deterministic=True)
        return serialised

    def _fresh(self) -> str:
        self._count += 1
        return f"~{self._count}"

    def _read_constant(self, name: str, region: Region) -> str:
        constant = self.graph.constants[name]
        whole = region == constant.tensor.whole
        sliced_name = name if whole else f"{name}{region}"
        if sliced_name in self._initializers:
            return sliced_name
        if constant.is_parameter:
            assert constant.data is not None
            part = np.asarray(constant.data[region.slices()], order="C")
            self._initializers[sliced_name] = numpy_helper.from_array(part, sliced_name)
            return sliced_name
        tensor = constant.tensor
        self.weights[sliced_name] = WeightSlice(
            constant.digest, region, tensor.dtype, region.size * tensor.itemsize
        )
        self._initializers[sliced_name] = external_tensor(
            sliced_name, constant.digest, tensor.dtype, region.shape
        )
        return sliced_name

    def _port(self, name: str, region: Region) -> onnx.ValueInfoProto:
        """An input or output of the tile, in the order in which it lies in memory."""
        order = self._orders.get(name, ())
        if not order:
            return self._value_info(name, region)
        element_type = element_type_of(self.graph.tensors[name].dtype)
        shape = [region.shape[axis] for axis in order]
        return helper.make_tensor_value_info(name, element_type, shape)

    def _value_info(self, name: str, region: Region) -> onnx.ValueInfoProto:
        tensor: Tensor = self.graph.tensors[name]
        if tensor.shape is None:
            declared = onnx.ValueInfoProto()
            declared.ParseFromString(self.graph.declared[name])
            return declared
        return helper.make_tensor_value_info(name, element_type_of(tensor.dtype), region.shape)
