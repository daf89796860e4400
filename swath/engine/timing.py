"""How long a model takes here, alone."""

from __future__ import annotations

import statistics
import time

import numpy as np
import onnxruntime as ort

from swath.engine.session import session_options


def time_model(model: bytes, threads: int, rounds: int = 7) -> float:
    """Median seconds of one run of a model of float inputs, after two runs to warm up."""
    session = ort.InferenceSession(
        model, session_options(threads), providers=["CPUExecutionProvider"]
    )
    rng = np.random.default_rng(0)
    feeds = {
        value.name: rng.random(value.shape, dtype=np.float32) for value in session.get_inputs()
    }
    seconds = []
    for _ in range(rounds + 2):
        start = time.perf_counter()
        session.run(None, feeds)
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[2:])
