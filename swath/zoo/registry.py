"""Models by name: which there are, how a name with a size is read, how a model is made.

To add a family, write its file and list it here.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass

import onnx

from swath.zoo import (
    alexnet,
    densenet,
    dncnn,
    efficientnet,
    googlenet,
    mobilenet_v1,
    mobilenet_v2,
    mobilenet_v3,
    resnet,
    squeezenet,
    unet,
    vgg,
    yolov2,
)
from swath.zoo.builder import Network
from swath.zoo.entry import Entry
from swath.zoo.errors import InvalidSize, UnknownModel, ZooError

__all__ = ["NAMES", "ZooSpec", "build", "find", "parse"]

_FAMILIES = (
    alexnet,
    vgg,
    resnet,
    mobilenet_v1,
    mobilenet_v2,
    mobilenet_v3,
    googlenet,
    squeezenet,
    densenet,
    efficientnet,
    yolov2,
    unet,
    dncnn,
)
_ENTRIES: dict[str, Entry] = {entry.name: entry for family in _FAMILIES for entry in family.ENTRIES}
_SCHEME = "zoo:"

NAMES: tuple[str, ...] = tuple(_ENTRIES)


@dataclass(frozen=True, slots=True)
class ZooSpec:
    """A zoo model as users write it: `zoo:NAME` or `zoo:NAME@HxW`; None is the published size."""

    name: str
    height: int | None = None
    width: int | None = None


def find(name: str) -> Entry:
    """The model of that name; raises `UnknownModel`."""
    if name in _ENTRIES:
        return _ENTRIES[name]
    close = difflib.get_close_matches(name.lower(), NAMES, n=1)
    mend = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(NAMES)}"
    raise UnknownModel(f"no zoo model is called {name!r}: {mend}")


def parse(spec: str) -> ZooSpec:
    """Read `zoo:NAME` or `zoo:NAME@HxW`; whether the model takes that size, `build` says.

    Raises `UnknownModel` or `InvalidSize`.
    """
    if not spec.startswith(_SCHEME):
        raise UnknownModel(f"{spec!r} does not name a zoo model: write {_SCHEME}NAME")
    name, at, size = spec.removeprefix(_SCHEME).partition("@")
    find(name)
    if not at:
        return ZooSpec(name)
    match = re.fullmatch(r"([0-9]{1,9})x([0-9]{1,9})", size)
    if match is None:
        raise InvalidSize(f"{size!r} in {spec!r} is not a size: write HxW, such as 224x224")
    return ZooSpec(name, int(match[1]), int(match[2]))


def build(
    name: str,
    height: int | None = None,
    width: int | None = None,
    *,
    batch: int = 1,
    seed: int = 0,
) -> onnx.ModelProto:
    """The model of that name for one input size (pixels; None is the published one).

    Input `input` is batch x channels x height x width, output `output` the logits or the map,
    both float32. The weights depend on the name and `seed` alone. Raises `UnknownModel` and
    `InvalidSize`.
    """
    entry = find(name)
    height = entry.side if height is None else height
    width = entry.side if width is None else width
    _check_size(entry, height, width)
    if batch < 1:
        raise InvalidSize(f"a batch of {batch} is empty: choose 1 or more")
    if seed < 0:
        raise ZooError(f"the seed {seed} is negative: choose 0 or more")
    network = Network(name, seed)
    image = network.input((batch, entry.channels, height, width))
    return network.finish(entry.define(network, image))


def _check_size(entry: Entry, height: int, width: int) -> None:
    refusal = f"{entry.name} cannot take {height}x{width} pixels"
    least = entry.smallest
    if min(height, width) < least:
        raise InvalidSize(f"{refusal}: its smallest input is {least}x{least}")
    unit = entry.multiple
    if height % unit or width % unit:
        larger = "x".join(str(-(-side // unit) * unit) for side in (height, width))
        raise InvalidSize(f"{refusal}: both must be multiples of {unit}, such as {larger}")
