"""What the zoo refuses, each as one line that names the thing and the mend.

ZooError (a ModelError and a ValueError)
├── UnknownModel     no model of that name
├── InvalidSize      an input size or batch that the model cannot take
└── InvalidWeights   a weight file that does not fit the model
"""

from __future__ import annotations

from swath.errors import ModelError

__all__ = ["InvalidSize", "InvalidWeights", "UnknownModel", "ZooError"]


class ZooError(ModelError, ValueError):
    """Anything the zoo refuses."""


class UnknownModel(ZooError):
    """No model of that name is in the zoo."""


class InvalidSize(ZooError):
    """The model cannot be built for this input."""


class InvalidWeights(ZooError):
    """A file of weights that cannot be read or does not fit the model."""
