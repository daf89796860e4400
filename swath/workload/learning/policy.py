"""Policies: small networks in ONNX files, which hold no code, run by ONNX Runtime.

What a policy was made for stands in the file's metadata, and is looked at before it is used.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from swath.errors import WorkloadError
from swath.workload.allocators.priced import PRICES, Prices
from swath.workload.learning.observing import FEATURES

SHIPPED = "example.onnx"
"""The policy that comes with Swath; ``docs/allocation.md`` says how it is made again."""

_KEY = "swath-policy"
_WHAT = {
    "version": 1,
    "features": list(FEATURES),
    "prices": asdict(Prices()),
}
"""What a policy must see and say to be used here."""

_INPUT, _OUTPUT = "features", "action"
_OPSET, _IR = 17, 8

Layer = tuple[np.ndarray, np.ndarray]
"""Weights (outputs x inputs) and biases."""


class Policy:
    """From `FEATURES` to an action. Raises WorkloadError for a file that is no policy, or one that
    was made for something else."""

    def __init__(self, path: Path) -> None:
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4
        try:
            content = path.read_bytes()
        except OSError as error:
            raise WorkloadError(f"{path}: {error.strerror or error}; name a policy file") from None
        try:
            session = ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except Exception:
            raise WorkloadError(f"{path}: not a policy: no ONNX file that can be run") from None
        _check(path, session)
        self._session = session

    def act(self, features: np.ndarray) -> np.ndarray:
        """The action for `FEATURES` (float32), from -1 to 1."""
        (action,) = self._session.run([_OUTPUT], {_INPUT: features[None]})
        return np.asarray(action[0])


def _check(path: Path, session: Any) -> None:
    said = session.get_modelmeta().custom_metadata_map.get(_KEY)
    mend = "; train it again with 'swath allocate train'"
    if said is None:
        raise WorkloadError(f"{path}: an ONNX model, but no policy of swath's{mend}")
    try:
        made_for = json.loads(said)
    except ValueError:
        made_for = {}
    for key, here in _WHAT.items():
        if made_for.get(key) != here:
            raise WorkloadError(f"{path}: a policy for other {key} than this version's{mend}")
    shapes = [tuple(each.shape) for each in (*session.get_inputs(), *session.get_outputs())]
    if shapes != [(1, len(FEATURES)), (1, PRICES)]:
        raise WorkloadError(f"{path}: a policy of another shape{mend}")


def load_policy(path: Path | None = None) -> Policy:
    """The policy of a file; without one, the shipped one."""
    return Policy(path or Path(str(files("swath.workload.learning") / SHIPPED)))


def save_policy(layers: Sequence[Layer], path: Path) -> None:
    """Write a network whose layers but the last end in a tanh, and whose outputs are cut to -1 to
    1."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    nodes, weights, value = [], [], _INPUT
    for number, (matrix, bias) in enumerate(layers):
        is_last = number == len(layers) - 1
        names = [f"weights{number}", f"biases{number}"]
        weights += [
            numpy_helper.from_array(np.ascontiguousarray(array, dtype=np.float32), name)
            for array, name in zip((matrix, bias), names, strict=True)
        ]
        made = f"linear{number}"
        nodes.append(helper.make_node("Gemm", [value, *names], [made], transB=1))
        value = _OUTPUT if is_last else f"hidden{number}"
        if is_last:
            weights += [
                numpy_helper.from_array(np.array(bound, np.float32), name)
                for name, bound in (("lo", -1), ("hi", 1))
            ]
            nodes.append(helper.make_node("Clip", [made, "lo", "hi"], [value]))
        else:
            nodes.append(helper.make_node("Tanh", [made], [value]))
    graph = helper.make_graph(
        nodes, "policy",
        [helper.make_tensor_value_info(_INPUT, TensorProto.FLOAT, [1, len(FEATURES)])],
        [helper.make_tensor_value_info(_OUTPUT, TensorProto.FLOAT, [1, PRICES])],
        weights,
    )  # fmt: skip
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR
    )
    helper.set_model_props(model, {_KEY: json.dumps(_WHAT)})
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())
