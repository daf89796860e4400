"""Regions, and one small file per operator family.

A rule says which input regions an output region needs, what the sliced operator is and what it
costs. This is the ground floor: nothing of Swath is imported here but this folder itself.
"""

from swath.ops import (
    along_axes,
    convolution,
    elementwise,
    layout,
    matmul,
    moments,
    normalization,
    padding,
    partial,
    pooling,
    quantization,
    reduction,
    reshape,
    resize,
    sampling,
    slicing,
)
from swath.ops.region import (
    Interval,
    Region,
    is_covered,
    split_by_shares,
    split_evenly,
    subtract_all,
)
from swath.ops.rule import (
    RANDOM_OPERATORS,
    SWATH_DOMAIN,
    BaseRule,
    Demand,
    Emitter,
    Operator,
    Regions,
    Rule,
    Tensor,
    register,
    registered,
    rule_for,
    splittable_axes,
    whole_demand,
    whole_of,
)

__all__ = [
    "RANDOM_OPERATORS",
    "SWATH_DOMAIN",
    "BaseRule",
    "Demand",
    "Emitter",
    "Interval",
    "Operator",
    "Region",
    "Regions",
    "Rule",
    "Tensor",
    "is_covered",
    "register",
    "registered",
    "rule_for",
    "split_by_shares",
    "split_evenly",
    "splittable_axes",
    "subtract_all",
    "whole_demand",
    "whole_of",
]
