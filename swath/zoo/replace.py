"""Other weights for a zoo model: from a safetensors file, or from an ONNX file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import safetensors.numpy
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper
from safetensors import SafetensorError

from swath.zoo.errors import InvalidWeights

__all__ = ["replace_weights", "without_weights"]

# What torch keeps beside the parameters of inference: a counter in each BN, and the auxiliary
# heads of torchvision's GoogLeNet.
_NOT_FOR_INFERENCE = re.compile(r".*\.num_batches_tracked|aux[12]\..*")
_TYPES = ("float32", "float16", "bfloat16")


def replace_weights(model: onnx.ModelProto, path: str | PathLike[str]) -> onnx.ModelProto:
    """A copy of `model` whose initializers are those of the same names in a file.

    `path` is a safetensors file or an ONNX file (with or without external data) of float32,
    float16 or bfloat16 tensors; the model's stay float32. Every initializer of the model must
    be there in its shape, and nothing else but what only training needs: a file that has more
    was made for another model. Raises `InvalidWeights`.
    """
    path = Path(path)
    stored = _read(path)
    _check(model.graph, stored, path.name)
    result = without_weights(model)
    for tensor in model.graph.initializer:
        fresh = result.graph.initializer.add()
        fresh.name = tensor.name
        fresh.data_type = TensorProto.FLOAT
        fresh.dims.extend(tensor.dims)
        fresh.raw_data = stored[tensor.name].astype(np.float32, copy=False).tobytes()
    return result


def _check(graph: onnx.GraphProto, stored: Mapping[str, NDArray[Any]], file: str) -> None:
    refusal = f"{file} does not fit {graph.name}"
    wanted = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    for name, shape in wanted.items():
        if name not in stored:
            raise InvalidWeights(
                f"{refusal}: it lacks {name!r} {list(shape)}: rename its tensors, or choose the "
                "model it was made for"
            )
        found = stored[name]
        if found.shape != shape:
            raise InvalidWeights(
                f"{refusal}: {name!r} is {list(found.shape)} there and {list(shape)} here: "
                "choose the model it was made for"
            )
        if found.dtype.name not in _TYPES:
            raise InvalidWeights(
                f"{refusal}: {name!r} is {found.dtype.name}: store it as one of {', '.join(_TYPES)}"
            )
    for name in stored:
        if name not in wanted and not _NOT_FOR_INFERENCE.fullmatch(name):
            raise InvalidWeights(
                f"{refusal}: the model has no {name!r}: remove it from the file, or choose the "
                "model it was made for"
            )


def _read(path: Path) -> dict[str, NDArray[Any]]:
    """All tensors of a file by name."""
    if path.suffix not in (".safetensors", ".onnx"):
        raise InvalidWeights(
            f"{path.name} is neither .safetensors nor .onnx: save a state_dict with "
            "safetensors.torch.save_file"
        )
    if not path.is_file():
        raise InvalidWeights(f"there is no file {path}: correct the path")
    try:
        if path.suffix == ".safetensors":
            return safetensors.numpy.load_file(path)
        tensors = onnx.load(path).graph.initializer
        return {tensor.name: numpy_helper.to_array(tensor) for tensor in tensors}
    except (SafetensorError, DecodeError, onnx.checker.ValidationError, OSError) as error:
        reason = " ".join(str(error).split())
        raise InvalidWeights(
            f"{path.name} cannot be read ({reason}): write or fetch it anew"
        ) from error


def without_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy without initializers. Half a gigabyte copied to be overwritten is never given back."""
    result = onnx.ModelProto()
    _copy_fields(model, result, leave_out="graph")
    _copy_fields(model.graph, result.graph, leave_out="initializer")
    return result


def _copy_fields(source: Any, target: Any, *, leave_out: str) -> None:
    """Copy all but one of the fields of a protobuf message to an empty one of its kind."""
    for field, content in source.ListFields():
        if field.name == leave_out:
            continue
        if isinstance(content, (str, bytes, int, float)):
            setattr(target, field.name, content)
        else:
            getattr(target, field.name).MergeFrom(content)
