"""Curves never fall, agree with the law that made them, and are looked up quickly."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import swath
from swath.cost.curves import Curves
from swath.cost.fcpm import FCPM
from swath.cost.features import BLOCKING, FAR, FREE, describe, family
from swath.graph.graph import Graph
from swath.ops import Region, Tensor
from tests.cost.laws import convolutions, loaded, moving, plain_law


@pytest.fixture(scope="module")
def graph() -> Graph:
    return swath.load("zoo:resnet18@128x128")


@pytest.fixture(scope="module")
def noisy() -> FCPM:
    """Models of samples with a noise that no curve may show."""
    rng = np.random.default_rng(5)
    return FCPM().fit(
        convolutions(80, lambda sample: plain_law(sample) * rng.uniform(0.6, 1.6))
        + moving("elementwise", 40, 1e-10)
    )


@pytest.fixture(scope="module")
def exact() -> Curves:
    return Curves(FCPM().fit(convolutions(40) + moving(BLOCKING, 20, 2e-10)))


def convolution(graph: Graph) -> int:
    return next(
        position
        for position, op in enumerate(graph.operators)
        if family(op) == "convolution" and op.output_shape()[2] == 32
    )


def test_no_curve_falls(graph: Graph, noisy: FCPM) -> None:
    curves = Curves(noisy)
    for op in graph.operators:
        curve = curves.of(op)
        assert (curve is None) == (family(op) == FREE)
        if curve is not None:
            assert curve.rows[0] == 0 and curve.rows[-1] > 0
            assert (np.diff(curve.rows) >= 0).all()
            assert (np.diff(curve.channels) >= 0).all()
            assert curve.channels[-1] == 1


@pytest.mark.parametrize(
    "part",
    [{}, {2: (8, 16)}, {2: (5, 6)}, {1: (0, 8)}, {3: (8, 24)}, {2: (8, 20), 1: (0, 8)}],
)
def test_boxes_cost_what_the_law_says(graph: Graph, exact: Curves, part: dict) -> None:
    """Also those of two axes, where weights are read in part and rows in part."""
    position = convolution(graph)
    op, rule = graph.operators[position], graph.rules[position]
    region = Region.whole(op.output_shape())
    for axis, interval in part.items():
        region = region.replace(axis, interval)
    demand = rule.demand(op, (region,))
    features = describe(op, rule.flops(op, demand.outputs), demand)
    expected = exact.model.predict("convolution", [features])[0]
    assert exact.seconds(op, demand) == pytest.approx(expected, rel=0.15)


def test_operators_of_equal_configuration_share_a_curve(exact: Curves) -> None:
    graph = swath.load("zoo:vgg16@32x32")
    by_shape: dict[object, set[int]] = {}
    for op in graph.operators:
        if op.type == "Conv":
            key = (op.inputs, op.outputs)
            by_shape.setdefault(key, set()).add(id(exact.of(op)))
    assert all(len(curves) == 1 for curves in by_shape.values())
    for one, other in itertools.combinations(by_shape.values(), 2):
        assert one != other


def test_load_stretches_curves(graph: Graph) -> None:
    alone = convolutions(60)
    model = FCPM().fit([*alone, *loaded(alone[:10], 0.5, 2.0)])
    op = graph.operators[convolution(graph)]
    idle, busy = Curves(model).of(op), Curves(model, load=0.5).of(op)
    assert idle is not None and busy is not None
    assert busy.rows[-1] / idle.rows[-1] == pytest.approx(2, rel=0.05)


def test_what_is_stopped_over_and_over_reads_everything_anew(graph: Graph, exact: Curves) -> None:
    stopped = Curves(exact.model, refill=1e-10)
    op = graph.operators[convolution(graph)]
    maps = sum(t.nbytes for t in (op.inputs[0], *op.outputs) if t is not None)
    far, found = exact.of(op, FAR), stopped.of(op)
    assert far is not None and found is not None
    assert found.rows[-1] == pytest.approx(far.rows[-1] + 1e-10 * maps)
    tensor = Tensor((1, 64, 32, 32), "float32", 4)
    whole = tensor.whole
    more = stopped.reordering(BLOCKING, tensor, whole) - exact.reordering(BLOCKING, tensor, whole)
    assert more == pytest.approx(2e-10 * tensor.nbytes)


def test_reordering_costs_by_the_part(exact: Curves, noisy: FCPM) -> None:
    tensor = Tensor((1, 32, 28, 28), "float32", 4)
    half = exact.reordering(BLOCKING, tensor, tensor.whole.replace(2, (0, 14)))
    assert 0 < half < exact.reordering(BLOCKING, tensor, tensor.whole)
    assert Curves(noisy).reordering(BLOCKING, tensor, tensor.whole) == 0, (
        "an engine that never reorders"
    )


def test_every_operator_can_be_looked_up(noisy: FCPM) -> None:
    """Reductions, matrices, several outputs, and what has no rule."""
    for model in ("mobilenet_v3_small@64x64", "googlenet@64x64", "yolov2@64x64"):
        graph = swath.load(f"zoo:{model}")
        curves = Curves(noisy)
        for op, rule in zip(graph.operators, graph.rules, strict=True):
            whole = rule.demand(op, tuple(t.whole if t else None for t in op.outputs))
            seconds = curves.seconds(op, whole)
            assert np.isfinite(seconds) and (seconds > 0) == (family(op) != FREE)
