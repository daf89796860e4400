"""From an ONNX model to a `Graph`, in one call."""

from __future__ import annotations

import os
from collections.abc import Mapping

import onnx

from swath.graph import prepare
from swath.graph.build import build_graph
from swath.graph.graph import Graph


def load_onnx(
    model: str | os.PathLike[str] | bytes | onnx.ModelProto,
    dimensions: Mapping[str, int] | None = None,
) -> Graph:
    """The graph of an ONNX model: a file, its bytes or a ModelProto.

    ``dimensions`` binds free dimensions, by symbolic name (``batch``) or by input and axis
    (``x:0``). Raises ModelError, in one line that names the thing and the mend.
    """
    skeleton = prepare.load(model, dimensions)
    return build_graph(skeleton.proto, skeleton.weights)
