"""What a plan needs on a device besides its program: tile models and weights, sent once.

A blob is a tile's ONNX model or a region of a constant. It travels in chunks of bounded size, each
with a JSON head that says where it belongs.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from swath.engine.session import dtype_named
from swath.engine.weights import WeightStore
from swath.graph.weights import WeightSlice
from swath.plan.program import Compute, Program
from swath.plan.transport import weight_from_json, weight_to_json

_LENGTH = struct.Struct("<I")


@dataclass(frozen=True, slots=True)
class Wanted:
    """Blobs that a device lacks."""

    models: tuple[str, ...]
    weights: tuple[WeightSlice, ...]

    def to_json(self) -> dict[str, Any]:
        return {
            "models": list(self.models),
            "weights": [weight_to_json(weight) for weight in self.weights],
        }

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Wanted:
        return Wanted(
            tuple(data["models"]), tuple(weight_from_json(item) for item in data["weights"])
        )


def chunks(
    head: Mapping[str, Any], content: memoryview, chunk_bytes: int
) -> Iterator[bytes]:
    """A blob cut into messages; ``head`` says what it is."""
    for offset in range(0, max(1, len(content)), chunk_bytes):
        part = content[offset : offset + chunk_bytes]
        text = json.dumps({**head, "offset": offset, "total": len(content)}).encode()
        yield b"".join((_LENGTH.pack(len(text)), text, part))


class BlobStore:
    """The models and weights that a device keeps, and those that are on their way to it.

    Only blobs that were asked for are taken, and no more bytes of them than were asked for.
    """

    def __init__(self) -> None:
        self.weights = WeightStore()
        self.models: dict[str, bytes] = {}
        self._arriving: dict[str, bytearray | np.ndarray] = {}
        self._got: dict[str, int] = {}
        self._asked: dict[str, WeightSlice | str] = {}

    def want(self, programs: Sequence[Program]) -> Wanted:
        """What these programs need and the store lacks; it is taken from now on."""
        steps = [step for p in programs for step in p.steps if isinstance(step, Compute)]
        models = tuple(
            digest for digest in dict.fromkeys(step.model for step in steps)
            if digest not in self.models
        )  # fmt: skip
        weights = self.weights.missing(
            weight for step in steps for weight in step.weights.values()
        )
        self._asked = {digest: digest for digest in models}
        self._asked.update((_key(weight), weight) for weight in weights)
        self._arriving.clear()
        self._got.clear()
        return Wanted(models, tuple(weights))

    def take(self, chunk: bytes) -> None:
        """A chunk has come; raises ValueError for one that was not asked for or does not fit."""
        (length,) = _LENGTH.unpack_from(chunk)
        head = json.loads(chunk[4 : 4 + length])
        content = memoryview(chunk)[4 + length :]
        if "weight" in head:
            key = _key(weight_from_json(head["weight"]))
        else:
            key = str(head["model"])
        asked = self._asked.get(key)
        if asked is None:
            raise ValueError(f"a blob that nobody asked for: {key}")
        offset, total = int(head["offset"]), int(head["total"])
        if isinstance(asked, WeightSlice) and total != asked.nbytes:
            raise ValueError(f"weights {key} have {total} bytes, not {asked.nbytes}")
        if total > MAX_MODEL_BYTES and not isinstance(asked, WeightSlice):
            raise ValueError(f"a tile model of {total} bytes is too large")
        if offset < 0 or offset + len(content) > total:
            raise ValueError(f"a chunk of {key} lies outside of it")
        memory = self._arriving.get(key)
        if memory is None:
            memory = self._arriving[key] = np.empty(total, np.uint8)
        memory[offset : offset + len(content)] = np.frombuffer(content, np.uint8)
        self._got[key] = self._got.get(key, 0) + len(content)
        if self._got[key] == total:
            self._keep(key, asked)

    def _keep(self, key: str, asked: WeightSlice | str) -> None:
        memory = np.asarray(self._arriving.pop(key))
        del self._got[key], self._asked[key]
        if isinstance(asked, WeightSlice):
            array = memory.view(dtype_named(asked.dtype)).reshape(asked.region.shape)
            self.weights.put(asked.digest, asked.region, array)
        else:
            self.models[asked] = memory.tobytes()

    def lacks(self) -> tuple[str, ...]:
        """Blobs that were asked for and have not come."""
        return tuple(self._asked)


MAX_MODEL_BYTES = 256 << 20
"""A tile's model holds no weights; one beyond this is a mistake or an attack."""


def _key(weight: WeightSlice) -> str:
    return f"{weight.digest}{weight.region}"
