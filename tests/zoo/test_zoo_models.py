"""Every model of the zoo: its size and work as published, its names, and that it runs."""

from __future__ import annotations

import hashlib
import math

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray

from swath.zoo import NAMES, build
from swath.zoo.published import PUBLISHED
from swath.zoo.replace import without_weights

# Digests of "NAME [SHAPE]" lines of the sorted state_dict of torchvision 0.28 (counters of BN and
# auxiliary heads left out), so that its weight files are known to fit without it being installed.
TORCHVISION = {
    "alexnet": "12a60b133d7b54dc",
    "vgg11": "67a7eb563529a90c",
    "vgg13": "06fdc111ee6d2ed8",
    "vgg16": "26a44a8d3cab16c6",
    "vgg19": "2ae6c231664ee367",
    "resnet18": "fc669aac650ab66f",
    "resnet34": "efabbe4b2289112b",
    "resnet50": "584ee931ad382885",
    "resnet101": "a85edc6cd135a89d",
    "resnet152": "d9e4b3df983b2711",
    "mobilenet_v2": "07c1a8796c1aa659",
    "mobilenet_v3_large": "01e1084ad1e703da",
    "mobilenet_v3_small": "cb6b8a086b0ea7e8",
    "googlenet": "fa3d44cfc0caf557",
    "squeezenet": "d67adc94cdb2fd98",
    "densenet121": "c4a956e878d257a8",
    "efficientnet_b0": "29f2e4b8ed94097f",
}

# One of each family that has one of less than 12 million parameters.
SMALL = (
    "resnet18",
    "mobilenet_v1",
    "mobilenet_v2",
    "mobilenet_v3_small",
    "googlenet",
    "squeezenet",
    "densenet121",
    "efficientnet_b0",
    "tiny_yolov2",
    "dncnn",
)

Array = NDArray[np.float32]


# Half a gigabyte each; vgg11 and vgg16 stand for them in a quick run.
SLOW = ("vgg11", "vgg13", "vgg19", "resnet101", "resnet152", "yolov2")
CASES = [pytest.param(n, marks=pytest.mark.slow) if n in SLOW else n for n in NAMES]


@pytest.fixture(scope="module", params=CASES)
def model(request: pytest.FixtureRequest) -> onnx.ModelProto:
    """Each model at its published size, built once for all tests that take it."""
    return build(str(request.param))


def shape_of(value: onnx.ValueInfoProto) -> tuple[int, ...]:
    return tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim)


def shapes_of(graph: onnx.GraphProto) -> dict[str, tuple[int, ...]]:
    values = (*graph.input, *graph.value_info, *graph.output)
    return {value.name: shape_of(value) for value in values}


def parameters(graph: onnx.GraphProto) -> int:
    """Learnable numbers: without the running statistics."""
    return sum(math.prod(t.dims) for t in graph.initializer if ".running_" not in t.name)


def macs(graph: onnx.GraphProto) -> int:
    """Multiply-accumulates of convolutions and fully connected layers."""
    shapes = shapes_of(graph)
    weights = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    count = 0
    for node in graph.node:
        if node.op_type == "Conv":
            count += math.prod(shapes[node.output[0]]) * math.prod(weights[node.input[1]][1:])
        elif node.op_type == "ConvTranspose":
            count += math.prod(shapes[node.input[0]]) * math.prod(weights[node.input[1]][1:])
        elif node.op_type == "Gemm":
            count += shapes[node.input[0]][0] * math.prod(weights[node.input[1]])
    return count


def outlined(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with names and shapes of its weights only, as if they were in a file."""
    result = without_weights(model)
    for tensor in model.graph.initializer:
        outline = result.graph.initializer.add(name=tensor.name, data_type=tensor.data_type)
        outline.dims.extend(tensor.dims)
        outline.data_location = onnx.TensorProto.EXTERNAL
        outline.external_data.add(key="location", value="weights")
    return result


def session_of(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    # Each session runs once or twice: packing weights would take longer than it saves.
    options.add_session_config_entry("session.disable_prepacking", "1")
    # Weights are handed over beside the model: to serialise half a gigabyte takes seconds.
    tensors = model.graph.initializer
    arrays = [np.frombuffer(t.raw_data, np.float32).reshape(tuple(t.dims)) for t in tensors]
    options.add_external_initializers(
        [tensor.name for tensor in tensors],
        [onnxruntime.OrtValue.ortvalue_from_numpy(array) for array in arrays],
    )
    return onnxruntime.InferenceSession(
        outlined(model).SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def image_for(model: onnx.ModelProto, seed: int) -> Array:
    shape = shape_of(model.graph.input[0])
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


def run(session: onnxruntime.InferenceSession, image: Array) -> Array:
    (output,) = session.run(["output"], {"input": image})
    assert isinstance(output, np.ndarray)
    return output


def test_size_and_work_are_the_published_ones(model: onnx.ModelProto) -> None:
    published = PUBLISHED[model.graph.name]
    assert parameters(model.graph) == published.parameters
    if published.gmacs is not None:
        # Some are published with two digits after the point.
        assert macs(model.graph) / 1e9 == pytest.approx(published.gmacs, rel=0.01, abs=0.005)


def test_names_and_shapes_are_torchvisions(model: onnx.ModelProto) -> None:
    if model.graph.name not in TORCHVISION:
        assert model.graph.name in {"mobilenet_v1", "yolov2", "tiny_yolov2", "unet", "dncnn"}
        return
    lines = sorted(f"{t.name} {list(t.dims)}" for t in model.graph.initializer)
    digest = hashlib.sha256("\n".join(lines).encode()).hexdigest()
    assert digest.startswith(TORCHVISION[model.graph.name])


def test_form(model: onnx.ModelProto) -> None:
    assert model.ir_version == 8
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 17)]
    assert model.producer_name == "swath"
    assert [value.name for value in model.graph.input] == ["input"]
    assert [value.name for value in model.graph.output] == ["output"]
    assert {t.data_type for t in model.graph.initializer} == {onnx.TensorProto.FLOAT}
    assert all(node.name for node in model.graph.node)


def test_output_is_sane_and_depends_on_the_input(model: onnx.ModelProto) -> None:
    session = session_of(model)
    first = run(session, image_for(model, 1))
    assert first.shape == shape_of(model.graph.output[0])
    assert np.isfinite(first).all()
    assert 1e-3 < first.std() < 1e3
    second = run(session, image_for(model, 2))
    assert np.abs(first - second).max() > 1e-2 * first.std()


@pytest.mark.parametrize("name", ["alexnet", *SMALL, "unet"])
def test_any_size_has_the_stated_shapes(name: str) -> None:
    height, width = (96, 64) if name == "unet" else (75, 97)
    model = build(name, height, width, batch=2)
    stated = shapes_of(model.graph)
    assert stated["input"][0] == 2
    assert stated["input"][2:] == (height, width)
    assert stated["output"][0] == 2
    bare = outlined(model)
    del bare.graph.value_info[:]
    inferred = shapes_of(onnx.shape_inference.infer_shapes(bare, strict_mode=True).graph)
    assert {name: inferred[name] for name in stated} == stated
    output = run(session_of(model), image_for(model, 1))
    assert output.shape == stated["output"]
    assert np.isfinite(output).all()


@pytest.mark.parametrize("name", SMALL)
def test_checker_finds_nothing(name: str) -> None:
    onnx.checker.check_model(build(name, 64, 96), full_check=True)


def test_every_model_has_published_numbers() -> None:
    assert set(PUBLISHED) == set(NAMES)
