"""Plain ONNX Runtime on the unsplit model: what Swath is compared with, in result and in time."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from swath.engine.session import Session
from swath.graph.graph import Graph
from swath.graph.tile import extract_tile
from swath.runtime.verify import weight_arrays


@dataclass(frozen=True, slots=True)
class Milliseconds:
    """Median, 95th percentile, minimum and mean of repeated measurements."""

    median: float
    p95: float
    min: float
    mean: float

    @staticmethod
    def of(seconds: Sequence[float]) -> Milliseconds:
        scaled = sorted(value * 1e3 for value in seconds)
        p95 = scaled[min(len(scaled) - 1, round(0.95 * (len(scaled) - 1)))]
        return Milliseconds(statistics.median(scaled), p95, scaled[0], statistics.fmean(scaled))


class PlainRuntime:
    """The model as its author wrote it, in one session on this machine."""

    def __init__(self, graph: Graph, threads: int = 1) -> None:
        self._session = _session(graph, threads)
        self._outputs = graph.outputs

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Every output by name."""
        results = self._session.run({name: inputs[name] for name in self._session.inputs})
        return dict(zip(self._session.outputs, results, strict=True))

    def timed(self, inputs: Mapping[str, np.ndarray]) -> tuple[dict[str, np.ndarray], float]:
        """Outputs, and seconds that they took."""
        start = time.perf_counter()
        outputs = self.run(inputs)
        return outputs, time.perf_counter() - start


def _session(graph: Graph, threads: int) -> Session:
    if graph.original is not None:
        try:
            return Session(graph.original.model, graph.original.weights, threads)
        except Exception:
            # A file of a newer version than ONNX Runtime takes; preparing has brought it down.
            pass
    outputs = {name: graph.tensors[name].whole for name in graph.outputs}
    tile = extract_tile(graph, range(len(graph.nodes)), outputs)
    return Session(tile.model, weight_arrays(tile.weights, graph), threads)
