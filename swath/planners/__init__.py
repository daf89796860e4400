"""Planners: (graph, cluster, costs, objective) -> plan. One file per method, registered by name.

Published methods and their families stand under `methods`, what they build with under `building`,
ours under `auto`, many comparisons at once under `sweep`.
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
