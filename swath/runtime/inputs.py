"""What a model is given and what it gives: arrays by name; inputs checked against the model's."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from swath.engine.session import dtype_named
from swath.errors import InputError
from swath.graph.graph import Graph

Inputs = Mapping[str, np.ndarray]
Outputs = dict[str, np.ndarray]


def check_inputs(graph: Graph, inputs: Inputs) -> dict[str, np.ndarray]:
    """The inputs as C-contiguous arrays; raises InputError in one line for what does not fit."""
    for name in inputs:
        if name not in graph.inputs:
            raise InputError(
                f"input {name!r} is not one of the model's: {', '.join(graph.inputs) or 'none'}"
            )
    checked = {}
    for name in graph.inputs:
        if name not in inputs:
            raise InputError(
                f"input {name!r} is missing; the model needs {', '.join(graph.inputs)}"
            )
        array, tensor = np.asarray(inputs[name]), graph.tensors[name]
        if tensor.shape is not None and array.shape != tensor.shape:
            raise InputError(
                f"input {name!r} has shape {list(array.shape)}, "
                f"the model needs {list(tensor.shape)}"
            )
        if tensor.dtype and array.dtype != dtype_named(tensor.dtype):
            raise InputError(
                f"input {name!r} is of type {array.dtype.name}, the model needs {tensor.dtype}"
            )
        checked[name] = np.asarray(array, order="C")
    return checked
