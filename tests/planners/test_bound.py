"""The lower bound is below every plan, and near the best one where computing is all there is."""

from __future__ import annotations

from typing import Any

import pytest

import swath
from swath.cluster import Cluster, Device, Link
from swath.cost import nominal_costs
from swath.errors import PlanError
from swath.planners import Problem, known_planners
from swath.planners.bound import lower_bound
from swath.planners.comparing import Outcome, compare

MODELS = ("vgg11", "mobilenet_v3_small", "squeezenet", "resnet18")


def cluster(count: int, mbit: float, latency: float = 1e-3, **fields: Any) -> Cluster:
    devices = tuple(Device(f"d{place}", gflops=3 + 2 * (place % 3)) for place in range(count))
    return Cluster(devices, "d0", default_link=Link(mbit * 125e3, latency), **fields)


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({}, marks=pytest.mark.slow),
        pytest.param({"network": "shared"}, marks=pytest.mark.slow),
        {"network": "star", "hub": "d0"},
    ],
)
@pytest.mark.parametrize(
    "model",
    [*(pytest.param(model, marks=pytest.mark.slow) for model in MODELS[:-1]), MODELS[-1]],
)
def test_no_plan_is_below_it(model, fields):
    problem = Problem(
        swath.load(f"zoo:{model}@64x64"), nominal_costs(cluster(4, 10_000, 0.0, **fields))
    )
    bound = lower_bound(problem)
    names = [info.name for info in known_planners() if "latency" in info.objectives]
    plans = [found for _, found in compare(problem, names) if isinstance(found, Outcome)]
    assert len(plans) > 5
    assert all(bound <= found.predicted for found in plans)


@pytest.mark.parametrize("model", MODELS)
def test_one_device_is_nearly_as_quick_as_can_be(model):
    problem = Problem(swath.load(f"zoo:{model}@64x64"), nominal_costs(cluster(1, 100)))
    ((_, found),) = compare(problem, ["whole"])
    assert isinstance(found, Outcome)
    assert found.predicted <= 1.05 * lower_bound(problem)


def test_where_computing_is_all_the_best_plan_is_near_it():
    problem = Problem(swath.load("zoo:vgg16"), nominal_costs(cluster(4, 10_000, 1e-4)))
    ((_, found),) = compare(problem, ["auto"])
    assert isinstance(found, Outcome)
    assert found.predicted <= 1.15 * lower_bound(problem)


def test_another_device_never_raises_it():
    graph = swath.load("zoo:resnet18@64x64")
    bounds = [lower_bound(Problem(graph, nominal_costs(cluster(n, 100)))) for n in range(1, 6)]
    assert bounds == sorted(bounds, reverse=True)
    assert bounds[-1] < bounds[0] / 3


def test_a_device_that_cannot_be_reached_in_time_is_of_no_use():
    graph = swath.load("zoo:squeezenet@64x64")
    devices = (Device("near", gflops=5), Device("far", gflops=500))
    alone = lower_bound(Problem(graph, nominal_costs(Cluster(devices[:1], "near"))))
    apart = Cluster(devices, "near", default_link=Link(125e6, 10.0))
    assert lower_bound(Problem(graph, nominal_costs(apart))) == pytest.approx(alone)


def test_a_graph_of_which_little_is_needed_is_not_overcharged():
    """Rows that a stride steps over need not be made by anybody."""
    import onnx
    from onnx import helper

    nodes = [
        helper.make_node("Relu", ["x"], ["y"]),
        helper.make_node("MaxPool", ["y"], ["z"], kernel_shape=[1, 1], strides=[4, 4]),
    ]
    model = helper.make_model(
        helper.make_graph(
            nodes,
            "strided",
            [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1, 8, 64, 64])],
            [helper.make_tensor_value_info("z", onnx.TensorProto.FLOAT, [1, 8, 16, 16])],
        ),
        opset_imports=[helper.make_opsetid("", 17)],
    )
    problem = Problem(swath.load(model), nominal_costs(cluster(4, 10_000, 0.0)))
    bound = lower_bound(problem)
    for _, found in compare(problem, ["even", "whole", "auto", "dpfp"]):
        if isinstance(found, PlanError):
            raise found
        assert isinstance(found, Outcome) and bound <= found.predicted
