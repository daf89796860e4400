"""Element types: numpy's name, ONNX's number and the bytes of one entry."""

from __future__ import annotations

from functools import cache

import numpy as np
import onnx
from onnx import helper

from swath.ops import Tensor

OPAQUE = Tensor(None, "", 0)
"""A value that is never split nor sent: its shape is not known before it runs, it is empty, or it
is not a tensor of numbers."""


@cache
def dtype_of(element_type: int) -> np.dtype:
    """numpy's dtype of an ONNX element type (ml_dtypes' for those that numpy lacks)."""
    return np.dtype(helper.tensor_dtype_to_np_dtype(element_type))


@cache
def element_type_of(dtype: str) -> int:
    """ONNX's element type of a dtype name as it stands in `Tensor.dtype`."""
    for element_type in onnx.TensorProto.DataType.values():
        if element_type in (onnx.TensorProto.UNDEFINED, onnx.TensorProto.STRING):
            continue
        if dtype_of(element_type).name == dtype:
            return int(element_type)
    raise KeyError(dtype)


def tensor_of(value_type: onnx.TypeProto | None) -> Tensor:
    """What is known of a value from its ONNX type; `OPAQUE` where that is too little to split."""
    if value_type is None or not value_type.HasField("tensor_type"):
        return OPAQUE
    tensor_type = value_type.tensor_type
    element_type = tensor_type.elem_type
    if element_type in (onnx.TensorProto.UNDEFINED, onnx.TensorProto.STRING):
        return OPAQUE
    dtype = dtype_of(element_type)
    if not tensor_type.HasField("shape"):
        return Tensor(None, dtype.name, dtype.itemsize)
    extents = []
    for dimension in tensor_type.shape.dim:
        if not dimension.HasField("dim_value") or dimension.dim_value < 1:
            return Tensor(None, dtype.name, dtype.itemsize)
        extents.append(dimension.dim_value)
    return Tensor(tuple(extents), dtype.name, dtype.itemsize)
