"""torch modules come in as any ONNX model does, and compute what torch computes."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
import torch

import swath
from swath.errors import ModelError
from swath.graph.torch import export_module


def small_network() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3, padding=1),
        torch.nn.BatchNorm2d(8),
        torch.nn.ReLU(),
        torch.nn.MaxPool2d(2),
        torch.nn.Conv2d(8, 16, 3, stride=2, padding=1, groups=8),
        torch.nn.AdaptiveAvgPool2d(1),
        torch.nn.Flatten(),
        torch.nn.Linear(16, 5),
    )


class Sum(torch.nn.Module):
    def forward(self, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        return left + 2 * right


def test_a_module_is_exported_and_computes_what_torch_computes():
    module = small_network().eval()
    example = torch.randn(1, 3, 32, 32)
    model = export_module(module, example)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    made = session.run(None, {session.get_inputs()[0].name: example.numpy()})[0]
    np.testing.assert_allclose(made, module(example).detach().numpy(), rtol=1e-4, atol=1e-5)


def test_a_module_is_loaded_and_split_exactly():
    graph = swath.load(small_network(), example=torch.randn(1, 3, 32, 32))
    assert [graph.tensors[name].shape for name in graph.outputs] == [(1, 5)]
    assert swath.verify(graph, tiles=3).within_tolerance


def test_training_mode_is_left_as_it_was_but_not_exported():
    module = small_network().train()
    model = export_module(module, torch.randn(1, 3, 32, 32))
    assert module.training
    assert "Dropout" not in {node.op_type for node in model.graph.node}


@pytest.mark.parametrize(
    "example",
    [
        (torch.ones(1, 4), torch.ones(1, 4)),
        {"left": torch.ones(1, 4), "right": torch.ones(1, 4)},
    ],
)
def test_several_arguments(example):
    graph = swath.load(Sum(), example=example)
    assert len(graph.inputs) == 2


def test_without_an_example_the_error_says_how_to_give_one():
    with pytest.raises(ModelError, match="give example="):
        swath.load(small_network())


def test_what_cannot_be_exported_is_refused_in_one_line():
    class Odd(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x if float(x.sum()) > 0 else x.numpy()

    with pytest.raises(ModelError, match="cannot be exported") as caught:
        swath.load(Odd(), example=torch.ones(1, 4))
    assert "\n" not in str(caught.value)
