"""Predicted seconds of a tile on a device and of bytes on a link.

May import ops, graph, engine, fabric and cluster.
"""

from swath.cost.cost import Costs, MessageCost, Quota, nominal_costs

__all__ = ["Costs", "MessageCost", "Quota", "nominal_costs"]
