"""From a file, bytes or a ModelProto to a model and its weights, each weight copied once.

``onnx.load`` holds a 550 MB model three times before its weights are numpy arrays (file, protobuf,
arrays), which costs a VGG-16 more time than everything else that is done to it. So the few fields
on the way to ``TensorProto.raw_data`` are walked here, the large ones are read straight into
arrays, and protobuf parses the rest.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import TensorProto, helper, numpy_helper

from swath.errors import ModelError

LARGE_BYTES = 4096
"""Tensors above this are read past protobuf, and left out of what tools are shown of a model."""

_GRAPH, _INITIALIZER, _RAW_DATA = 7, 5, 9
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_STORED_AS_BYTES = frozenset({TensorProto.STRING, TensorProto.UNDEFINED})


@dataclass(slots=True)
class Skeleton:
    """A model without its weights, and the weights.

    ``proto.graph`` has no initializers, and its inputs are only what a caller must feed.
    ``weights`` holds every initializer by name; low-precision types are ml_dtypes' (as
    ``onnx.numpy_helper`` has it), text is an object array.
    """

    proto: onnx.ModelProto
    weights: dict[str, np.ndarray] = field(default_factory=dict)

    def whole(self) -> onnx.ModelProto:
        """The model with its weights in it (a copy)."""
        model = onnx.ModelProto()
        model.CopyFrom(self.proto)
        for name, array in self.weights.items():
            dtype = helper.np_dtype_to_tensor_dtype(array.dtype)
            if array.nbytes > LARGE_BYTES and _plain_type(TensorProto(data_type=dtype)):
                tensor = model.graph.initializer.add(name=name, data_type=dtype, dims=array.shape)
                tensor.raw_data = array.tobytes()
            else:
                model.graph.initializer.append(tensor_proto(array, name))
        return model


def read(model: str | os.PathLike[str] | bytes | onnx.ModelProto) -> onnx.ModelProto:
    """The model as a ModelProto of its own, external data loaded; raises ModelError."""
    return read_skeleton(model).whole()


def read_skeleton(model: str | os.PathLike[str] | bytes | onnx.ModelProto) -> Skeleton:
    """The model and its weights; raises ModelError. Nothing that is handed in is changed."""
    if isinstance(model, onnx.ModelProto):
        return _separated(_shallow_copy(model), list(model.graph.initializer), {}, _NO_FILE)
    if isinstance(model, bytes | bytearray | memoryview):
        return _read_bytes(np.frombuffer(model, np.uint8), _Origin("the model", None))
    return _read_file(Path(model))


def lighten(skeleton: Skeleton) -> onnx.ModelProto:
    """The model as tools are shown it: small weights as initializers, large ones as inputs."""
    light = onnx.ModelProto()
    light.CopyFrom(skeleton.proto)
    for name, array in skeleton.weights.items():
        if array.nbytes > LARGE_BYTES:
            element = helper.np_dtype_to_tensor_dtype(array.dtype)
            light.graph.input.append(helper.make_tensor_value_info(name, element, array.shape))
        else:
            light.graph.initializer.append(tensor_proto(array, name))
    return light


def relight(light: onnx.ModelProto, weights: Mapping[str, np.ndarray]) -> Skeleton:
    """The skeleton of what a tool made of a `lighten`ed model whose weights were ``weights``."""
    tensors = list(light.graph.initializer)
    del light.graph.initializer[:]
    fresh = {tensor.name for tensor in tensors}
    arrays: dict[str, np.ndarray] = {
        value.name: weights[value.name]
        for value in light.graph.input
        if value.name in weights and value.name not in fresh
    }
    return _separated(light, tensors, {}, _NO_FILE, arrays)


def tensor_proto(array: np.ndarray, name: str) -> TensorProto:
    return numpy_helper.from_array(array, name)


@dataclass(frozen=True, slots=True)
class _Origin:
    """What to call the model in a message, and where its external data lie."""

    title: str
    folder: Path | None


_NO_FILE = _Origin("the model", None)


def _read_file(path: Path) -> Skeleton:
    origin = _Origin(f"'{path}'", path.parent)
    try:
        if path.is_dir():
            raise ModelError(f"'{path}' is a folder: name the ONNX file in it")
        with path.open("rb") as file:
            head = file.read(8)
        if head[4:8] == b"ORTM":
            raise ModelError(
                f"'{path}' is in ONNX Runtime's own format: hand in the ONNX file it was made from"
            )
        if not head:
            raise ModelError(f"'{path}' is empty: it is not an ONNX model")
        return _read_bytes(np.memmap(path, np.uint8, "r"), origin)
    except FileNotFoundError:
        raise ModelError(f"model file '{path}' does not exist: check the path") from None
    except OSError as error:
        raise ModelError(f"model file '{path}' cannot be read: {error.strerror or error}") from None


def _read_bytes(data: np.ndarray, origin: _Origin) -> Skeleton:
    size = len(data)
    if size == 0:
        raise ModelError(f"{origin.title} is empty: it is not an ONNX model")
    view = data.data
    try:
        light, large = _without_large_tensors(view)
        model = onnx.ModelProto.FromString(light)
    except _Truncated as error:
        raise ModelError(
            f"{origin.title} is not an ONNX model or is truncated: it announces {error} bytes "
            f"and has {size}; fetch or export it again"
        ) from None
    except DecodeError:
        raise ModelError(
            f"{origin.title} is not an ONNX model or is damaged: fetch or export it again"
        ) from None
    if not model.HasField("graph") or not (model.opset_import or model.ir_version):
        raise ModelError(f"{origin.title} is not an ONNX model: it holds no graph")
    tensors = list(model.graph.initializer)
    arrays = {
        position: _array_at(data, start, stop, tensors[position])
        for position, (start, stop) in large.items()
    }
    del model.graph.initializer[:]
    return _separated(model, tensors, arrays, origin)


class _Truncated(Exception):
    """A length that points beyond the end; the argument is where it points."""


def _without_large_tensors(view: memoryview) -> tuple[bytes, dict[int, tuple[int, int]]]:
    """The serialised model less the raw data of its large initializers, and where those lie, by
    the initializer's position."""
    large: dict[int, tuple[int, int]] = {}
    position = 0

    def tensor(start: int, stop: int) -> bytes | None:
        if stop - start <= LARGE_BYTES:
            return None
        pieces, cut = [], None
        for number, begin, content, end in _fields(view, start, stop):
            if number == _RAW_DATA and end - content > LARGE_BYTES:
                cut = (content, end)
            else:
                pieces.append(view[begin:end])
        if cut is None:
            return None
        large[position] = cut
        return b"".join(pieces)

    def graph(start: int, stop: int) -> bytes:
        nonlocal position
        pieces: list[bytes | memoryview] = []
        for number, begin, content, end in _fields(view, start, stop):
            light = tensor(content, end) if number == _INITIALIZER else None
            position += number == _INITIALIZER
            if light is None:
                pieces.append(view[begin:end])
            else:
                pieces += (view[begin : begin + 1], _varint_bytes(len(light)), light)
        return b"".join(pieces)

    pieces: list[bytes | memoryview] = []
    for number, begin, content, end in _fields(view, 0, len(view)):
        if number == _GRAPH:
            light = graph(content, end)
            pieces += (view[begin : begin + 1], _varint_bytes(len(light)), light)
        else:
            pieces.append(view[begin:end])
    return b"".join(pieces), large


