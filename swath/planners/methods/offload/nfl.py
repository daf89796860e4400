"""No fused layers: what offloading in paths is compared with.

Zhou, Li, Wang, Min, Wu: Accelerating Deep Learning Inference via Model Parallelism and Partial
Computation Offloading (IEEE Transactions on Parallel and Distributed Systems 34(2), 2023).

The paper calls its baseline NFL: layers are neither fused nor cut. What it does instead cannot be
read from the abstract, so there are three: all on the device (`nfl-local`), all on a server
(`nfl-remote`), and one cut between the two, the best (`nfl-bestcut`). Reconstructed: where there
are several servers, the one with which the whole is over soonest.
"""

from __future__ import annotations

import numpy as np

from swath.errors import PlanError
from swath.plan.compile import compile_plan
from swath.plan.plan import Plan
from swath.plan.validate import validate_memory
from swath.planners.methods.offload.laying_out import plan_of
from swath.planners.methods.offload.searching import source_alone
from swath.planners.methods.offload.setting import Setting, offloaded
from swath.planners.methods.offload.ways import Ways
from swath.planners.registry import Problem


class NflLocal:
    """No options."""

    def plan(self, problem: Problem) -> Plan:
        cluster = problem.costs.cluster
        source = cluster.source
        if not cluster.device(source).compute:
            raise PlanError(
                f"the source {source!r} computes nothing, so nothing can stay there; "
                "use --planner nfl-remote"
            )
        setting = Setting(problem, 1, [source])
        plan = plan_of(
            "nfl-local", problem, setting.layouts, setting.blocks, setting.parties.names,
            source_alone(setting),
        )  # fmt: skip
        validate_memory(plan, compile_plan(plan))
        return plan


class NflRemote:
    """No options."""

    def plan(self, problem: Problem) -> Plan:
        return offloaded("nfl-remote", problem, 1, _remote)


class NflBestCut:
    """No options."""

    def plan(self, problem: Problem) -> Plan:
        return offloaded(
            "nfl-bestcut", problem, 1, lambda setting: setting.best(setting.unfused())[1]
        )


def _remote(setting: Setting) -> Ways:
    """Nothing is computed by the source, unless no server is left that has the memory."""
    ways = setting.unfused()
    return setting.best(ways.take(np.flatnonzero(ways.cut[:, 0] == ways.cut[:, 0].min())))[1]
