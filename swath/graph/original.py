"""The model as its author wrote it: what every split is compared with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import onnx

from swath.graph.read import LARGE_BYTES, Skeleton, tensor_proto
from swath.graph.tile import external_tensor


@dataclass(frozen=True)
class Original:
    """An ONNX model, unprepared; large weights stand beside it as arrays (shared, not copied)."""

    model: bytes = field(repr=False)
    weights: Mapping[str, np.ndarray] = field(repr=False)
    """What the model's external initializers hold."""


def keep_original(skeleton: Skeleton) -> Original:
    """The model that a skeleton is of, before anything is done to it."""
    model = onnx.ModelProto()
    model.CopyFrom(skeleton.proto)
    large = {}
    for name, array in skeleton.weights.items():
        if array.nbytes > LARGE_BYTES and array.dtype != object:
            model.graph.initializer.append(
                external_tensor(name, name, array.dtype.name, array.shape)
            )
            large[name] = array
        else:
            model.graph.initializer.append(tensor_proto(array, name))
    return Original(model.SerializeToString(), large)
