"""What a cost model is told of an operator's part: its family, and seven numbers.

Measured samples and predictions are described here alike, so that they agree.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import prod

from swath.ops import SWATH_DOMAIN, Demand, Interval, Operator, Region, Regions, Tensor
from swath.ops.window import Window, windows

CONVOLUTION = "convolution"
DEPTHWISE = "depthwise"
TRANSPOSED = "transposed"
DENSE = "dense"
POOLING = "pooling"
REDUCTION = "reduction"
ELEMENTWISE = "elementwise"
MOVEMENT = "movement"
EDGE = "edge"
FREE = "free"

FAMILIES = (
    CONVOLUTION, DEPTHWISE, TRANSPOSED, DENSE, POOLING, REDUCTION, ELEMENTWISE, MOVEMENT, EDGE,
)  # fmt: skip
"""Families with a cost. `EDGE`: reordering of a map between its plain and its blocked layout.
What is in none of the lists below is taken for `ELEMENTWISE`; `FREE` operators take no time."""

_MEMBERS = {
    CONVOLUTION: "Conv QLinearConv ConvInteger PartialConv",
    TRANSPOSED: "ConvTranspose",
    DENSE: """Gemm MatMul QGemm MatMulInteger QLinearMatMul Einsum PartialGemm PartialMatMul""",
    POOLING: "MaxPool AveragePool LpPool QLinearAveragePool",
    REDUCTION: """
        GlobalAveragePool GlobalMaxPool GlobalLpPool QLinearGlobalAveragePool ReduceL1 ReduceL2
        ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum
        ReduceSumSquare ArgMax ArgMin Softmax LogSoftmax Hardmax LRN LpNormalization TopK CumSum
        CumProd MeanVarianceNormalization InstanceNormalization GroupNormalization
        LayerNormalization RMSNormalization PartialReduce PartialMoments""",
    MOVEMENT: """
        Concat QLinearConcat Slice Split Pad Transpose Resize Upsample DepthToSpace SpaceToDepth
        Gather GatherElements GatherND ScatterElements ScatterND Expand Tile Trilu OneHot Cast
        GridSample RoiAlign MaxRoiPool""",
    FREE: """
        Reshape Flatten Squeeze Unsqueeze Identity Dropout Constant ConstantOfShape Shape Size""",
}
_FAMILY = {name: family for family, names in _MEMBERS.items() for name in names.split()}
_DEMANDING = "Sigmoid Tanh Exp Log Erf Gelu QuickGelu HardSwish Swish Mish Softplus Elu Selu Pow"
_EFFORT = dict.fromkeys(_DEMANDING.split(), 8)
"""FLOPs per entry of functions that rules count as one; a polynomial or a division takes more."""

_READS_CONSTANTS = frozenset([CONVOLUTION, DEPTHWISE, TRANSPOSED, DENSE, REDUCTION])
"""Families whose inputs but the first are weights."""


@dataclass(frozen=True, slots=True)
class Features:
    """What is computed, as in `swath.cluster.profile.Sample`: FLOPs, those on padding left out;
    bytes of maps read and written; bytes of weights read; entries of the window in one channel;
    channels and width of what is written."""

    flops: float
    read: float
    written: float
    weights: float
    kernel: float
    channels: float
    width: float


def family(op: Operator) -> str:
    """The family of an operator, by which cost models are kept."""
    if op.domain == SWATH_DOMAIN and op.type not in _FAMILY:
        return ELEMENTWISE
    found = _FAMILY.get(op.type, ELEMENTWISE)
    return DEPTHWISE if found == CONVOLUTION and _is_depthwise(op) else found


def _is_depthwise(op: Operator) -> bool:
    """Whether each channel of the input has filters of its own."""
    groups = int(op.attribute("group", 1))
    shape = None if op.inputs[0] is None else op.inputs[0].shape
    return groups > 1 and shape is not None and len(shape) > 1 and shape[1] == groups


def describe(op: Operator, flops: int, demand: Demand) -> Features:
    """The features of a part: ``flops`` as its rule counts them, ``demand`` its regions."""
    kind = family(op)
    maps = 1 if kind in _READS_CONSTANTS else len(op.inputs)
    made = next((region for region in demand.outputs if region is not None), Region(()))
    if op.type == "PartialConv":
        made = Region(made[1:])  # Its parts are a leading axis.
    channels, width = _channels_and_width(kind, made)
    return Features(
        flops=flops * _EFFORT.get(op.type, 1) * _share_on_map(op, kind, made),
        read=_nbytes(demand.inputs[:maps], op.inputs[:maps]),
        written=_nbytes(demand.outputs, op.outputs),
        weights=_nbytes(demand.inputs[maps:], op.inputs[maps:]),
        kernel=float(_window(op, kind)),
        channels=float(channels),
        width=float(width),
    )


def edge(region: Region, itemsize: int) -> Features:
    """The features of reordering a map: it is read once and written once."""
    nbytes = float(region.size * itemsize)
    channels, width = _channels_and_width(EDGE, region)
    return Features(0.0, nbytes, nbytes, 0.0, 1.0, float(channels), float(width))


def _nbytes(regions: Regions, tensors: Iterable[Tensor | None]) -> float:
    return float(
        sum(
            region.size * tensor.itemsize
            for region, tensor in zip(regions, tensors, strict=True)
            if region is not None and tensor is not None
        )
    )


def _channels_and_width(kind: str, made: Region) -> tuple[int, int]:
    """Of a map (batch, channels, ..., width); of a matrix its columns are the channels."""
    extents = made.shape
    if kind == DENSE:
        return (extents[-1] if extents else 1), 1
    return (extents[1] if len(extents) > 1 else 1), (extents[-1] if len(extents) > 2 else 1)


def _window(op: Operator, kind: str) -> int:
    return prod(_kernel(op, kind))


def _kernel(op: Operator, kind: str) -> tuple[int, ...]:
    """Extents of the window; () where the operator has none."""
    if kind == POOLING:
        return op.integers("kernel_shape")
    if kind not in (CONVOLUTION, DEPTHWISE, TRANSPOSED):
        return ()
    index = 3 if op.type == "QLinearConv" else 1
    weights = op.inputs[index] if index < len(op.inputs) else None
    return () if weights is None or weights.shape is None else weights.shape[2:]


def _share_on_map(op: Operator, kind: str, made: Region) -> float:
    """Share of a convolution's taps that lie on the map, not on padding: engines skip the others,
    which are most of them where a wide window meets a few rows."""
    data = op.inputs[0] if op.inputs else None
    if kind not in (CONVOLUTION, DEPTHWISE) or data is None or data.shape is None:
        return 1.0
    found = windows(op, _kernel(op, kind), data.shape)
    return prod(
        taps_on_map(window, made[axis]) / (window.kernel * (made[axis][1] - made[axis][0]))
        for axis, window in enumerate(found, start=2)
    )


def taps_on_map(window: Window, outputs: Interval) -> int:
    """How many (output, tap) pairs of one axis meet an entry of the map."""
    lo, hi = outputs
    count = 0
    for tap in range(window.kernel):
        ahead = window.pad_begin - window.dilation * tap
        first = -(-ahead // window.stride)
        last = -(-(window.extent + ahead) // window.stride)
        count += max(0, min(hi, last) - max(lo, first))
    return count
