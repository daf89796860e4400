"""Planners: (graph, cluster, costs, objective) -> plan. One file per method, registered by name.

May import everything below: ops, graph, engine, cluster, cost, plan, simulate.
"""

import swath.planners.catalogue
from swath.planners.registry import (
    Objective,
    PlannerInfo,
    Problem,
    check_objective,
    first_objective,
    known_planners,
    make_planner,
    register_planner,
)

__all__ = [
    "Objective",
    "PlannerInfo",
    "Problem",
    "check_objective",
    "first_objective",
    "known_planners",
    "make_planner",
    "register_planner",
]
