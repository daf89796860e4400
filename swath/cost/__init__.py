"""Predicted seconds of a tile on a device and of bytes on a link.

May import ops, graph, engine, fabric and cluster.
"""

from swath.cost.cost import NO_COOLING, Cooling, Costs, MessageCost, Quota, nominal_costs
from swath.cost.profiled import ProfiledCosts, costs_for

__all__ = [
    "NO_COOLING",
    "Cooling",
    "Costs",
    "MessageCost",
    "ProfiledCosts",
    "Quota",
    "costs_for",
    "nominal_costs",
]
