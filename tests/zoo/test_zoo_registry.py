"""Names, sizes and seeds."""

from __future__ import annotations

import hashlib

import onnx
import pytest

from swath.zoo import NAMES, InvalidSize, UnknownModel, ZooError, ZooSpec, build, parse
from swath.zoo.builder import Network
from swath.zoo.registry import find
from swath.zoo.weights import WeightStream


def weights(model: onnx.ModelProto) -> dict[str, bytes]:
    return {tensor.name: tensor.raw_data for tensor in model.graph.initializer}


def test_names() -> None:
    assert " ".join(NAMES) == (
        "alexnet vgg11 vgg13 vgg16 vgg19 resnet18 resnet34 resnet50 resnet101 resnet152 "
        "mobilenet_v1 mobilenet_v2 mobilenet_v3_large mobilenet_v3_small googlenet squeezenet "
        "densenet121 efficientnet_b0 yolov2 tiny_yolov2 unet dncnn"
    )


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("zoo:vgg16", ZooSpec("vgg16")),
        ("zoo:vgg16@1024x768", ZooSpec("vgg16", 1024, 768)),
        ("zoo:tiny_yolov2@32x64", ZooSpec("tiny_yolov2", 32, 64)),
    ],
)
def test_parse(spec: str, expected: ZooSpec) -> None:
    assert parse(spec) == expected


@pytest.mark.parametrize(
    ("spec", "error", "part"),
    [
        ("vgg16", UnknownModel, "write zoo:NAME"),
        ("zoo:vgg-16", UnknownModel, "did you mean 'vgg16'?"),
        ("zoo:ResNet-50", UnknownModel, "did you mean 'resnet50'?"),
        ("zoo:transformer", UnknownModel, "known are alexnet, vgg11"),
        ("zoo:", UnknownModel, "known are"),
        ("zoo:vgg16@224", InvalidSize, "write HxW"),
        ("zoo:vgg16@", InvalidSize, "write HxW"),
        ("zoo:vgg16@-1x224", InvalidSize, "write HxW"),
        ("zoo:vgg16@224x224x3", InvalidSize, "write HxW"),
    ],
)
def test_parse_refuses(spec: str, error: type[ZooError], part: str) -> None:
    with pytest.raises(error) as caught:
        parse(spec)
    assert part in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "height", "width", "part"),
    [
        ("alexnet", 62, 224, "smallest input is 63x63"),
        ("vgg16", 224, 31, "smallest input is 32x32"),
        ("resnet18", 0, 10, "smallest input is 1x1"),
        ("unet", 100, 128, "multiples of 16, such as 112x128"),
        ("yolov2", 600, 600, "multiples of 32, such as 608x608"),
    ],
)
def test_build_refuses_sizes(name: str, height: int, width: int, part: str) -> None:
    with pytest.raises(InvalidSize) as caught:
        build(name, height, width)
    assert part in str(caught.value)
    assert "\n" not in str(caught.value)


def test_build_refuses_names_batches_and_seeds() -> None:
    with pytest.raises(UnknownModel, match="did you mean 'unet'"):
        build("unett")
    with pytest.raises(InvalidSize, match="batch of 0"):
        build("dncnn", batch=0)
    with pytest.raises(ZooError, match="seed -1"):
        build("dncnn", seed=-1)


@pytest.mark.parametrize(
    "name", ["alexnet", "vgg11", "googlenet", "squeezenet", "densenet121", "tiny_yolov2"]
)
def test_smallest_size_is_the_smallest(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(WeightStream, "uniform", lambda *_: b"")  # only shapes matter here
    entry = find(name)
    build(name, entry.smallest, entry.smallest)
    network = Network(name, 0)
    image = network.input((1, 3, entry.smallest - 1, entry.smallest - 1))
    with pytest.raises(InvalidSize, match="does not fit a map"):
        entry.define(network, image)


def test_weights_depend_on_name_and_seed_alone() -> None:
    first = build("mobilenet_v3_small")
    assert build("mobilenet_v3_small").SerializeToString() == first.SerializeToString()
    assert weights(build("mobilenet_v3_small", 65, 33, batch=3)) == weights(first)
    other = weights(build("mobilenet_v3_small", seed=1))
    assert not set(other.values()) & set(weights(first).values())


def test_weights_are_the_same_on_every_machine() -> None:
    # A plan names its model by a digest: weights may not change with the version of NumPy.
    digest = hashlib.sha256()
    for name, content in weights(build("efficientnet_b0", 32, 32)).items():
        digest.update(name.encode() + content)
    assert digest.hexdigest() == "d85832cd2b4a24757839ed9c0282e19b294b0295e6eed6f6d36ea8375a0cb7c7"
