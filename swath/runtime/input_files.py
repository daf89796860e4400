"""Inputs from files: pictures, ``.npy`` and ``.npz``, brought to what a model takes."""

from __future__ import annotations

import os
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image, ImageOps

from swath.errors import InputError
from swath.graph.graph import Graph
from swath.ops import Tensor
from swath.runtime.inputs import check_inputs

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
IMAGENET_MARGIN = 256 / 224
"""A picture is scaled to this many times the model's input before its centre is cut out."""

PictureLayout = Literal["nchw", "nhwc"]


@dataclass(frozen=True, slots=True)
class Preparation:
    """How a picture becomes an array; the defaults are ImageNet's.

    ``size``: pixels of the shorter side before the centre is cut out (None: 256 for an input of
    224, in proportion for others). ``mean`` and ``std``: of values from 0 to 1, one per channel or
    one for all. ``layout``: order of the axes (None: by the shape of the model's input).
    A model that takes uint8 gets the pixels as they are.
    """

    size: int | None = None
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    layout: PictureLayout | None = None


def read_inputs(
    graph: Graph, path: str | os.PathLike[str], preparation: Preparation | None = None
) -> dict[str, np.ndarray]:
    """What a file holds, as the model's inputs, checked against them.

    ``.npz``: an array for each input, by name (one array for one input may have any name).
    ``.npy``: the one input. Anything else is taken for a picture, which the first input gets.
    Raises InputError in one line that names the file.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file; name a picture, .npy or .npz file")
    suffix = path.suffix.lower()
    if suffix == ".npz":
        return check_inputs(graph, _read_npz(graph, path))
    name = _only_input(graph, path)
    array = (
        _read_npy(path)
        if suffix == ".npy"
        else _read_picture(path, name, graph.tensors[name], preparation or Preparation())
    )
    return check_inputs(graph, {name: array})


def _only_input(graph: Graph, path: Path) -> str:
    if len(graph.inputs) == 1:
        return graph.inputs[0]
    raise InputError(
        f"{path}: the model has {len(graph.inputs)} inputs ({', '.join(graph.inputs)}); "
        "give them by name in an .npz file"
    )


def _read_npy(path: Path) -> np.ndarray:
    try:
        loaded = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"{path}: not an .npy file that can be read: {_line(error)}") from None
    if not isinstance(loaded, np.ndarray):
        raise InputError(f"{path}: not an .npy file; is it an .npz?")
    return loaded


def _read_npz(graph: Graph, path: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as loaded:
            arrays = {name: loaded[name] for name in loaded.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, AttributeError, TypeError) as error:
        raise InputError(f"{path}: not an .npz file that can be read: {_line(error)}") from None
    if len(graph.inputs) == len(arrays) == 1:
        return dict(zip(graph.inputs, arrays.values(), strict=True))
    return arrays


def _read_picture(path: Path, name: str, tensor: Tensor, preparation: Preparation) -> np.ndarray:
    layout, rows, columns, channels = _picture_place(path, name, tensor, preparation)
    try:
        with Image.open(path) as opened:
            upright = ImageOps.exif_transpose(opened)
            picture = upright.convert("RGB" if channels == 3 else "L")
    except Exception as error:  # Pillow raises many kinds for broken files.
        reason = "" if isinstance(error, OSError) else f" ({_line(error)})"
        raise InputError(
            f"{path}: not a picture that can be read{reason}; give a jpg, png, .npy or .npz"
        ) from None
    pixels = np.asarray(_cut_centre(path, picture, rows, columns, preparation.size))
    pixels = pixels.reshape(rows, columns, channels)
    if tensor.dtype != "uint8":
        mean = _per_channel("mean", preparation.mean, channels)
        std = _per_channel("std", preparation.std, channels)
        if not std.all():
            raise InputError("--std holds a zero; values are divided by it")
        pixels = ((pixels.astype(np.float32) / 255 - mean) / std).astype(tensor.dtype)
    if layout == "nchw":
        pixels = pixels.transpose(2, 0, 1)
    assert tensor.shape is not None
    return np.ascontiguousarray(np.broadcast_to(pixels, tensor.shape))


def _picture_place(
    path: Path, name: str, tensor: Tensor, preparation: Preparation
) -> tuple[PictureLayout, int, int, int]:
    """(layout, rows, columns, channels) of an input that takes pictures."""
    shape = tensor.shape
    if tensor.dtype != "uint8" and not tensor.dtype.startswith("float"):
        raise InputError(
            f"{path}: a picture becomes floats or uint8, but input {name!r} takes "
            f"{tensor.dtype or 'something else'}; give an .npy file"
        )
    if shape is not None and len(shape) == 4:
        if preparation.layout != "nhwc" and shape[1] in (1, 3):
            return "nchw", shape[2], shape[3], shape[1]
        if preparation.layout != "nchw" and shape[3] in (1, 3):
            return "nhwc", shape[1], shape[2], shape[3]
    shown = "unknown" if shape is None else list(shape)
    as_asked = f" laid out {preparation.layout}" if preparation.layout else ""
    raise InputError(
        f"{path}: input {name!r} of shape {shown} is no place for a picture{as_asked} "
        "(4 axes, 1 or 3 channels); give an .npy file"
    )


def _cut_centre(
    path: Path, picture: Image.Image, rows: int, columns: int, size: int | None
) -> Image.Image:
    """Scaled with its proportions kept, then its centre of rows x columns."""
    if size is None:
        scale = IMAGENET_MARGIN * max(columns / picture.width, rows / picture.height)
    else:
        scale = size / min(picture.width, picture.height)
    width, height = round(picture.width * scale), round(picture.height * scale)
    if width < columns or height < rows:
        raise InputError(
            f"{path}: --size {size} makes the picture {height}x{width}, smaller than the model's "
            f"input of {rows}x{columns}; choose at least {max(rows, columns)}"
        )
    left, top = (width - columns) // 2, (height - rows) // 2
    scaled = picture.resize((width, height), Image.Resampling.BILINEAR)
    return scaled.crop((left, top, left + columns, top + rows))


def _per_channel(what: str, values: tuple[float, ...], channels: int) -> np.ndarray:
    array = np.asarray(values, np.float32)
    if channels == 1 and len(array) == 3:
        return np.asarray(array.mean(keepdims=True))
    if len(array) not in (1, channels):
        raise InputError(
            f"--{what} has {len(array)} values, the model's input {channels} channels; "
            "give one for all or one for each"
        )
    return array


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
