"""A CNN as frozen data: nodes in order, tensors with static shapes, constants by digest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property, lru_cache
from math import prod
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from swath.ops import Operator, Rule, Tensor, rule_for

if TYPE_CHECKING:
    from swath.graph.original import Original

Answer = TypeVar("Answer")

PARAMETER_ELEMENTS = 4096
SMALL_ELEMENTS = 16
"""Integers up to the first and anything up to the second number of elements are parameters: rules
may look at their values (shapes, axes, indices, scales) and they travel inside a tile. What is
larger is a weight, addressed by digest."""

REMEMBERED = 8192
"""Answers that a graph keeps: those about the tiles of some dozens of plans."""


@dataclass(frozen=True, eq=False)
class Constant:
    """A constant tensor, equal to any other of the same content.

    ``data`` is None in a weightless copy of a graph, which keeps parameters.
    """

    tensor: Tensor
    data: np.ndarray | None = field(repr=False)
    known_digest: str | None = None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Constant) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    @property
    def is_parameter(self) -> bool:
        """Whether rules may look at its value, and plans and tiles carry it."""
        shape = self.tensor.shape
        size = 0 if shape is None else prod(shape)
        integer = self.tensor.dtype.startswith(("int", "uint", "bool"))
        return size <= (PARAMETER_ELEMENTS if integer else SMALL_ELEMENTS)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of type, shape and bytes: the address of the content, whatever its name."""
        if self.known_digest is not None:
            return self.known_digest
        assert self.data is not None
        head = json.dumps([self.tensor.dtype, self.tensor.shape])
        digest = hashlib.sha256(head.encode())
        if self.data.dtype == object:
            digest.update(repr(self.data.tolist()).encode())
        else:
            digest.update(np.ascontiguousarray(self.data).reshape(-1).view(np.uint8).data)
        return digest.hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Node:
    """One operator of a graph. An absent optional input or output is "".

    ``captures``: names that the bodies of If, Loop and Scan read from outside.
    """

    name: str
    type: str
    domain: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]
    captures: tuple[str, ...] = ()

    @property
    def reads(self) -> tuple[str, ...]:
        return self.inputs + self.captures


@dataclass(frozen=True)
class Graph:
    """A model with static shapes; ``nodes`` in topological order, ``tensors`` with every name."""

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    nodes: tuple[Node, ...]
    tensors: Mapping[str, Tensor]
    constants: Mapping[str, Constant]
    opsets: Mapping[str, int]
    ir_version: int
    declared: Mapping[str, bytes] = field(default_factory=dict)
    """Serialised ValueInfoProto of the model's inputs and outputs."""
    original: Original | None = field(default=None, repr=False, compare=False)
    """The model as it was handed in; weightless copies have none."""

    @cached_property
    def index(self) -> Mapping[str, int]:
        """Position of every node by its name."""
        return {node.name: position for position, node in enumerate(self.nodes)}

    @cached_property
    def producers(self) -> Mapping[str, int]:
        """Position of the node that makes a tensor (model inputs and constants have none)."""
        return {
            name: position
            for position, node in enumerate(self.nodes)
            for name in node.outputs
            if name
        }

    @cached_property
    def consumers(self) -> Mapping[str, tuple[int, ...]]:
        """Positions of the nodes that read a tensor, ascending."""
        readers: dict[str, list[int]] = {}
        for position, node in enumerate(self.nodes):
            for name in dict.fromkeys(node.reads):
                if name:
                    readers.setdefault(name, []).append(position)
        return {name: tuple(positions) for name, positions in readers.items()}

    @cached_property
    def operators(self) -> tuple[Operator, ...]:
        """What a rule sees of each node."""
        return tuple(self._operator(node) for node in self.nodes)

    @cached_property
    def rules(self) -> tuple[Rule, ...]:
        return tuple(rule_for(op) for op in self.operators)

    @cached_property
    def flops(self) -> int:
        """Floating-point operations of one unsplit inference (a multiply-add counts two)."""
        return sum(self.node_flops)

    @cached_property
    def node_flops(self) -> tuple[int, ...]:
        return tuple(
            rule.flops(op, tuple(None if t is None else t.whole for t in op.outputs))
            for op, rule in zip(self.operators, self.rules, strict=True)
        )

    @cached_property
    def weights(self) -> Mapping[str, np.ndarray]:
        """Data of the constants that are no parameters, by digest."""
        return {
            constant.digest: constant.data
            for constant in self.constants.values()
            if not constant.is_parameter and constant.data is not None
        }

    @cached_property
    def weight_bytes(self) -> int:
        return sum(constant.tensor.nbytes for constant in self.constants.values())

    @cached_property
    def digest(self) -> str:
        """Identity of the model: structure, shapes and every constant's content."""
        from swath.graph.codec import graph_to_json

        text = json.dumps(graph_to_json(self), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    def recall(self, function: Callable[..., Answer], *args: Hashable) -> Answer:
        """``function(self, *args)``, worked out once for the same arguments: for pure functions
        whose answers nobody changes. Planners ask the same of very many plans."""
        answer: Answer = self._recalled(function, *args)
        return answer

    @cached_property
    def _recalled(self) -> Callable[..., Any]:
        return lru_cache(maxsize=REMEMBERED)(lambda function, *args: function(self, *args))

    def __getstate__(self) -> dict[str, Any]:
        """The fields alone: what was worked out of them stays here."""
        return {each.name: getattr(self, each.name) for each in fields(self)}

    def _operator(self, node: Node) -> Operator:
        def tensor(name: str) -> Tensor | None:
            return self.tensors[name] if name else None

        def value(name: str) -> np.ndarray | None:
            constant = self.constants.get(name)
            return constant.data if constant is not None and constant.is_parameter else None

        return Operator(
            type=node.type,
            domain="" if node.domain == "ai.onnx" else node.domain,
            opset=self.opsets.get(node.domain, self.opsets.get("", 1)),
            attributes=node.attributes,
            inputs=tuple(tensor(name) for name in node.reads),
            outputs=tuple(tensor(name) for name in node.outputs),
            values=tuple(value(name) for name in node.reads),
            own_inputs=len(node.inputs),
        )
