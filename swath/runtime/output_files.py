"""Outputs to a file."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Mapping

import numpy as np


def write_outputs(path: str | os.PathLike[str], outputs: Mapping[str, np.ndarray]) -> None:
    """Write an ``.npz`` file, each output under its name.

    As `numpy.savez` does, but with no name that an array may not have, and to the very path.
    """
    with zipfile.ZipFile(path, "w") as archive:
        for name, array in outputs.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, np.asanyarray(array), allow_pickle=False)
