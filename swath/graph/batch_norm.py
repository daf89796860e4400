"""Folding of batch norm into the layer before it, on a model without its weights.

Own numpy rather than onnxscript's rules: those have to be imported (0.4 s), leave a layer whose
weights another one shares, and copy weights that can be changed where they are.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from onnx import NodeProto, helper

from swath.graph.fold import names_inside, readers, replace_nodes
from swath.graph.read import Skeleton


def fold_batch_norms(skeleton: Skeleton) -> None:
    """Folds BatchNormalization into the Conv, ConvTranspose or Gemm that alone feeds it.

    The factors are computed in float64, then applied in the weights' type. Half-precision weights
    stay as they are, because rounding them once more would show.
    """
    graph, weights = skeleton.proto.graph, skeleton.weights
    counts = readers(graph)
    makers = {name: node for node in graph.node for name in node.output if name}
    taken = {value.name for value in graph.input} | set(weights) | set(makers)
    taken.update(*(names_inside(node) for node in graph.node))
    shared: dict[tuple[str, ...], tuple[str, str]] = {}
    gone: list[str] = []
    for norm in graph.node:
        if norm.op_type != "BatchNormalization" or norm.domain:
            continue
        layer = makers.get(norm.input[0])
        if layer is None or counts[norm.input[0]] != 1 or not _may_absorb(layer, norm, skeleton):
            continue
        parameters = (layer.op_type, *layer.input[1:], *norm.input[1:])
        key = (*parameters, *(str(a) for n in (layer, norm) for a in n.attribute))
        if key not in shared:
            names = _absorb(layer, norm, weights, counts, taken)
            if names is None:
                continue
            shared[key] = names
        del layer.input[1:]
        layer.input.extend(shared[key])
        layer.output[0] = norm.output[0]
        makers[norm.output[0]] = layer
        gone.append(norm.output[0])
        for attribute in list(layer.attribute):
            if layer.op_type == "Gemm" and attribute.name == "beta":
                layer.attribute.remove(attribute)
    if gone:
        folded = set(gone)
        replace_nodes(
            graph,
            [
                node
                for node in graph.node
                if node.op_type != "BatchNormalization" or node.output[0] not in folded
            ],
        )


def _may_absorb(layer: NodeProto, norm: NodeProto, skeleton: Skeleton) -> bool:
    if layer.domain or layer.op_type not in ("Conv", "ConvTranspose", "Gemm"):
        return False
    if any(norm.output[1:]) or any(a.name == "training_mode" and a.i for a in norm.attribute):
        return False
    arrays = [skeleton.weights.get(n) for n in (*layer.input[1:], *norm.input[1:]) if n]
    return all(array is not None and array.dtype in (np.float32, np.float64) for array in arrays)


def _absorb(
    layer: NodeProto,
    norm: NodeProto,
    weights: dict[str, np.ndarray],
    counts: Mapping[str, int],
    taken: set[str],
) -> tuple[str, str] | None:
    """Names of the weight and the bias with the batch norm in them; None where it does not fit."""
    attributes = {a.name: helper.get_attribute_value(a) for a in layer.attribute}
    weight = weights[layer.input[1]]
    scale, shift, mean, variance = (
        weights[name].astype(np.float64).reshape(-1) for name in norm.input[1:5]
    )
    epsilon = next((a.f for a in norm.attribute if a.name == "epsilon"), 1e-5)
    channels = scale.size
    bias = np.zeros(1)
    if len(layer.input) > 2 and layer.input[2]:
        bias = weights[layer.input[2]].astype(np.float64) * attributes.get("beta", 1.0)
        if bias.size not in (1, channels) or bias.shape[-1:] not in ((), (1,), (channels,)):
            return None
    with np.errstate(all="ignore"):
        factor = scale / np.sqrt(variance + epsilon)
        offset = (bias.reshape(-1) - mean) * factor + shift
    if not (np.isfinite(factor).all() and np.isfinite(offset).all()):
        return None
    if layer.op_type == "ConvTranspose":
        groups = attributes.get("group", 1)
        view_shape = (groups, weight.shape[0] // groups, *weight.shape[1:])
        factor = factor.reshape(groups, 1, -1, *(1,) * (weight.ndim - 2))
    else:
        by_rows = layer.op_type == "Conv" or attributes.get("transB", 0)
        view_shape = weight.shape
        factor = factor.reshape((channels, *(1,) * (weight.ndim - 1)) if by_rows else (1, -1))
    sole = counts[layer.input[1]] == 1
    # In place where nobody else can see it: that saves a copy of the weights.
    target = weight if sole and weight.flags.writeable else np.empty_like(weight)
    np.multiply(
        weight.reshape(view_shape), factor.astype(weight.dtype), out=target.reshape(view_shape)
    )
    name = layer.input[1] if sole else _free_name(layer.input[1], taken)
    weights[name] = target
    bias_name = _free_name(f"{norm.output[0]}_bias", taken)
    weights[bias_name] = offset.astype(weight.dtype)
    return name, bias_name


def _free_name(name: str, taken: set[str]) -> str:
    candidate, count = name, 0
    while candidate in taken:
        count += 1
        candidate = f"{name}_{count}"
    taken.add(candidate)
    return candidate
