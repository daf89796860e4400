"""Weights from files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import pytest
from numpy.typing import DTypeLike, NDArray
from onnx import numpy_helper
from safetensors.numpy import save_file

from swath.zoo import InvalidWeights, build, replace_weights

Tensors = dict[str, NDArray[Any]]

FIRST = "features.0.weight"
BIAS = "classifier.1.bias"


@pytest.fixture(scope="module")
def model() -> onnx.ModelProto:
    return build("squeezenet", 32, 32)


@pytest.fixture
def others() -> Tensors:
    """Other weights for the same model."""
    return tensors_of(build("squeezenet", 32, 32, seed=7))


def tensors_of(model: onnx.ModelProto) -> Tensors:
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


def assert_equal(left: Tensors, right: Tensors) -> None:
    assert list(left) == list(right)
    for name, array in left.items():
        assert array.dtype == right[name].dtype
        np.testing.assert_array_equal(array, right[name])


@pytest.mark.parametrize("kind", [np.float32, np.float16, ml_dtypes.bfloat16])
def test_safetensors(
    model: onnx.ModelProto, others: Tensors, tmp_path: Path, kind: DTypeLike
) -> None:
    before = model.SerializeToString()
    stored = {name: array.astype(kind) for name, array in others.items()}
    save_file(stored, tmp_path / "other.safetensors")
    replaced = replace_weights(model, tmp_path / "other.safetensors")
    expected = {name: array.astype(np.float32) for name, array in stored.items()}
    assert_equal(tensors_of(replaced), expected)
    assert model.SerializeToString() == before


@pytest.mark.parametrize("external", [False, True])
def test_onnx(model: onnx.ModelProto, tmp_path: Path, external: bool) -> None:
    other = build("squeezenet", 64, 64, seed=7)
    expected = tensors_of(other)
    onnx.save(other, tmp_path / "other.onnx", save_as_external_data=external, size_threshold=0)
    replaced = replace_weights(model, str(tmp_path / "other.onnx"))
    assert_equal(tensors_of(replaced), expected)


def test_all_but_the_weights_stays(model: onnx.ModelProto, others: Tensors, tmp_path: Path) -> None:
    save_file(tensors_of(model), tmp_path / "same.safetensors")
    same = replace_weights(model, tmp_path / "same.safetensors")
    assert same.SerializeToString(deterministic=True) == model.SerializeToString(deterministic=True)


def test_what_only_training_needs_is_left_out(
    model: onnx.ModelProto, others: Tensors, tmp_path: Path
) -> None:
    others["bn.num_batches_tracked"] = np.array(7)
    others["aux1.fc1.weight"] = np.zeros((2, 2), np.float32)
    save_file(others, tmp_path / "more.safetensors")
    assert FIRST in tensors_of(replace_weights(model, tmp_path / "more.safetensors"))


def lacks(tensors: Tensors) -> None:
    del tensors[BIAS]


def has_another_shape(tensors: Tensors) -> None:
    tensors[BIAS] = tensors[BIAS][:10]


def has_another_type(tensors: Tensors) -> None:
    tensors[BIAS] = tensors[BIAS].astype(np.float64)


def has_more(tensors: Tensors) -> None:
    tensors["features.13.weight"] = np.zeros(3, np.float32)


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        (lacks, (BIAS, "lacks", "[1000]", "rename")),
        (has_another_shape, (BIAS, "[10] there and [1000] here", "choose the model")),
        (has_another_type, (BIAS, "float64", "store it as")),
        (has_more, ("features.13.weight", "remove it")),
    ],
)
def test_what_does_not_fit_is_named(
    model: onnx.ModelProto,
    others: Tensors,
    tmp_path: Path,
    change: Callable[[Tensors], None],
    parts: tuple[str, ...],
) -> None:
    change(others)
    save_file(others, tmp_path / "other.safetensors")
    with pytest.raises(InvalidWeights) as caught:
        replace_weights(model, tmp_path / "other.safetensors")
    message = str(caught.value)
    assert all(part in message for part in ("other.safetensors", "squeezenet", *parts))
    assert "\n" not in message


@pytest.mark.parametrize(
    ("file", "content", "part"),
    [
        ("other.pth", b"", "neither .safetensors nor .onnx"),
        ("other.onnx", None, "no file"),
        ("other.safetensors", b"\xff" * 100, "cannot be read"),
        ("other.safetensors", b"", "cannot be read"),
        ("other.onnx", b"\xff" * 100, "cannot be read"),
    ],
)
def test_files_that_cannot_be_read(
    model: onnx.ModelProto, tmp_path: Path, file: str, content: bytes | None, part: str
) -> None:
    if content is not None:
        (tmp_path / file).write_bytes(content)
    with pytest.raises(InvalidWeights) as caught:
        replace_weights(model, tmp_path / file)
    assert part in str(caught.value)
    assert file in str(caught.value)
    assert "\n" not in str(caught.value)