def _fields(view: memoryview, start: int, stop: int) -> Iterator[tuple[int, int, int, int]]:
    """Of every field of a protobuf message: number, begin, begin of the content, end.

    The number is 0 for a field that is not length-delimited.
    """
    at = start
    while at < stop:
        begin = at
        tag, at = _varint(view, at, stop)
        kind = tag & 7
        number = 0
        content = at
        if kind == _VARINT:
            _, at = _varint(view, at, stop)
        elif kind == _FIXED64:
            at += 8
        elif kind == _FIXED32:
            at += 4
        elif kind == _BYTES:
            length, content = _varint(view, at, stop)
            at = content + length
            number = tag >> 3
        else:
            raise DecodeError("no such wire type in ONNX")
        if at > len(view):
            raise _Truncated(at)
        if at > stop:
            raise DecodeError("a field reaches beyond its message")
        yield number, begin, content, at


def _varint(view: memoryview, at: int, stop: int) -> tuple[int, int]:
    value = shift = 0
    while at < stop and shift < 64:
        byte = view[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    raise _Truncated(at + 1) if at >= len(view) else DecodeError("a number without end")


def _varint_bytes(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def _plain_type(tensor: TensorProto) -> np.dtype[Any] | None:
    """numpy's type of a tensor whose raw data are that type's bytes, one entry after the other."""
    if tensor.data_type in _STORED_AS_BYTES:
        return None
    try:
        dtype = np.dtype(helper.tensor_dtype_to_np_dtype(tensor.data_type))
    except KeyError:
        raise ModelError(
            f"initializer '{tensor.name}' has the unknown element type {tensor.data_type}"
        ) from None
    packed = "int4" in dtype.name or "int2" in dtype.name or "float4" in dtype.name
    return None if packed else dtype


def _array_at(data: np.ndarray, start: int, stop: int, tensor: TensorProto) -> np.ndarray:
    """A tensor whose raw data lie in ``data[start:stop]``, copied (aligned, our own)."""
    dtype = _plain_type(tensor)
    if dtype is None:
        tensor.raw_data = data[start:stop].tobytes()
        return _array(tensor)
    shape = tuple(tensor.dims)
    if prod(shape) * dtype.itemsize != stop - start:
        raise _wrong_size(tensor, stop - start)
    if isinstance(data, np.memmap) and data.filename is not None:
        # Reading is quicker than copying out of the map, whose pages would have to be mapped.
        return np.fromfile(data.filename, dtype, prod(shape), offset=start).reshape(shape)
    array = np.empty(shape, dtype)
    array.reshape(-1).view(np.uint8)[:] = data[start:stop]
    return array


def _wrong_size(tensor: TensorProto, size: int) -> ModelError:
    return ModelError(
        f"initializer '{tensor.name}' of shape {list(tensor.dims)} has {size} bytes of data, "
        "which does not fit: the file is damaged, fetch or export it again"
    )


def _separated(
    model: onnx.ModelProto,
    tensors: list[TensorProto],
    arrays: Mapping[int, np.ndarray],
    origin: _Origin,
    weights: dict[str, np.ndarray] | None = None,
) -> Skeleton:
    """``model`` (which has no initializers any more) with the weights from ``tensors``, added to
    ``weights``."""
    skeleton = Skeleton(model, weights or {})
    for position, tensor in enumerate(tensors):
        if position in arrays:
            array = arrays[position]
        elif tensor.data_location == TensorProto.EXTERNAL:
            array = _external(tensor, origin)
        else:
            array = _array(tensor)
        skeleton.weights[tensor.name] = array
    for sparse in model.graph.sparse_initializer:
        skeleton.weights[sparse.values.name] = dense(sparse)
    del model.graph.sparse_initializer[:]
    # Before IR 4 every initializer was an input, too: a default that a caller could override.
    inputs = [value for value in model.graph.input if value.name not in skeleton.weights]
    if len(inputs) < len(model.graph.input):
        kept = [onnx.ValueInfoProto.FromString(value.SerializeToString()) for value in inputs]
        del model.graph.input[:]
        model.graph.input.extend(kept)
    for graph in _graphs(model.graph):
        for node in graph.node:
            for attribute in node.attribute:
                for tensor in (attribute.t, *attribute.tensors):
                    _load_inside(tensor, origin)
        if graph is not model.graph:
            for tensor in graph.initializer:
                _load_inside(tensor, origin)
    return skeleton


def _graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                yield from _graphs(attribute.g)
            for body in attribute.graphs:
                yield from _graphs(body)


def _load_inside(tensor: TensorProto, origin: _Origin) -> None:
    """Replaces the reference to external data of a tensor inside a node by the data."""
    if tensor.data_location == TensorProto.EXTERNAL:
        tensor.CopyFrom(tensor_proto(_external(tensor, origin), tensor.name))


def _array(tensor: TensorProto) -> np.ndarray:
    try:
        return numpy_helper.to_array(tensor)
    except (ValueError, TypeError, KeyError, IndexError):
        raise _wrong_size(tensor, len(tensor.raw_data)) from None


def dense(sparse: onnx.SparseTensorProto) -> np.ndarray:
    """A sparse tensor written out (ONNX Runtime does the same when it loads a model)."""
    values, indices = _array(sparse.values), _array(sparse.indices)
    array = np.zeros(tuple(sparse.dims), values.dtype)
    if indices.ndim == 2:
        array[tuple(indices.T)] = values
    else:
        array.reshape(-1)[indices] = values
    return array


def _external(tensor: TensorProto, origin: _Origin) -> np.ndarray:
    """A tensor whose data lie in another file beside the model."""
    entries = {entry.key: entry.value for entry in tensor.external_data}
    location = entries.get("location", "")
    named = f"external data file '{location}' of initializer '{tensor.name}'"
    if origin.folder is None:
        raise ModelError(f"{named} cannot be found: hand in the path of the model's file instead")
    if not location or Path(location).is_absolute() or ".." in Path(location).parts:
        raise ModelError(f"{named} must lie beside the model, not elsewhere")
    path = origin.folder / location
    dtype = _plain_type(tensor)
    shape = tuple(tensor.dims)
    try:
        offset = int(entries.get("offset", 0))
        available = path.stat().st_size - offset
        length = int(entries.get("length", 0)) or available
        if length > available or offset < 0:
            raise ModelError(
                f"{named} is truncated: {offset + length} bytes are needed, it has "
                f"{available + offset}; fetch it again"
            )
        if dtype is None:
            data = np.fromfile(path, np.uint8, length, offset=offset).tobytes()
            copy = TensorProto(data_type=tensor.data_type, dims=tensor.dims, name=tensor.name)
            copy.raw_data = data
            return _array(copy)
        if prod(shape) * dtype.itemsize > length:
            raise _wrong_size(tensor, length)
        return np.fromfile(path, dtype, prod(shape), offset=offset).reshape(shape)
    except FileNotFoundError:
        raise ModelError(f"{named} is missing: put it into '{origin.folder}'") from None
    except (OSError, ValueError) as error:
        raise ModelError(f"{named} cannot be read: {error}") from None


def _shallow_copy(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of a model less its initializers."""
    copy = onnx.ModelProto()
    for descriptor, value in model.ListFields():
        if descriptor.name == "graph":
            for inner, content in value.ListFields():
                if inner.name != "initializer":
                    _copy_field(copy.graph, inner.name, content)
            copy.graph.SetInParent()
        else:
            _copy_field(copy, descriptor.name, value)
    return copy


def _copy_field(target: Any, name: str, value: Any) -> None:
    if isinstance(value, str | bytes | int | float):
        setattr(target, name, value)
    elif hasattr(value, "extend"):
        getattr(target, name).extend(value)
    else:
        getattr(target, name).CopyFrom(value)
