"""Inputs from files: pictures become what ImageNet's preparation gives, arrays what they are."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper
from PIL import Image

import swath
from swath.errors import InputError
from swath.runtime.input_files import Preparation, read_inputs


def graph_for(shape, dtype=TensorProto.FLOAT, names=("x",)):
    inputs = [helper.make_tensor_value_info(name, dtype, shape) for name in names]
    output = helper.make_tensor_value_info("y", dtype, shape)
    nodes = [helper.make_node("Identity", [names[0]], ["y"])]
    graph = helper.make_graph(nodes, "test", inputs, [output])
    return swath.load(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]))


@pytest.fixture
def picture(tmp_path):
    """Red on the left, blue on the right, wide."""
    pixels = np.zeros((60, 120, 3), np.uint8)
    pixels[:, :60, 0] = 255
    pixels[:, 60:, 2] = 255
    path = tmp_path / "picture.png"
    Image.fromarray(pixels).save(path)
    return path


def test_imagenet_preparation(picture):
    made = read_inputs(graph_for([1, 3, 32, 48]), picture)["x"]
    assert made.shape == (1, 3, 32, 48)
    assert made.dtype == np.float32
    red, blue = (1 - 0.485) / 0.229, (1 - 0.406) / 0.225
    assert made[0, 0, 0, 0] == pytest.approx(red, abs=1e-5)
    assert made[0, 2, 0, 0] == pytest.approx(-0.406 / 0.225, abs=1e-5)
    assert made[0, 2, -1, -1] == pytest.approx(blue, abs=1e-5)


@pytest.mark.parametrize("shape", [[1, 16, 24, 3], [2, 16, 24, 3]])
def test_channels_last_and_batches(picture, shape):
    made = read_inputs(graph_for(shape), picture)["x"]
    assert made.shape == tuple(shape)
    assert made[-1, 0, 0, 0] == pytest.approx((1 - 0.485) / 0.229, abs=1e-5)


def test_one_channel_is_grey(picture):
    made = read_inputs(graph_for([1, 1, 20, 20]), picture, Preparation(mean=(0,), std=(1,)))["x"]
    assert made[0, 0, 0, 0] == pytest.approx(76 / 255, abs=0.01)


def test_uint8_gets_the_pixels(picture):
    made = read_inputs(graph_for([1, 3, 20, 20], TensorProto.UINT8), picture)["x"]
    assert made[0, :, 0, 0].tolist() == [255, 0, 0]


def test_size_says_how_much_of_the_picture_is_seen(picture):
    wide = read_inputs(graph_for([1, 3, 20, 20]), picture, Preparation(20, (0,), (1,)))["x"]
    near = read_inputs(graph_for([1, 3, 20, 20]), picture, Preparation(200, (0,), (1,)))["x"]
    assert wide[0, 0, 0, 0] == near[0, 0, 0, 0] == 1
    with pytest.raises(InputError, match="choose at least 20"):
        read_inputs(graph_for([1, 3, 20, 20]), picture, Preparation(10))


@pytest.mark.parametrize(
    ("shape", "dtype", "preparation", "said"),
    [
        ([1, 8, 20, 20], TensorProto.FLOAT, Preparation(), "no place for a picture"),
        ([1, 3, 20, 20], TensorProto.FLOAT, Preparation(layout="nhwc"), "laid out nhwc"),
        ([10], TensorProto.FLOAT, Preparation(), "no place for a picture"),
        ([1, 3, 20, 20], TensorProto.INT64, Preparation(), "takes int64"),
        ([1, 3, 20, 20], TensorProto.FLOAT, Preparation(mean=(1, 2)), "one for all or one"),
        ([1, 3, 20, 20], TensorProto.FLOAT, Preparation(std=(0,)), "holds a zero"),
    ],
)
def test_what_cannot_be_prepared(picture, shape, dtype, preparation, said):
    with pytest.raises(InputError, match=said):
        read_inputs(graph_for(shape, dtype), picture, preparation)


def test_npz_by_name_and_npy_for_one_input(tmp_path):
    array = np.arange(4, dtype=np.float32)
    two = graph_for([4], names=("x", "z"))
    np.savez(tmp_path / "two.npz", x=array, z=-array)
    assert read_inputs(two, tmp_path / "two.npz")["z"].tolist() == (-array).tolist()
    np.save(tmp_path / "one.npy", array)
    with pytest.raises(InputError, match="2 inputs"):
        read_inputs(two, tmp_path / "one.npy")
    np.savez(tmp_path / "one.npz", array)
    for name in ("one.npy", "one.npz"):
        assert read_inputs(graph_for([4]), tmp_path / name)["x"].tolist() == array.tolist()


def test_objects_are_not_unpickled(tmp_path):
    np.save(tmp_path / "objects.npy", np.array([{}], object), allow_pickle=True)
    with pytest.raises(InputError, match=r"not an \.npy file that can be read"):
        read_inputs(graph_for([1]), tmp_path / "objects.npy")
