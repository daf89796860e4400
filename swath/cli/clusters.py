"""Which cluster a command works on: workers started here, or workers that are up elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import swath
import swath.api
from swath.cluster.varying import with_channels
from swath.cost import Costs
from swath.errors import ClusterError, FabricError, PlanError
from swath.runtime.knowing import Present

DEFAULT_WORKERS = 2

FIND_TIMEOUT = 3.0
"""Seconds after which the workers that a cluster file names are taken not to be up."""


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a cluster. ``present``: what its devices are at now; none where it is not
    up, and ``absence`` says so."""

    costs: Costs
    present: tuple[Present, ...] = ()
    absence: str | None = None


def known_of(cluster: swath.Cluster, step: Callable[[str], None]) -> Known:
    """What is known of a described cluster: where its workers are up, what they are at now and what
    their links are like; else what the file says. Raises ClusterError for a profile that does not
    hold."""
    if not all(device.address for device in cluster.workers):
        return Known(swath.api.costs(cluster))
    step("looking for the workers")
    try:
        with swath.connect(cluster, timeout=FIND_TIMEOUT) as session:
            return Known(session.costs(step), session.present)
    except FabricError as error:
        return Known(swath.api.costs(cluster), absence=f"not up, planned by its file: {error}")


def varied(costs: Costs, channels: Sequence[str] | None) -> Costs:
    """The same devices on links that vary as ``--channel`` says."""
    return replace(costs, cluster=with_channels(costs.cluster, channels)) if channels else costs


def open_cluster(
    *,
    local: int | None = None,
    threads: int = 1,
    plan: swath.Plan | None = None,
    cluster_file: Path | None = None,
    connect: list[str] | None = None,
    listen: str | None = None,
    discover: bool = False,
    cluster_name: str = "default",
) -> swath.ClusterSession:
    """A session; to be closed by the caller. Without any word of a cluster: two workers here."""
    elsewhere = cluster_file is not None or bool(connect) or discover
    if elsewhere and local is not None:
        raise ClusterError("--local starts workers here; leave it away with a cluster elsewhere")
    if not elsewhere:
        return swath.LocalCluster(_local_workers(local, plan), threads=threads)
    return swath.connect(
        None if cluster_file is None else swath.load_cluster(cluster_file),
        endpoints=tuple(connect or ()),
        listen=listen,
        discover=discover,
        cluster_name=cluster_name,
        threads=threads,
    )


def _local_workers(local: int | None, plan: swath.Plan | None) -> int | tuple[str, ...]:
    """How many, or with a plan: the devices that it names."""
    if plan is None:
        return DEFAULT_WORKERS if local is None else local
    named = plan.devices_used
    if local is not None and local != len(named):
        raise PlanError(
            f"the plan uses {len(named)} devices ({', '.join(named)}), --local starts {local}; "
            "leave --local away or plan again"
        )
    return named
