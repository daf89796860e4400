"""Reading: what comes in comes in whole, and what is not a model is refused in one line."""

from __future__ import annotations

import contextlib

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from swath.errors import ModelError
from swath.graph.read import read, read_skeleton

TYPES = ["float32", "float64", "float16", "int8", "uint8", "int64", "bool", "complex64"]
LOW = ["bfloat16", "float8_e4m3fn", "float8_e5m2", "int4", "uint4"]


def model(weights, as_inputs=()):
    value = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2])]
    inputs = value + [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, weights[name].shape)
        for name in as_inputs
    ]
    tensors = [numpy_helper.from_array(array, name) for name, array in weights.items()]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "test", inputs, [
        helper.make_tensor_value_info("y", TensorProto.FLOAT, [2])], tensors)  # fmt: skip
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 13)], producer_name="somebody"
    )


def some_weights(size):
    ones = np.arange(size) % 2
    return {
        **{name: ones.astype(name).reshape(2, -1) for name in TYPES},
        **{name: ones.astype(getattr(ml_dtypes, name)).reshape(2, -1) for name in LOW},
        "text": np.array(["a", "b"], object),
        "scalar": np.float32(3),
        "none": np.zeros((0, 4), np.float32),
    }


def source(proto, form, folder):
    if form == "proto":
        return proto
    if form == "bytes":
        return proto.SerializeToString()
    path = folder / "model.onnx"
    if form == "external":
        copy = onnx.ModelProto()
        copy.CopyFrom(proto)
        onnx.save(copy, path, save_as_external_data=True, location="weights", size_threshold=0)
    else:
        onnx.save(proto, path)
    return str(path) if form == "file" else path


@pytest.mark.parametrize("size", [6, 20000])
@pytest.mark.parametrize("form", ["proto", "bytes", "file", "external"])
def test_everything_is_read(form, size, tmp_path):
    weights = some_weights(size)
    if form == "external":
        del weights["none"]
    proto = model(weights)
    before = proto.SerializeToString(deterministic=True)
    skeleton = read_skeleton(source(proto, form, tmp_path))
    assert not skeleton.proto.graph.initializer
    assert skeleton.weights.keys() == weights.keys()
    for name, array in weights.items():
        read_back = skeleton.weights[name]
        assert read_back.dtype == np.asarray(array).dtype
        assert read_back.flags.aligned
        np.testing.assert_array_equal(read_back, array)
    whole = read(source(proto, form, tmp_path))
    assert whole.producer_name == "somebody"
    assert whole.graph.node == proto.graph.node
    assert [t.name for t in whole.graph.initializer] == list(weights)
    assert proto.SerializeToString(deterministic=True) == before


def test_other_storages():
    proto = model({})
    graph = proto.graph
    numbers = np.arange(3000, dtype=np.float32)
    graph.initializer.append(helper.make_tensor("listed", TensorProto.FLOAT, [3000], numbers))
    for name, places in (("flat", [5, 7]), ("pairs", [[1, 2], [2, 0]])):
        shape = [12] if name == "flat" else [3, 4]
        graph.sparse_initializer.append(
            helper.make_sparse_tensor(
                numpy_helper.from_array(np.array([1.5, 2.5], np.float32), name),
                numpy_helper.from_array(np.array(places, np.int64)),
                shape,
            )
        )
    weights = read_skeleton(proto.SerializeToString()).weights
    np.testing.assert_array_equal(weights["listed"], numbers)
    assert np.flatnonzero(weights["flat"]).tolist() == [5, 7]
    assert weights["pairs"][1, 2] == 1.5
    assert weights["pairs"][2, 0] == 2.5


@pytest.mark.parametrize("size", [3, 3000])
def test_initializers_are_not_inputs(size):
    proto = model({"w": np.ones(size, np.float32)}, as_inputs=["w"])
    assert [value.name for value in read(proto).graph.input] == ["x"]


@pytest.mark.parametrize("form", ["bytes", "path"])
def test_truncated_at_any_place(form, tmp_path):
    data = model({"w": np.ones(3000, np.float32), "b": np.ones(3, np.float32)}).SerializeToString()
    for stop in [*range(60), *range(60, len(data), 97), len(data) - 1]:
        given = data[:stop]
        if form == "path":
            given = tmp_path / "cut.onnx"
            given.write_bytes(data[:stop])
        with pytest.raises(ModelError) as caught:
            read_skeleton(given)
        assert "\n" not in str(caught.value)


def test_noise_is_refused():
    random = np.random.default_rng(0)
    data = bytearray(model({"w": np.ones(3000, np.float32)}).SerializeToString())
    for _ in range(300):
        noise = random.integers(0, 256, random.integers(1, 200), np.uint8).tobytes()
        with pytest.raises(ModelError):
            read_skeleton(noise)
        place = int(random.integers(0, 200))
        damaged = bytes(data[:place]) + noise[:4] + bytes(data[place + 4 :])
        with contextlib.suppress(ModelError):  # damage may hit what nobody reads
            read_skeleton(damaged)


BAD_FILES = {
    "text": (b"# hello\nworld\n", "is not an ONNX model"),
    "empty": (b"", "is empty"),
    "runtime": (b"\x00\x00\x00\x00ORTM" + bytes(100), "ONNX Runtime's own format"),
    "zip": (b"PK\x03\x04" + bytes(range(200)), "is not an ONNX model"),
    "other": (onnx.TensorProto(name="t", dims=[1]).SerializeToString(), "is not an ONNX model"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_bad_files(case, tmp_path):
    data, message = BAD_FILES[case]
    path = tmp_path / "bad.onnx"
    path.write_bytes(data)
    with pytest.raises(ModelError, match=message) as caught:
        read(path)
    assert "bad.onnx" in str(caught.value)


def test_missing_files(tmp_path):
    with pytest.raises(ModelError, match="does not exist"):
        read(tmp_path / "none.onnx")
    with pytest.raises(ModelError, match="is a folder"):
        read(tmp_path)


def test_external_data_that_cannot_be_had(tmp_path):
    path = source(model({"w": np.ones(3000, np.float32)}), "external", tmp_path)
    proto = onnx.load(path, load_external_data=False)
    with pytest.raises(ModelError, match=r"'weights' of initializer 'w'.*hand in the path"):
        read(proto)
    (tmp_path / "weights").write_bytes(bytes(100))
    with pytest.raises(ModelError, match=r"'weights' of initializer 'w' is truncated"):
        read(path)
    (tmp_path / "weights").unlink()
    with pytest.raises(ModelError, match=r"'weights' of initializer 'w' is missing: put it into"):
        read(path)
    for location in ("../weights", "/etc/passwd", ""):
        for entry in proto.graph.initializer[0].external_data:
            if entry.key == "location":
                entry.value = location
        path.write_bytes(proto.SerializeToString())
        with pytest.raises(ModelError, match="must lie beside the model"):
            read(path)
