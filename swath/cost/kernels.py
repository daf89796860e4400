"""What an engine really runs of a tile: what it fuses costs little, what it reorders costs more.

Found by ONNX Runtime's own profile (1.31, x86-64, AVX-512). Convolutions keep maps in blocks of
channels; whoever does not understand blocks has the map put back into its plain order, once a
tensor. A convolution takes in an activation or a sum that nobody else reads the inside of: a Relu
for nothing, any other activation as a pass over what lies in the cache, a sum as one more map to
read. A Sigmoid and the Mul of a SiLU are one kernel. A reader that wants less than is held (the
sum at the end of a fused residual block, whose convolutions need a halo) has it cut, in the plain
order, which undoes the fusion of that sum.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from swath.cost.features import (
    CHANNEL_BLOCK,
    CONVOLUTIONS,
    DENSE,
    DEPTHWISE,
    GROUPED,
    STEM,
    family,
)
from swath.graph.geometry import TileGeometry, handed_on
from swath.graph.graph import Graph
from swath.ops import Operator

IN_PLACE = 0.6
"""Share of an activation's own time that it takes inside a convolution, where its input is in the
cache: measured 0.5 for Clip and LeakyRelu to 0.8 for Sigmoid."""

ONE_OF_THREE = 1 / 3
"""Share of a sum's time that it takes inside a convolution: of two maps read and one written, one
read is left."""

ACTIVATIONS = frozenset(
    ["Relu", "Clip", "LeakyRelu", "HardSigmoid", "HardSwish", "Sigmoid", "Tanh"]
)  # fmt: skip
_BINARY = frozenset(["Add", "Sum", "Mul", "Sub", "Max", "Min"])
_POOLS = frozenset(["MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool"])
_IN_BLOCKS_IF_FULL = frozenset(["BatchNormalization", "Resize", "Upsample", "Concat"])


@dataclass(frozen=True, slots=True)
class Work:
    """``shares``: of an operator's own time, by node position, where it is not the whole;
    ``entering`` and ``leaving``: tensors that are put into blocks, and back into plain order."""

    shares: Mapping[int, float]
    entering: tuple[str, ...]
    leaving: tuple[str, ...]


Cut = tuple[int, str]
"""A node that reads less of a tensor than its tile holds."""


def work_of(graph: Graph, positions: Sequence[int], cuts: Collection[Cut] = ()) -> Work:
    """What is run of a tile of these nodes (ascending)."""
    return _Walk(graph, positions, cuts).work()


def cuts_of(graph: Graph, geometry: TileGeometry) -> tuple[Cut, ...]:
    """Where a tile's nodes read less than it holds."""
    held = dict(geometry.needs)
    cuts = []
    for position, demand in geometry.demands.items():
        node = graph.nodes[position]
        for name, region in zip(node.reads, demand.inputs, strict=True):
            if region is not None and held.get(name, region) != region:
                cuts.append((position, name))
        made = zip(node.outputs, demand.outputs, strict=True)
        held.update((name, region) for name, region in made if region is not None)
    return tuple(cuts)


