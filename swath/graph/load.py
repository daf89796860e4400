"""From an ONNX model to a `Graph`, in one call."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace

import onnx

from swath.graph.build import build_graph
from swath.graph.graph import Graph
from swath.graph.original import keep_original
from swath.graph.prepare import prepare_skeleton
from swath.graph.read import read_skeleton


def load_onnx(
    model: str | os.PathLike[str] | bytes | onnx.ModelProto,
    dimensions: Mapping[str, int] | None = None,
) -> Graph:
    """The graph of an ONNX model: a file, its bytes or a ModelProto.

    ``dimensions`` binds free dimensions, by symbolic name (``batch``) or by input and axis
    (``x:0``). Raises ModelError, in one line that names the thing and the mend.
    """
    skeleton = read_skeleton(model)
    original = keep_original(skeleton)
    prepared = prepare_skeleton(skeleton, dimensions or {})
    graph = build_graph(prepared.proto, prepared.weights)
    return replace(graph, original=original)
