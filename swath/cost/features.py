"""What a cost model is told of an operator's part: its family, and eight numbers.

Measured samples and predictions are described here alike, so that they agree.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import prod

from swath.ops import SWATH_DOMAIN, Demand, Interval, Operator, Region, Regions, Tensor
from swath.ops.window import Window, windows

CONVOLUTION = "convolution"
POINTWISE = "pointwise"
STEM = "stem"
GROUPED = "grouped"
DEPTHWISE = "depthwise"
TRANSPOSED = "transposed"
DENSE = "dense"
MAX_POOLING = "max-pooling"
AVERAGE_POOLING = "average-pooling"
PLAIN_MAX_POOLING = "plain-max-pooling"
PLAIN_AVERAGE_POOLING = "plain-average-pooling"
GLOBAL_POOLING = "global-pooling"
REDUCTION = "reduction"
SOFTMAX = "softmax"
SOFTMAX_ACROSS = "softmax-across"
NORMALIZATION = "normalization"
SCALING = "scaling"
ACTIVATION = "activation"
FUNCTION = "function"
ELEMENTWISE = "elementwise"
GATING = "gating"
JOINING = "joining"
CUTTING = "cutting"
RESIZING = "resizing"
INTERPOLATING = "interpolating"
DEPTH_TO_SPACE = "depth-to-space"
SPACE_TO_DEPTH = "space-to-depth"
REARRANGING = "rearranging"
BLOCKING = "blocking"
UNBLOCKING = "unblocking"
FREE = "free"

FAMILIES = (
    CONVOLUTION, POINTWISE, STEM, GROUPED, DEPTHWISE, TRANSPOSED, DENSE, MAX_POOLING,
    AVERAGE_POOLING, PLAIN_MAX_POOLING, PLAIN_AVERAGE_POOLING, GLOBAL_POOLING, REDUCTION, SOFTMAX,
    SOFTMAX_ACROSS, NORMALIZATION, SCALING, ACTIVATION, FUNCTION, ELEMENTWISE, GATING, JOINING,
    CUTTING, RESIZING, INTERPOLATING, DEPTH_TO_SPACE, SPACE_TO_DEPTH, REARRANGING, BLOCKING,
    UNBLOCKING,
)  # fmt: skip
"""Families with a cost: operators that an engine computes alike. A convolution is `POINTWISE`
where its window is one entry, `STEM` where it reads a picture's few channels, `GROUPED` where its
groups fill no blocks; pooling is plain where channels do not; `SOFTMAX_ACROSS` goes over another
axis than the last. `GATING`: maps of unlike shapes combined. `BLOCKING`, `UNBLOCKING`: a map from
its plain order into blocks of channels, and back. What is in none of the lists below is taken for
`ELEMENTWISE`; `FREE` operators take no time."""

CONVOLUTIONS = frozenset([CONVOLUTION, POINTWISE, STEM, GROUPED, DEPTHWISE])
_PLAIN = {MAX_POOLING: PLAIN_MAX_POOLING, AVERAGE_POOLING: PLAIN_AVERAGE_POOLING}
_POOLINGS = frozenset([*_PLAIN, *_PLAIN.values()])

NEAR = 16 << 20
FAR = 256 << 20
"""Bytes that a model reads before it comes to the same weights again: below and above these, more
or fewer make no difference."""

CHANNEL_BLOCK = 16
"""Output channels that one vector of a current core holds, or a small multiple of it."""

_MEMBERS = {
    CONVOLUTION: "Conv QLinearConv ConvInteger PartialConv",
    TRANSPOSED: "ConvTranspose",
    DENSE: """Gemm MatMul QGemm MatMulInteger QLinearMatMul Einsum PartialGemm PartialMatMul""",
    MAX_POOLING: "MaxPool",
    AVERAGE_POOLING: "AveragePool LpPool QLinearAveragePool",
    GLOBAL_POOLING: """
        GlobalAveragePool GlobalMaxPool GlobalLpPool QLinearGlobalAveragePool""",
    REDUCTION: """
        ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd
        ReduceSum ReduceSumSquare ArgMax ArgMin PartialReduce PartialMoments""",
    SOFTMAX: "Softmax LogSoftmax Hardmax TopK CumSum CumProd",
    NORMALIZATION: """
        LRN LpNormalization MeanVarianceNormalization InstanceNormalization GroupNormalization
        LayerNormalization RMSNormalization""",
    SCALING: "BatchNormalization",
    ACTIVATION: "Relu LeakyRelu PRelu Clip ThresholdedRelu HardSigmoid HardSwish",
    FUNCTION: """
        Sigmoid Tanh Exp Log Erf Gelu QuickGelu Swish Mish Softplus Elu Selu Celu Softsign Sqrt
        Pow""",
    JOINING: "Concat QLinearConcat",
    CUTTING: "Slice Split Pad",
    RESIZING: "Resize Upsample",
    DEPTH_TO_SPACE: "DepthToSpace",
    SPACE_TO_DEPTH: "SpaceToDepth",
    REARRANGING: """
        Transpose Gather GatherElements GatherND ScatterElements
        ScatterND Expand Tile Trilu OneHot Cast GridSample RoiAlign MaxRoiPool""",
    FREE: """
        Reshape Flatten Squeeze Unsqueeze Identity Dropout Constant ConstantOfShape Shape Size""",
}
_FAMILY = {name: family for family, names in _MEMBERS.items() for name in names.split()}
_EFFORTS = {
    2: "ReduceMax ReduceMin",
    3: "Clip LeakyRelu PRelu HardSigmoid HardSwish",
    5: "Exp Sqrt",
    6: "ReduceL2",
    8: "Sigmoid Tanh Log Gelu QuickGelu Swish",
    12: "Erf Mish Pow",
    40: "Elu Selu Celu Softsign",
    240: "Softplus",
}
_EFFORT = {name: effort for effort, names in _EFFORTS.items() for name in names.split()}
"""FLOPs per entry of functions that rules count as one: polynomials where the engine has vectors
for them, calls to the mathematical library where it has none (as measured)."""

_IN_PARTS = frozenset(["PartialConv", "PartialReduce", "PartialMoments"])

_READS_ONE_MAP = CONVOLUTIONS | {
    TRANSPOSED, DENSE, GLOBAL_POOLING, REDUCTION, NORMALIZATION, SCALING, RESIZING, INTERPOLATING,
}  # fmt: skip
"""Families whose inputs but the first are weights, or are hardly read."""


@dataclass(frozen=True, slots=True)
class Features:
    """What is computed, as in `swath.cluster.profile.Sample`: FLOPs, those on padding left out;
    bytes of maps read and written; bytes of weights read; entries of the window in one channel;
    channels and width of what is written; bytes that are read before the same weights are again."""

    flops: float
    read: float
    written: float
    weights: float
    kernel: float
    channels: float
    width: float
    away: float = NEAR


def family(op: Operator) -> str:
    """The family of an operator, by which cost models are kept."""
    if op.domain == SWATH_DOMAIN and op.type not in _FAMILY:
        return ELEMENTWISE
    found = _FAMILY.get(op.type, ELEMENTWISE)
    if found == CONVOLUTION:
        return _convolution(op)
    if found == SOFTMAX:
        return SOFTMAX if _is_over_the_last(op) else SOFTMAX_ACROSS
    if found in _PLAIN:
        data = op.inputs[0]
        is_full = data is None or data.shape is None or data.shape[1] % CHANNEL_BLOCK == 0
        return found if is_full else _PLAIN[found]
    if found == RESIZING and op.attribute("mode", "nearest") not in ("nearest", b"nearest"):
        return INTERPOLATING
    if found == ELEMENTWISE and len({t.shape for t in op.inputs if t is not None}) > 1:
        return GATING
    return found


def _is_over_the_last(op: Operator) -> bool:
    """Whether a softmax goes over the last axis."""
    axis, data = int(op.attribute("axis", -1)), op.inputs[0]
    return axis == -1 or data is None or data.shape is None or axis == len(data.shape) - 1


def _convolution(op: Operator) -> str:
    """Which kind of convolution."""
    data, weights = (op.inputs[index] for index in (0, 3 if op.type == "QLinearConv" else 1))
    if data is None or data.shape is None or weights is None or weights.shape is None:
        return CONVOLUTION
    groups, inputs, outputs = int(op.attribute("group", 1)), data.shape[1], weights.shape[0]
    if groups > 1 and groups == inputs:
        return DEPTHWISE
    if groups > 1 and (inputs // groups % CHANNEL_BLOCK or outputs // groups % CHANNEL_BLOCK):
        return GROUPED
    if inputs < CHANNEL_BLOCK:
        return STEM
    return POINTWISE if prod(weights.shape[2:]) == 1 else CONVOLUTION


def describe(op: Operator, flops: int, demand: Demand, away: float = NEAR) -> Features:
    """The features of a part: ``flops`` as its rule counts them, ``demand`` its regions; ``away``:
    bytes of all weights that the model reads in turn."""
    kind = family(op)
    maps = 1 if kind in _READS_ONE_MAP else len(op.inputs)
    made = next((region for region in demand.outputs if region is not None), Region(()))
    if op.type in _IN_PARTS:
        made = Region(made[1:])  # Parts are a leading axis.
    channels, width = _channels_and_width(kind, made)
    return Features(
        flops=flops * _EFFORT.get(op.type, 1) * _share_on_map(op, kind, made),
        read=bytes_of(demand.inputs[:maps], op.inputs[:maps]),
        written=bytes_of(demand.outputs, op.outputs),
        weights=bytes_of(demand.inputs[maps:], op.inputs[maps:]),
        kernel=float(prod(_kernel(op, kind))),
        channels=float(channels),
        width=float(width),
        away=float(away),
    )


def moving(kind: str, region: Region, itemsize: int) -> Features:
    """The features of reordering or copying a map: it is read once and written once; of blocks of
    channels the whole, however many of them are filled."""
    written = float(region.size * itemsize)
    channels, width = _channels_and_width(kind, region)
    filled = channels / (-(-channels // CHANNEL_BLOCK) * CHANNEL_BLOCK)
    read = written / filled if kind == UNBLOCKING else written
    return Features(0.0, read, written, 0.0, 1.0, float(channels), float(width))


def bytes_of(regions: Regions, tensors: Iterable[Tensor | None]) -> float:
    """Bytes of parts of tensors, one region each; nothing for what is not there."""
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


def _kernel(op: Operator, kind: str) -> tuple[int, ...]:
    """Extents of the window; () where the operator has none."""
    if kind in _POOLINGS:
        return op.integers("kernel_shape")
    if kind != TRANSPOSED and kind not in CONVOLUTIONS:
        return ()
    index = 3 if op.type == "QLinearConv" else 1
    weights = op.inputs[index] if index < len(op.inputs) else None
    return () if weights is None or weights.shape is None else weights.shape[2:]


def _share_on_map(op: Operator, kind: str, made: Region) -> float:
    """Share of a convolution's taps that lie on the map, not on padding: engines skip the others,
    which are most of them where a wide window meets a few rows."""
    data = op.inputs[0] if op.inputs else None
    if kind not in CONVOLUTIONS or data is None or data.shape is None:
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
