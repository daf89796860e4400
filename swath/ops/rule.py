"""What an operator rule is, and the registry of them.

A rule answers one question: to make these regions of the outputs, which region of each input is
needed, and what is the sliced operator? Weights are inputs like any other, so a tile that makes a
few output channels needs a few filters by the same answer that gives a tile of rows its halo.

A rule sees one operator with static shapes (`Operator`), never the graph. An operator without a
rule falls to `WHOLE`: it needs all of its inputs and computes all of its outputs, so every model
runs, exactly; a rule only makes it splittable.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, Protocol

import numpy as np

from swath.ops.region import Region

Regions = tuple[Region | None, ...]
"""One region per input or output; None: absent, or not needed."""

SWATH_DOMAIN = "swath"
"""Domain of the operators that only exist inside Swath: partial results and their combination."""


RANDOM_OPERATORS = frozenset(
    [
        "RandomNormal",
        "RandomNormalLike",
        "RandomUniform",
        "RandomUniformLike",
        "Multinomial",
        "Bernoulli",
    ]
)
"""What draws random numbers must run once, on one device."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """What is known of a tensor before it runs.

    ``shape`` is None where it is only known at run time (or where the value is a sequence, an
    optional, ...): such a value is never split. ``dtype`` is numpy's name, or ONNX's for the types
    that numpy lacks, or "" for what is not a tensor.
    """

    shape: tuple[int, ...] | None
    dtype: str
    itemsize: int

    @property
    def whole(self) -> Region:
        return Region.whole(self.shape or ())

    @property
    def nbytes(self) -> int:
        """Bytes of the whole tensor; 0 where the shape is not known."""
        return 0 if self.shape is None else prod(self.shape) * self.itemsize


@dataclass(frozen=True, slots=True)
class Operator:
    """One operator with everything a rule may look at.

    ``values`` holds, per input, the value of a small constant (a shape, axes, scales, ...), else
    None. ``inputs`` may be longer than the operator's own inputs: what the bodies of If, Loop and
    Scan read from outside comes last (``own_inputs`` counts the others).
    """

    type: str
    domain: str
    opset: int
    attributes: Mapping[str, Any]
    inputs: tuple[Tensor | None, ...]
    outputs: tuple[Tensor | None, ...]
    values: tuple[np.ndarray | None, ...]
    own_inputs: int

    def attribute(self, name: str, default: Any = None) -> Any:
        return self.attributes.get(name, default)

    def integers(self, name: str) -> tuple[int, ...]:
        """An attribute that is a list of integers; () where it is absent or empty."""
        value = self.attributes.get(name)
        return tuple(int(item) for item in value) if isinstance(value, list | tuple) else ()

    def input(self, index: int) -> Tensor:
        """The tensor at this input; raises LookupError where there is none."""
        tensor = self.inputs[index] if index < len(self.inputs) else None
        if tensor is None:
            raise LookupError(f"{self.type} has no input {index}")
        return tensor

    def input_shape(self, index: int = 0) -> tuple[int, ...]:
        shape = self.input(index).shape
        if shape is None:
            raise LookupError(f"{self.type}: shape of input {index} is not known")
        return shape

    def output_shape(self, index: int = 0) -> tuple[int, ...]:
        tensor = self.outputs[index]
        if tensor is None or tensor.shape is None:
            raise LookupError(f"{self.type}: shape of output {index} is not known")
        return tensor.shape

    def has_input(self, index: int) -> bool:
        return index < len(self.inputs) and self.inputs[index] is not None

    def value(self, index: int) -> np.ndarray | None:
        return self.values[index] if index < len(self.values) else None


@dataclass(frozen=True, slots=True)
class Demand:
    """A rule's answer: what will be computed (at least what was asked) and what that takes.

    An input's region is None where the sliced operator does not read it (it is absent, or its
    value went into the sliced operator's attributes). An output's is None where it was not asked.
    """

    outputs: Regions
    inputs: Regions


class Emitter(Protocol):
    """Collects the ONNX nodes of a tile."""

    def node(
        self,
        op_type: str,
        inputs: Sequence[str | None],
        *,
        outputs: Sequence[bool] = (True,),
        domain: str = "",
        attributes: Mapping[str, Any] | None = None,
    ) -> tuple[str, ...]:
        """Append a node; returns one name per output ("" where ``outputs`` says it is absent).

        An input that is None is absent; attributes that are None are left out.
        """
        ...

    def constant(self, value: np.ndarray) -> str:
        """The name of a small constant (a shape, axes, indices, ...)."""
        ...

    @property
    def opset(self) -> int:
        """Version of the default operator set that the tile is written in."""
        ...


class Rule(Protocol):
    """How one operator type is computed in parts."""

    def demand(self, op: Operator, wanted: Regions) -> Demand:
        """What it takes to make the wanted regions; ``wanted`` has one entry per output."""
        ...

    def emit(
        self, op: Operator, demand: Demand, inputs: Sequence[str | None], emitter: Emitter
    ) -> tuple[str | None, ...]:
        """Append the sliced operator. ``inputs`` name tensors that hold exactly
        ``demand.inputs``; returns names that hold exactly ``demand.outputs``."""
        ...

    def flops(self, op: Operator, outputs: Regions) -> int:
        """Floating-point operations (a multiply-add counts two) to make these outputs."""
        ...


class BaseRule:
    """What most rules share: the operator keeps its type and attributes; one FLOP per element."""

    def emit(
        self, op: Operator, demand: Demand, inputs: Sequence[str | None], emitter: Emitter
    ) -> tuple[str | None, ...]:
        own = inputs[: op.own_inputs]
        return emitter.node(
            op.type,
            own,
            outputs=[tensor is not None for tensor in op.outputs],
            domain=op.domain,
            attributes=self.sliced_attributes(op, demand),
        )

    def sliced_attributes(self, op: Operator, demand: Demand) -> Mapping[str, Any]:
        """Attributes of the sliced operator; the operator's own unless a rule says otherwise."""
        return op.attributes

    def flops(self, op: Operator, outputs: Regions) -> int:
        return sum(region.size for region in outputs if region is not None)