class _Walk:
    """Through the nodes in order, with the book of which tensors lie in blocks."""

    def __init__(self, graph: Graph, positions: Sequence[int], cuts: Collection[Cut]) -> None:
        self.graph = graph
        self.positions = positions
        self.cuts = frozenset(cuts)
        self.outputs = handed_on(graph, positions)
        self.blocked: set[str] = set()
        self.takes: dict[str, frozenset[str]] = {}
        """By tensor: what the kernel that makes it may still take in."""
        self.entering: dict[str, None] = {}
        self.leaving: dict[str, None] = {}
        self.shares: dict[int, float] = {}

    def work(self) -> Work:
        for position in self.positions:
            if not self._taken_in(position):
                self._kernel(position)
        self._leave_blocks(self.outputs)
        return Work(self.shares, tuple(self.entering), tuple(self.leaving))

    def _in_blocks(self, position: int, name: str) -> bool:
        """Whether a node finds this map in blocks; a part cut out of it lies plain."""
        return name in self.blocked and (position, name) not in self.cuts

    def _taken_in(self, position: int) -> bool:
        """Whether a kernel before does this node's work; notes what that costs."""
        node = self.graph.nodes[position]
        maps = [name for name in node.inputs if name and name not in self.graph.constants]
        if any((position, name) in self.cuts for name in maps):
            return False
        if node.type in ACTIVATIONS and len(maps) == 1 and self._may_take(maps[0], "activation"):
            self._join(position, maps[0], 0.0 if node.type == "Relu" else IN_PLACE, ())
            return True
        if len(maps) != 2:
            return False
        for one, other in (maps, reversed(maps)):
            if node.type == "Mul" and self._is_sigmoid_of(other, one):
                self._join(position, other, 0.0, ())
                return True
            if (
                node.type == "Add"
                and other in self.blocked
                and self._may_take(one, "sum")
                and self.graph.tensors[one].shape == self.graph.tensors[other].shape
            ):
                self._join(position, one, ONE_OF_THREE, ("activation",))
                return True
        return False

    def _join(self, position: int, into: str, share: float, takes: Sequence[str]) -> None:
        self.shares[position] = share
        made = self.graph.nodes[position].outputs[0]
        self.takes[made] = frozenset(takes)
        if into in self.blocked:
            self.blocked.add(made)

    def _may_take(self, name: str, what: str) -> bool:
        return what in self.takes.get(name, ()) and self._is_read_once(name)

    def _is_read_once(self, name: str) -> bool:
        return len(self.graph.consumers.get(name, ())) == 1 and name not in self.outputs

    def _is_sigmoid_of(self, name: str, of: str) -> bool:
        maker = self.graph.producers.get(name)
        if maker is None or maker in self.shares or maker not in self.positions:
            return False
        node = self.graph.nodes[maker]
        return node.type == "Sigmoid" and node.inputs[0] == of and self._is_read_once(name)

    def _kernel(self, position: int) -> None:
        node, op = self.graph.nodes[position], self.graph.operators[position]
        maps = [name for name in node.reads if name and name not in self.graph.constants]
        made = [name for name in node.outputs if name]
        self._leave_blocks([name for name in maps if (position, name) in self.cuts])
        kind = family(op)
        if _makes_blocks(op):
            if not _reads_blocks(op):
                self._leave_blocks(maps)
            elif not self._in_blocks(position, maps[0]):
                self.entering[maps[0]] = None
            self.blocked.update(made)
            if kind in CONVOLUTIONS:
                self.takes[made[0]] = frozenset(["activation", "sum"])
            return
        if kind == DENSE or kind in CONVOLUTIONS:
            self.takes[made[0]] = frozenset(["activation"])
        if self._stays_blocked(position, op, maps):
            self.blocked.update(made)
            if node.type == "BatchNormalization":
                self.takes[made[0]] = frozenset(["activation"])
        else:
            self._leave_blocks(maps)

    def _stays_blocked(self, position: int, op: Operator, maps: Sequence[str]) -> bool:
        """Whether an operator other than a convolution or a pool works on blocks as they are."""
        kind = op.type
        if not maps or not all(self._in_blocks(position, name) for name in maps):
            return False
        if kind in ACTIVATIONS:
            return True
        shapes = [self.graph.tensors[name].shape for name in maps]
        if kind in _BINARY:
            return len(maps) == 2 and shapes[0] == shapes[1]
        return (
            kind in _IN_BLOCKS_IF_FULL
            and all(shape is not None and shape[1] % CHANNEL_BLOCK == 0 for shape in shapes)
            and (kind != "Concat" or int(op.attribute("axis", 1)) == 1)
        )

    def _leave_blocks(self, names: Sequence[str]) -> None:
        for name in names:
            if name in self.blocked:
                self.leaving[name] = None


def _makes_blocks(op: Operator) -> bool:
    """Whether the engine computes this in blocks of channels, whatever its input's layout is."""
    output = op.outputs[0]
    if output is None or output.shape is None or len(output.shape) != 4:
        return False
    if output.dtype != "float32":
        return False
    if op.type in _POOLS:
        return output.shape[1] % CHANNEL_BLOCK == 0 and sum(map(bool, op.outputs)) == 1
    kind = family(op)
    return kind == DEPTHWISE or (op.type == "Conv" and kind != GROUPED)


def _reads_blocks(op: Operator) -> bool:
    """A picture's few channels are read as they are."""
    return family(op) != STEM
