"""What a plan needs on a device besides its program: tile models and weights, sent once.

A blob is a tile's ONNX model or a region of a constant. It travels in chunks of bounded size, each
with a JSON head that says where it belongs.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Iterator, Mapping
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


def chunks(head: Mapping[str, Any], content: memoryview, chunk_bytes: int) -> Iterator[bytes]:
    """A blob cut into messages; ``head`` says what it is."""
    for offset in range(0, max(1, len(content)), chunk_bytes):
        part = content[offset : offset + chunk_bytes]
        text = json.dumps({**head, "offset": offset, "total": len(content)}).encode()
        yield b"".join((_LENGTH.pack(len(text)), text, part))


@dataclass(slots=True)
class _Arriving:
    """A blob that has come up to ``got`` bytes."""

    memory: np.ndarray
    got: int = 0


class BlobStore:
    """The models and weights that a device keeps, and those that are on their way to it.

    Only blobs that somebody (an ``owner``) asked for are taken, and no more bytes of them than
    were asked for. Several owners may ask for the same blob and send it at the same time.
    """

    def __init__(self) -> None:
        self.weights = WeightStore()
        self.models: dict[str, bytes] = {}
        self._asked: dict[str, dict[str, WeightSlice | str]] = {}
        self._arriving: dict[str, _Arriving] = {}
        self._arrived: dict[str, str] = {}

    def want(self, owner: str, program: Program) -> Wanted:
        """What the program needs and the store lacks; it is taken from now on."""
        steps = [step for step in program.steps if isinstance(step, Compute)]
        models = tuple(
            digest
            for digest in dict.fromkeys(step.model for step in steps)
            if digest not in self.models
        )
        weights = self.weights.missing(weight for step in steps for weight in step.weights.values())
        asked: dict[str, WeightSlice | str] = {digest: digest for digest in models}
        asked.update((_key(weight), weight) for weight in weights)
        self._asked[owner] = asked
        return Wanted(models, tuple(weights))

    def lacks(self, owner: str) -> tuple[str, ...]:
        """Blobs that the owner asked for and that have not come."""
        return tuple(self._asked.get(owner, ()))

    def forget(self, owner: str) -> None:
        """The owner wants nothing any more; what came so far only for him is dropped."""
        self._asked.pop(owner, None)
        self._arriving = {
            key: arriving
            for key, arriving in self._arriving.items()
            if any(key in asked for asked in self._asked.values())
        }

    def keep_only(self, programs: Iterable[Program]) -> None:
        """Drop the models and weights that none of these programs needs."""
        steps = [step for p in programs for step in p.steps if isinstance(step, Compute)]
        needed = {step.model for step in steps}
        needed.update(weight.digest for step in steps for weight in step.weights.values())
        self.weights.keep_only(needed)
        self.models = {d: model for d, model in self.models.items() if d in needed}
        self._arrived = {key: d for key, d in self._arrived.items() if d in needed}

    def take(self, chunk: bytes) -> None:
        """A chunk has come; raises ValueError for one that was not asked for or does not fit."""
        key, offset, total, content = _read_chunk(chunk)
        asked = next((asked[key] for asked in self._asked.values() if key in asked), None)
        if asked is None:
            if key in self._arrived:
                return  # Two asked for it, and the other's has come first.
            raise ValueError(f"a blob that nobody asked for: {key}")
        if isinstance(asked, WeightSlice) and total != asked.nbytes:
            raise ValueError(f"weights {key} have {total} bytes, not {asked.nbytes}")
        if total > MAX_MODEL_BYTES and not isinstance(asked, WeightSlice):
            raise ValueError(f"a tile model of {total} bytes is too large")
        if offset < 0 or offset + len(content) > total:
            raise ValueError(f"a chunk of {key} lies outside of it")
        if key not in self._arriving:
            self._arriving[key] = _Arriving(np.empty(total, np.uint8))
        arriving = self._arriving[key]
        if total != len(arriving.memory) or offset > arriving.got:
            raise ValueError(f"a chunk of {key} does not fit to those before it")
        if offset < arriving.got:
            return
        arriving.memory[offset : offset + len(content)] = np.frombuffer(content, np.uint8)
        arriving.got += len(content)
        if arriving.got == total:
            self._keep(key, asked)

    def _keep(self, key: str, asked: WeightSlice | str) -> None:
        memory = self._arriving.pop(key).memory
        if isinstance(asked, WeightSlice):
            array = memory.view(dtype_named(asked.dtype)).reshape(asked.region.shape)
            self.weights.put(asked.digest, asked.region, array)
            self._arrived[key] = asked.digest
        else:
            self.models[asked] = memory.tobytes()
            self._arrived[key] = asked
        for of_owner in self._asked.values():
            of_owner.pop(key, None)


MAX_MODEL_BYTES = 256 << 20
"""A tile's model holds no weights; one beyond this is a mistake or an attack."""


def _read_chunk(chunk: bytes) -> tuple[str, int, int, memoryview]:
    """(blob, offset, bytes of the whole blob, content); raises ValueError for a broken one."""
    try:
        (length,) = _LENGTH.unpack_from(chunk)
        start = _LENGTH.size + length
        head = json.loads(chunk[_LENGTH.size : start])
        is_weight = "weight" in head
        key = _key(weight_from_json(head["weight"])) if is_weight else str(head["model"])
        return key, int(head["offset"]), int(head["total"]), memoryview(chunk)[start:]
    except (struct.error, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"a broken chunk ({type(error).__name__})") from None


def _key(weight: WeightSlice) -> str:
    return f"{weight.digest}{weight.region}"
