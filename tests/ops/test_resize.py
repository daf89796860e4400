"""Resize and Upsample in parts: every mode and coordinate rule, many scales, versions and types."""

from __future__ import annotations

import importlib
import warnings
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from onnx.backend.test.case import node as onnx_cases

from swath.graph.build import build_graph
from swath.graph.tile import extract_tile
from swath.ops import Region
from tests.splitting import check_split, prepared, session, with_constants

COORDINATES = (
    "half_pixel",
    "half_pixel_symmetric",
    "pytorch_half_pixel",
    "align_corners",
    "asymmetric",
    "tf_half_pixel_for_nn",
    "tf_crop_and_resize",
)
NEAREST = ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")
SCALES: tuple[tuple[tuple[int, int], tuple[float, float] | None, tuple[int, int] | None], ...] = (
    ((7, 9), (2.0, 2.0), None),
    ((8, 13), (0.5, 0.5), None),
    ((13, 5), (3.0, 1.0), None),
    ((21, 11), (0.6, 0.75), None),
    ((7, 5), None, (11, 8)),
)
"""Rows and columns, and their scales or the sizes they get."""


@dataclass(frozen=True)
class Case:
    """One Resize of ``x``; ``scales`` or ``sizes`` of its axes (of all, unless ``axes`` says)."""

    x: np.ndarray
    scales: tuple[float, ...] | None = None
    sizes: tuple[int, ...] | None = None
    roi: tuple[float, ...] | None = None
    opset: int = 19
    type: str = "Resize"
    attributes: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        shape = "x".join(str(extent) for extent in self.x.shape)
        attributes = ",".join(str(value) for value in self.attributes.values())
        return f"{self.type}{self.opset}-{shape}-{self.scales or self.sizes}-{attributes}"

    def model(self) -> onnx.ModelProto:
        scales = np.array([] if self.scales is None else self.scales, np.float32)
        inputs, constants = ["x", "scales"], {"scales": scales}
        if self.opset > 10:
            inputs = ["x", "roi", "scales"]
            constants["roi"] = np.array(self.roi or (), np.float32)
        if self.sizes is not None:
            inputs.append("sizes")
            constants["sizes"] = np.array(self.sizes, np.int64)
            if self.opset > 11:
                inputs[2] = ""
        element_type = helper.np_dtype_to_tensor_dtype(self.x.dtype)
        graph = helper.make_graph(
            [helper.make_node(self.type, inputs, ["y"], **self.attributes)],
            "resize",
            [helper.make_tensor_value_info("x", element_type, self.x.shape)],
            [helper.make_tensor_value_info("y", element_type, None)],
            [numpy_helper.from_array(value, name) for name, value in constants.items()],
        )
        opset = helper.make_opsetid("", self.opset)
        model = helper.make_model(graph, opset_imports=[opset], ir_version=8)
        # Shape inference knows neither negative axes nor every rounding of the kernel.
        made = session(model.SerializeToString()).run(None, {"x": self.x})[0]
        output = helper.make_tensor_value_info("y", element_type, made.shape)
        model.graph.output[0].CopyFrom(output)
        return model


