"""EdgeCI: rows by auction to idle devices, layers fused by dynamic programming.

Chen, Luo, Fang, Xiong: EdgeCI: Distributed Workload Assignment and Model Partitioning for CNN
Inference on Edge Clusters (ACM TOIT 24, 2024).

From the abstract: workload assignment by auction (AWAS) and fused-layer parallelisation by dynamic
programming that is not recursive (DPFL), in combination. What is known of either, and what is
reconstruction, is told in `awas` and `dpfl` beside this file. Reconstructed: every block that the
dynamic programming looks at is put up for auction, by the devices' rooms, and the rows that they
hold, on the best way to its beginning.
"""

from __future__ import annotations

from swath.plan.plan import Plan
from swath.planners.methods.edgeci.awas import by_auction
from swath.planners.methods.edgeci.dpfl import over_best_blocks
from swath.planners.methods.edgeci.master import planned
from swath.planners.registry import Problem


class EdgeCI:
    """No options."""

    def plan(self, problem: Problem) -> Plan:
        return planned("edgeci", problem, lambda master: over_best_blocks(master, by_auction))
