"""On a worker: how long the kernels of a model take, and the model as a whole.

ONNX Runtime's own profiling says when each kernel began and ended; its sessions are configured as
those of tiles.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import prod, sqrt
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

from swath.engine.session import (
    BoundSession,
    Session,
    disabled_optimizers,
    session_options,
    view,
)
from swath.runtime.instance import aligned_bytes

WARM_UP = 2
"""Runs that are not counted: they touch memory for the first time."""

COLD_RUNS = 4
"""Runs that find the caches as something else left them. Of a convolution of 2 ms: 8, 2, 2 and 1 %
slower than those that follow."""

FEW_RUNS = 5
FEWEST_RUNS = 15
MOST_RUNS = 120

NEARNESS = 0.1

TRUNCATION = 0.5e-6
"""Seconds that ONNX Runtime's durations lack on average: it drops what is no whole microsecond."""


@dataclass(frozen=True, slots=True)
class Kernel:
    """One kernel of a session: the name ONNX Runtime gave it, its operator, the shape of what it
    makes, and seconds."""

    name: str
    operator: str
    shape: tuple[int, ...]
    seconds: float


class Timed:
    """A model on made-up weights and inputs. ``weights`` and ``inputs``: shapes by name."""

    def __init__(
        self,
        model: bytes,
        weights: Mapping[str, Sequence[int]],
        inputs: Mapping[str, Sequence[int]],
        threads: int,
    ) -> None:
        self._model = model
        self._threads = threads
        self._weights = {
            name: ort.OrtValue.ortvalue_from_numpy(made_up_weight(shape))
            for name, shape in weights.items()
        }
        self._inputs = {name: aligned(made_up(shape)) for name, shape in inputs.items()}

    def kernels(self, seconds: float, swept: int) -> list[Kernel]:
        """Each kernel's time, typical of at least `FEWEST_RUNS` runs, as if in the midst of a whole
        model: a twin of the session with weights of its own runs before, so that code and working
        memory are in the cache, and weights are not.

        ``seconds``: for how long, where so many runs take less. ``swept``: bytes that are read
        before each run, which say how far away weights are then.
        """
        sweep = np.ones(swept // 4, np.float32)  # Zeros would be one page of memory, mapped often.
        with tempfile.TemporaryDirectory(prefix="swath-") as folder:
            options = session_options(self._threads)
            options.enable_profiling = True
            options.profile_file_prefix = str(Path(folder) / "profile")
            options.add_session_config_entry("session.use_env_allocators", "1")
            twin = self._twin()
            session = self._session(options)
            outputs = _outputs(session)
            bound = BoundSession(session, self._inputs, outputs)
            before = twin.bind(self._inputs, outputs)
            deadline = time.perf_counter() + seconds
            runs = 0
            while runs < WARM_UP + FEWEST_RUNS or (
                runs < WARM_UP + MOST_RUNS and time.perf_counter() < deadline
            ):
                sweep.sum()
                before.run()
                self._write_inputs()
                bound.run()
                runs += 1
            events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
        return _kernels(events)

    def whole(self) -> Whole:
        """The model as a whole, ready to be timed again and again."""
        session = self._session(session_options(self._threads))
        return Whole(BoundSession(session, self._inputs, _outputs(session)))

    def _twin(self) -> Session:
        """The same once more, in the same working memory, as tiles of one worker share it."""
        weights = {name: value.numpy() for name, value in self._weights.items()}
        return Session(self._model, weights, self._threads, shared_arena=True)

    def _write_inputs(self) -> None:
        """As whoever hands a tile its inputs does: they are in the cache when it starts."""
        for array in self._inputs.values():
            array += np.float32(0)

    def _session(self, options: ort.SessionOptions) -> ort.InferenceSession:
        if self._weights:
            options.add_external_initializers(list(self._weights), list(self._weights.values()))
        return ort.InferenceSession(
            self._model,
            options,
            providers=["CPUExecutionProvider"],
            disabled_optimizers=disabled_optimizers(self._model),
        )


class Whole:
    """A session timed as a whole."""

    def __init__(self, bound: BoundSession) -> None:
        self._bound = bound
        for _ in range(WARM_UP):
            bound.run()

    def mean(self, seconds: float) -> float:
        """Mean seconds of a run by the clock, whoever else runs meanwhile, over this time or a
        little more."""
        start = time.perf_counter()
        runs = 0
        while (passed := time.perf_counter() - start) < seconds or not runs:
            self._bound.run()
            runs += 1
        return passed / runs

    def typical(self, seconds: float) -> float:
        """Typical seconds of CPU of some runs by one thread, over this time or a little more: who
        takes turns with it does not count, nor who had the caches before."""
        times: list[float] = []
        for _ in range(COLD_RUNS):
            self._bound.run()
        end = time.perf_counter() + seconds
        while len(times) < FEW_RUNS or time.perf_counter() < end:
            start = time.thread_time()
            self._bound.run()
            times.append(time.thread_time() - start)
        return typical(times, 0.0)


def _outputs(session: ort.InferenceSession) -> dict[str, np.ndarray]:
    return {
        value.name: aligned(np.zeros(value.shape, np.float32)) for value in session.get_outputs()
    }


def copy_seconds_per_byte() -> float:
    """Of boxes copied into larger ones, as halos are put together and parts cut out."""
    found = []
    for shape, rows in (((1, 64, 56, 56), 14), ((1, 128, 28, 28), 7), ((1, 256, 14, 14), 7)):
        whole = made_up(shape)
        part = np.ascontiguousarray(whole[:, :, :rows])
        for target, source in ((whole[:, :, 1 : rows + 1], part), (part, whole[:, :, :rows])):
            np.copyto(target, source)
            times = []
            for _ in range(FEWEST_RUNS):
                start = time.perf_counter()
                np.copyto(target, source)
                times.append(time.perf_counter() - start)
            found.append(statistics.median(times) / part.nbytes)
    return statistics.median(found)


def typical(values: Sequence[float], grain: float) -> float:
    """Mean of those near the median: it is finer than the clock's ``grain``, and whoever was
    interrupted does not count."""
    middle = statistics.median_low(values)
    reach = max(grain, NEARNESS * middle)
    return statistics.fmean(value for value in values if abs(value - middle) <= reach)


def made_up(shape: Sequence[int]) -> np.ndarray:
    """Values around 0, as many as asked for."""
    values: np.ndarray = np.resize(_pool(), tuple(shape))
    return values


def aligned(array: np.ndarray) -> np.ndarray:
    """A copy that lies as the arrays of tiles do; reordering depends on it by a third."""
    memory: np.ndarray = view(aligned_bytes(array.nbytes), 0, array.dtype.name, array.shape)
    memory[...] = array
    return memory


def made_up_weight(shape: Sequence[int]) -> np.ndarray:
    """A filter or matrix that keeps the size of what it is applied to; a vector of positive
    numbers, so that it can be a variance."""
    values = made_up(shape)
    if len(shape) < 2:
        values = np.abs(values, out=values)
        values += np.float32(0.5)
    else:
        values /= np.float32(sqrt(prod(shape[1:])))
    return values


@lru_cache(maxsize=1)
def _pool() -> np.ndarray:
    # A prime number of values, so that rows and channels do not repeat in step.
    return np.random.default_rng(0).standard_normal(1_000_003, dtype=np.float32)


def _kernels(events: list[dict[str, Any]]) -> list[Kernel]:
    """Of the events of one session; by name, which is unique in it."""
    durations: dict[str, list[float]] = {}
    about: dict[str, dict[str, Any]] = {}
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith(_KERNEL):
            durations.setdefault(event["name"], []).append(event["dur"] * 1e-6)
            about[event["name"]] = event["args"]
    return [
        Kernel(
            name.removesuffix(_KERNEL),
            about[name]["op_name"],
            _first_shape(about[name]["output_type_shape"]),
            typical(times[WARM_UP:], 2 * TRUNCATION) + TRUNCATION,
        )
        for name, times in durations.items()
    ]


_KERNEL = "_kernel_time"


def _first_shape(said: list[dict[str, list[int]]]) -> tuple[int, ...]:
    """Of ``[{"float": [1, 64, 56, 56]}, ...]``."""
    return tuple(next(iter(said[0].values()))) if said and said[0] else ()