def values(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


def _mode_cases() -> list[Case]:
    variants: list[dict[str, Any]] = [
        *({"mode": "nearest", "nearest_mode": nearest} for nearest in NEAREST),
        {"mode": "linear"},
        {"mode": "linear", "antialias": 1},
        {"mode": "linear", "antialias": 1, "exclude_outside": 1},
        {"mode": "cubic"},
        {"mode": "cubic", "cubic_coeff_a": -0.5, "exclude_outside": 1},
        {"mode": "cubic", "antialias": 1, "exclude_outside": 1},
        {"mode": "cubic", "antialias": 1, "cubic_coeff_a": -0.5},
    ]
    cases = []
    for variant, rule in product(variants, COORDINATES):
        only_once = rule == "tf_half_pixel_for_nn"  # In opset 11 alone, which cannot antialias.
        if only_once and "antialias" in variant:
            continue
        attributes = {**variant, "coordinate_transformation_mode": rule}
        roi = None
        if rule == "tf_crop_and_resize":
            attributes["extrapolation_value"] = 7.5
            roi = (0, 0, 0.1, -0.2, 1, 1, 0.8, 1.1)
        for (rows, columns), scales, sizes in SCALES:
            cases.append(
                Case(
                    values(1, 2, rows, columns),
                    None if scales is None else (1, 1, *scales),
                    None if sizes is None else (1, 2, *sizes),
                    roi,
                    11 if only_once else 19,
                    attributes=attributes,
                )
            )
    return cases


def _with_nan() -> np.ndarray:
    x = values(1, 3, 9, 7)
    x[0, 1, 4, 3], x[0, 2, 0, 6] = np.nan, np.inf
    return x


MAP = values(1, 3, 9, 7)
PIXELS = (values(1, 2, 9, 6) * 20).astype(np.int8)
FURTHER_CASES = [
    Case(MAP, (1, 1, 2, 3), opset=9, type="Upsample"),
    Case(MAP, (1, 1, 2, 3), opset=9, type="Upsample", attributes={"mode": "linear"}),
    Case(MAP, (1, 1, 0.6, 2.5), opset=10, attributes={"mode": "nearest"}),
    Case(MAP, (1, 1, 0.6, 2.5), opset=10, attributes={"mode": "linear"}),
    *(
        Case(MAP, sizes=(1, 3, 18, 14), opset=opset, attributes={"mode": mode})
        for opset in (11, 13, 18, 19)
        for mode in ("nearest", "linear", "cubic")
    ),
    Case(MAP, sizes=(5, 20), opset=18,
         attributes={"mode": "linear", "axes": [2, 3], "keep_aspect_ratio_policy": "not_larger"}),
    Case(MAP, sizes=(20, 5), opset=18,
         attributes={"mode": "nearest", "axes": [3, 2],
                     "keep_aspect_ratio_policy": "not_smaller"}),
    Case(MAP, (2.0, 1.5), opset=18, attributes={"mode": "cubic", "axes": [3, 2]}),
    Case(MAP, (2.0, 1.5), opset=18, attributes={"mode": "cubic", "axes": [-1, -2]}),
    Case(MAP, (2.0, 1.5), roi=(0.1, 0.2, 0.8, 1.2),
         attributes={"mode": "linear", "axes": [3, 2], "extrapolation_value": 3.0,
                     "coordinate_transformation_mode": "tf_crop_and_resize"}),
    *(
        Case(_with_nan(), scales, attributes={"mode": mode, "coordinate_transformation_mode": rule})
        for scales in ((1, 1, 2, 2), (1, 1, 0.5, 1), (1, 1, 1.7, 1.3))
        for mode in ("nearest", "linear", "cubic")
        for rule in ("half_pixel", "align_corners")
    ),
    *(
        Case(PIXELS.astype(dtype), scales, sizes,
             attributes={"mode": mode, "coordinate_transformation_mode": rule})
        for dtype in (np.uint8, np.int8, np.int32, np.float16)
        for mode in ("nearest", "linear")
        for scales, sizes, rule in (
            ((1, 1, 2, 2), None, "asymmetric"),
            (None, (1, 2, 11, 9), "align_corners"),
            ((1, 1, 2, 0.5), None, "half_pixel"),
        )
    ),
    # One to five dimensions, the channels last, batch and channels resized too.
    Case(values(11), (2.0,), attributes={"mode": "nearest"}),
    Case(values(11, 9), (2.0, 0.5), attributes={"mode": "linear"}),
    Case(values(11, 9), (2.0, 1.5), attributes={"mode": "cubic"}),
    Case(values(2, 5, 9), (1, 1, 2.0), attributes={"mode": "linear"}),
    Case(values(2, 5, 9), (1, 1, 2.0), attributes={"mode": "nearest"}),
    Case(values(1, 2, 5, 6, 7), (1, 1, 2, 2, 2), attributes={"mode": "linear"}),
    Case(values(1, 2, 5, 6, 7), (1, 1, 2, 2, 0.7), attributes={"mode": "nearest"}),
    Case(values(1, 9, 7, 3), (1, 2, 1.5, 1), attributes={"mode": "linear"}),
    Case(values(1, 9, 7, 3), (1, 2, 1.5, 1), attributes={"mode": "cubic"}),
    Case(values(1, 9, 7, 3), (1, 0.5, 0.7, 1), attributes={"mode": "linear", "antialias": 1}),
    Case(values(2, 3, 4, 5), (2, 2, 2, 2), attributes={"mode": "nearest"}),
    # A scale that changes no extent copies, whatever the mode.
    Case(values(1, 3, 8, 8), (1, 1, 1.05, 1.05), attributes={"mode": "linear"}),
    Case(values(1, 1, 60, 4), (1, 1, 1.9, 2), attributes={"mode": "linear"}),
]  # fmt: skip


CASES = [*_mode_cases(), *FURTHER_CASES]
NEAREST_CASES = [case for case in CASES if case.attributes.get("mode", "nearest") == "nearest"]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_parts_equal_the_whole(case: Case) -> None:
    count = check_split(case.model(), {"x": case.x}, boxes=1)
    assert count.split > 0


@pytest.mark.parametrize("case", NEAREST_CASES, ids=str)
def test_nearest_is_equal_to_the_last_bit(case: Case) -> None:
    model = prepared(case.model())
    graph = build_graph(model)
    whole = session(model.SerializeToString()).run(None, {"x": case.x})[0]
    lower = tuple((extent // 3, extent) for extent in whole.shape)
    tile = extract_tile(graph, [0], {"y": Region(lower)})
    feeds = {name: case.x[region.slices()] for name, region in tile.inputs.items()}
    made = session(tile.model).run(None, feeds)[0]
    np.testing.assert_array_equal(made, whole[Region(lower).slices()])


def emitted_types(case: Case, rows: tuple[int, int]) -> tuple[list[str], Region]:
    """The operators of a tile of these rows, and the input region it reads."""
    graph = build_graph(prepared(case.model()))
    tile = extract_tile(graph, [0], {"y": graph.tensors["y"].whole.replace(2, rows)})
    nodes = onnx.ModelProto.FromString(tile.model).graph.node
    return [node.op_type for node in nodes], tile.inputs["x"]


def test_an_aligned_slab_is_resized_by_the_operator_itself() -> None:
    x = values(1, 2, 20, 6)
    twice = Case(x, (1, 1, 2, 2), attributes={"mode": "nearest"})
    types, read = emitted_types(twice, (10, 20))
    assert types == ["Resize"]
    assert read[2] == (5, 10)
    linear = Case(x, (1, 1, 2, 2), attributes={"mode": "linear"})
    types, read = emitted_types(linear, (10, 20))
    assert types == ["Resize", "Slice"]
    assert read[2] == (4, 11)
    corners = {"mode": "linear", "coordinate_transformation_mode": "align_corners"}
    types, read = emitted_types(Case(x, (1, 1, 2, 2), attributes=corners), (10, 20))
    assert "Resize" not in types
    assert read[2] == (4, 11)
    assert emitted_types(linear, (0, 40))[0] == ["Resize"]


def test_scales_that_are_no_constant_are_resized_whole() -> None:
    x = values(1, 1, 4, 4)
    model = Case(x, (1, 1, 2, 2), attributes={"mode": "nearest"}).model()
    scales = model.graph.initializer.pop()
    while scales.name != "scales":
        scales = model.graph.initializer.pop()
    model.graph.node[0].input[1] = ""
    model.graph.input.append(helper.make_tensor_value_info("scales", onnx.TensorProto.FLOAT, [4]))
    count = check_split(model, {"x": x, "scales": numpy_helper.to_array(scales)})
    assert count.split == 0


def onnx_resize_cases() -> list[Any]:
    known = len(onnx_cases._NodeTestCases)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for module in ("resize", "upsample"):
            importlib.import_module(f"onnx.backend.test.case.node.{module}")
    cases = onnx_cases._NodeTestCases
    fresh = cases[known:] or cases
    resizes = [case for case in fresh if "resize" in case.name or "upsample" in case.name]
    return [case for case in resizes if runs_plainly(with_case_constants(case))]


def runs_plainly(model: onnx.ModelProto) -> bool:
    """Whether ONNX Runtime, without us, takes the model."""
    try:
        session(model.SerializeToString())
    except Exception:
        return False
    return True


def case_feeds(case: Any) -> dict[str, np.ndarray]:
    names = [value.name for value in case.model.graph.input]
    return dict(zip(names, case.data_sets[0][0], strict=True))


def with_case_constants(case: Any) -> onnx.ModelProto:
    """The case's model with all inputs but the first as constants."""
    feeds = case_feeds(case)
    return with_constants(case.model, dict(list(feeds.items())[1:]))


@pytest.mark.parametrize("case", onnx_resize_cases(), ids=lambda case: case.name)
def test_the_cases_of_onnx(case: Any) -> None:
    name, data = next(iter(case_feeds(case).items()))
    assert check_split(with_case_constants(case), {name: data}).split > 0


def test_most_cases_of_onnx_are_taken() -> None:
    assert len(onnx_resize_cases()) >= 36
