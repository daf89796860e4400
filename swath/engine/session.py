"""One ONNX Runtime session, configured as everywhere in Swath: no spinning, few threads."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache, lru_cache

import numpy as np
import onnxruntime as ort

logger = logging.getLogger(__name__)


@cache
def dtype_named(name: str) -> np.dtype:
    """numpy's dtype by name, of ml_dtypes where numpy has none (bfloat16, float8, int4)."""
    try:
        return np.dtype(name)
    except TypeError:
        import ml_dtypes

        kind: np.dtype = np.dtype(getattr(ml_dtypes, name))
        return kind


def session_options(threads: int = 1) -> ort.SessionOptions:
    """Options of a session with ``threads`` threads that sleep while they wait.

    Spinning threads would starve other workers on the same machine.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    options.log_severity_level = 3
    return options


@lru_cache(maxsize=1)
def _register_shared_arena() -> None:
    """One arena of the process for all sessions that ask for it; ONNX Runtime takes it once."""
    same_as_requested = 1
    configuration = ort.OrtArenaCfg({"arena_extend_strategy": same_as_requested})
    memory = ort.OrtMemoryInfo(
        "Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT
    )
    ort.create_and_register_allocator(memory, configuration)


def disabled_optimizers(model: bytes) -> list[str]:
    """The graph optimisations of ONNX Runtime that are left out for a serialised model.

    Pad_Fusion moves the zeros of a Pad into the pads of a pool behind it: those of a MaxPool are
    minus infinity (maps of negative numbers come out wrong), and of a window no wider than the
    padding no session can be made. Without it a MobileNet of explicit Pads takes a sixth longer,
    so it stays where there is no pool.
    """
    return ["Pad_Fusion"] if _PAD in model and any(pool in model for pool in _POOLS) else []


def _op_type(name: str) -> bytes:
    """How a node of this type is written in a serialised model: field 4, its length, its text."""
    return b"\x22" + bytes([len(name)]) + name.encode()


_PAD = _op_type("Pad")
_POOLS = (_op_type("AveragePool"), _op_type("MaxPool"))

_FALLBACK_LEVELS = (
    ort.GraphOptimizationLevel.ORT_ENABLE_BASIC,
    ort.GraphOptimizationLevel.ORT_DISABLE_ALL,
)


def _created(model: bytes, options: ort.SessionOptions) -> ort.InferenceSession:
    """The session at full optimisation, or at a lower one where that fails: an optimisation may
    turn a model into one that kernels refuse (a Transpose moved through a cubic Resize)."""
    try:
        return _at_level(model, options)
    except Exception as error:  # ONNX Runtime's have no common class
        for level in _FALLBACK_LEVELS:
            logger.debug("a session was not created, now at %s: %s", level, error)
            options.graph_optimization_level = level
            with suppress(Exception):
                return _at_level(model, options)
        raise


def _at_level(model: bytes, options: ort.SessionOptions) -> ort.InferenceSession:
    return ort.InferenceSession(
        model,
        options,
        providers=["CPUExecutionProvider"],
        disabled_optimizers=disabled_optimizers(model),
    )


class Session:
    """A model ready to run.

    ``weights`` fill the model's external initializers; they are read while the session is made
    and must live as long as it. With ``shared_arena`` intermediate results lie in memory that all
    such sessions of the process share: sessions that run one after the other find it warm, which
    made the 18 stages of a ResNet-34 4 % faster.
    """

    def __init__(
        self,
        model: bytes,
        weights: Mapping[str, np.ndarray] | None = None,
        threads: int = 1,
        shared_arena: bool = False,
    ) -> None:
        options = session_options(threads)
        if shared_arena:
            _register_shared_arena()
            options.add_session_config_entry("session.use_env_allocators", "1")
        self._weights = {
            name: ort.OrtValue.ortvalue_from_numpy(array) for name, array in (weights or {}).items()
        }
        if self._weights:
            options.add_external_initializers(list(self._weights), list(self._weights.values()))
        self._session = _created(model, options)
        self.inputs = tuple(value.name for value in self._session.get_inputs())
        self.outputs = tuple(value.name for value in self._session.get_outputs())

    def run(self, feeds: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """Outputs in the model's order, freshly allocated."""
        results: list[np.ndarray] = self._session.run(None, dict(feeds))
        return results

    def bind(
        self, inputs: Mapping[str, np.ndarray], outputs: Mapping[str, np.ndarray]
    ) -> BoundSession:
        """The session on fixed C-contiguous arrays: it reads and writes them in place."""
        return BoundSession(self._session, inputs, outputs)


class BoundSession:
    """A session whose inputs and outputs lie in arrays chosen beforehand."""

    def __init__(
        self,
        session: ort.InferenceSession,
        inputs: Mapping[str, np.ndarray],
        outputs: Mapping[str, np.ndarray],
    ) -> None:
        self._session = session
        self._arrays = (dict(inputs), dict(outputs))
        self._binding = session.io_binding()
        for name, array in inputs.items():
            self._binding.bind_ortvalue_input(name, ort.OrtValue.ortvalue_from_numpy(array))
        for name, array in outputs.items():
            self._binding.bind_ortvalue_output(name, ort.OrtValue.ortvalue_from_numpy(array))

    def run(self) -> None:
        self._session.run_with_iobinding(self._binding)


def view(arena: np.ndarray, offset: int, dtype: str, shape: Sequence[int]) -> np.ndarray:
    """An array in an arena of bytes."""
    kind = dtype_named(dtype)
    count = int(np.prod(shape, dtype=np.int64))
    return arena[offset : offset + count * kind.itemsize].view(kind).reshape(tuple(shape))
