"""The field's CNNs, built here as ONNX models with seeded weights.

So every command runs without a download. Where torchvision has the model, structure and parameter
names are torchvision's, and its weights fit through `replace_weights`. One file per family, written
with `builder.Network` and listed in `registry`; of the rest of the package only `swath.errors` is
imported.
"""

from __future__ import annotations

from swath.zoo.errors import InvalidSize, InvalidWeights, UnknownModel, ZooError
from swath.zoo.registry import NAMES, ZooSpec, build, parse
from swath.zoo.replace import replace_weights

__all__ = [
    "NAMES",
    "InvalidSize",
    "InvalidWeights",
    "UnknownModel",
    "ZooError",
    "ZooSpec",
    "build",
    "parse",
    "replace_weights",
]