class WholeRule(BaseRule):
    """The rule of operators without a rule: everything in, everything out."""

    def demand(self, op: Operator, wanted: Regions) -> Demand:
        return whole_demand(op)


def whole_of(op: Operator) -> Regions:
    """All of every output."""
    return tuple(None if tensor is None else tensor.whole for tensor in op.outputs)


def whole_demand(op: Operator) -> Demand:
    """All of the inputs for all of the outputs."""
    return Demand(
        outputs=whole_of(op),
        inputs=tuple(None if tensor is None else tensor.whole for tensor in op.inputs),
    )


WHOLE = WholeRule()

_RULES: dict[tuple[str, str], Rule] = {}


def register(*op_types: str, domain: str = "") -> Callable[[type], type]:
    """Class decorator: an instance of the class becomes the rule of these operator types.

    A user adds a rule for an operator of his own in the same way.
    """

    def add(rule_class: type) -> type:
        rule: Rule = rule_class()
        for op_type in op_types:
            _RULES[(domain, op_type)] = rule
        return rule_class

    return add


def rule_for(op: Operator) -> Rule:
    """The rule of an operator. One that touches a value of unknown shape is computed whole.

    A constant without entries (an empty roi, say) has no shape either, but its value is known.
    """
    values = (*op.values, *(None for _ in op.outputs))
    for tensor, value in zip((*op.inputs, *op.outputs), values, strict=True):
        if tensor is not None and tensor.shape is None and value is None:
            return WHOLE
    return _RULES.get(("" if op.domain == "ai.onnx" else op.domain, op.type), WHOLE)


def registered() -> tuple[tuple[str, str], ...]:
    """(domain, operator type) of every rule, sorted."""
    return tuple(sorted(_RULES))


def splittable_axes(op: Operator, output: int = 0) -> tuple[int, ...]:
    """Axes of an output along which a part is cheaper to make than the whole."""
    tensor = op.outputs[output]
    if tensor is None or tensor.shape is None:
        return ()
    rule = rule_for(op)
    axes = []
    for axis, extent in enumerate(tensor.shape):
        if extent < 2:
            continue
        wanted: list[Region | None] = [None] * len(op.outputs)
        wanted[output] = tensor.whole.replace(axis, (0, 1))
        made = rule.demand(op, tuple(wanted)).outputs[output]
        if made is not None and made[axis] != (0, extent):
            axes.append(axis)
    return tuple(axes)
