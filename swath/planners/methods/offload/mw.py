"""Minimising waiting: paths through a fused block, offloaded one after the other.

Li, Wang, Zhou, Duan, Wu: Fused-Layer-based DNN Model Parallelism and Partial Computation Offloading
(GLOBECOM 2022).

From the abstract: layers are fused and cut into paths; each path is computed by the device up to
some layer, sent, and finished by an edge server; which layers are fused, the order of the paths and
where each is cut are explored by *minimising waiting*, close to brute force in far less time.
Reconstructed: all of how. Here a block begins with the network and ends at any cut, its paths have
equal rows; from the best blocks with paths of one or two sorts, path after path is given the cut
and the server with which the whole is over soonest; in which order, is told by
`swath.planners.methods.offload.flow_shop`; how long it takes, by the rules of the simulator
(`swath.planners.methods.offload.timing`). Behind the block one device computes the rest: the source
or a server, whichever is sooner. Several servers, each with its own link, are an extension.
"""

from __future__ import annotations

from swath.plan.plan import Plan
from swath.planners.methods.offload.searching import waiting_least
from swath.planners.methods.offload.setting import checked_number, offloaded
from swath.planners.registry import Problem


class MinimisingWaiting:
    """Options: ``paths``: into how many a block may be cut at most."""

    def __init__(self, paths: int | None = None) -> None:
        self.paths = checked_number("paths", paths)

    def plan(self, problem: Problem) -> Plan:
        return offloaded(
            "mw", problem, self.paths, lambda setting: waiting_least(setting)[1], or_single=True
        )
