"""Planners: (graph, cluster, costs, objective) -> plan. One file per method, registered by name.

May import everything below: ops, graph, engine, cluster, cost, plan, simulate.
"""

import swath.planners.catalogue
from swath.planners.registry import (
    PlannerInfo,
    Problem,
    known_planners,
    make_planner,
    register_planner,
)

__all__ = ["PlannerInfo", "Problem", "known_planners", "make_planner", "register_planner"]
