"""Where plans are measured: by workers started here, by a cluster that is up, or in the lab."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np

import swath
from swath.cli.clusters import FIND_TIMEOUT, Known, known_of, open_cluster
from swath.cli.progress import Display
from swath.errors import ClusterError, SwathError
from swath.runtime.lab.cluster import LabCluster
from swath.runtime.lab.lab import check_fit

Place = Literal["local", "cluster", "lab"]

REPEAT: Mapping[Place, int] = {"local": 10, "cluster": 10, "lab": 3}
"""How often is measured unless told otherwise; what that means is in `Work`."""


@dataclass(frozen=True, slots=True)
class Work:
    """What plans are measured with: ``repeat`` inferences (in the lab: figures, each the mean of
    many) of at most ``timeout`` seconds."""

    graph: swath.Graph
    inputs: Mapping[str, np.ndarray]
    repeat: int
    timeout: float


@dataclass(frozen=True, slots=True)
class Ground:
    """A cluster that plans are made for. ``run``: measures one there, and compares its outputs with
    the unsplit model's; None where nobody asked for that. ``lab``: where it is one."""

    known: Known
    run: Callable[[Work, swath.Plan], swath.RunReport] | None = None
    lab: LabCluster | None = None


def measuring_place(cluster: swath.Cluster | None) -> Place:
    """Where plans for a described cluster can be measured; without one, by workers started here.
    Raises as `real_place` does."""
    if cluster is None:
        return "local"
    return real_place(cluster, "--measure", ", or give --local N instead of it")


def real_place(cluster: swath.Cluster, who: str, otherwise: str = "") -> Place:
    """Where something can be run for real: where the cluster's devices have addresses, there; else
    in the lab. Raises ClusterError where nowhere, of ``who`` and what to do ``otherwise``, and
    where this machine cannot be a lab or cannot imitate this cluster.
    """
    absent = [device.name for device in cluster.workers if not device.address]
    if not absent:
        return "cluster"
    if any(device.cores for device in cluster.devices):
        check_fit(cluster)
        return "lab"
    raise ClusterError(
        f"{who} has nowhere to run: device {absent[0]!r} has no address, and no device has "
        f"'cores' for the lab; add either to the cluster file{otherwise}"
    )


@contextlib.contextmanager
def ground_of(
    cluster: swath.Cluster | None, local: int | None, place: Place | None, display: Display
) -> Iterator[Ground]:
    """A described cluster, or so many workers started here, looked at; where there is a ``place``
    to measure at, it is up inside."""
    if place == "lab":
        assert cluster is not None
        with LabCluster(cluster, step=display.step) as lab:
            yield Ground(Known(lab.costs), partial(_in_lab, lab, display), lab)
    elif cluster is None or place == "cluster":
        with _session(cluster, local, display) as session:
            known = Known(session.costs(display.step), session.present)
            run = None if place is None else partial(_on_cluster, session, display)
            yield Ground(known, run)
    else:
        yield Ground(known_of(cluster, display.step))


def _session(
    cluster: swath.Cluster | None, local: int | None, display: Display
) -> swath.ClusterSession:
    if cluster is None:
        display.step("starting workers")
        return open_cluster(local=local)
    display.step("joining the workers")
    return swath.connect(cluster, timeout=FIND_TIMEOUT)


def _in_lab(lab: LabCluster, display: Display, work: Work, plan: swath.Plan) -> swath.RunReport:
    display.step("installing")
    return lab.run(
        work.graph,
        work.inputs,
        plan=plan,
        repeat=work.repeat,
        timeout=work.timeout,
        progress=display.weights,
    )


def _on_cluster(
    session: swath.ClusterSession, display: Display, work: Work, plan: swath.Plan
) -> swath.RunReport:
    display.step("installing")
    deployment = session.deploy(work.graph, plan, display.weights)
    display.hold("measuring")
    try:
        return session.run(
            work.graph, work.inputs, plan=plan, repeat=work.repeat, timeout=work.timeout
        )
    finally:
        # Room for the next plan; what keeps a worker from it shows when that one is installed.
        with contextlib.suppress(SwathError):
            session.coordinator.drop(deployment.programs)
