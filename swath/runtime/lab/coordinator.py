"""The process of a lab's coordinator: lives in the source's namespace, told over a pipe what to do.

A process of its own, because the network namespace and the CPU quota of the source are to hold for
all of its threads, those of the fabric included, and for nothing else of the lab.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from swath.cluster import Cluster
from swath.cluster.profile import DeviceProfile, LinkProfile, MessageSample
from swath.errors import SwathError
from swath.fabric.zenoh import Endpoints, ZenohFabric
from swath.graph.graph import Graph
from swath.plan.plan import Plan
from swath.runtime.clusters import ClusterSession
from swath.runtime.coordinator import Coordinator
from swath.runtime.deployment import Deployment
from swath.runtime.plain import PlainRuntime
from swath.runtime.profiling.asking import Asker
from swath.runtime.profiling.effort import FULL, Effort
from swath.runtime.profiling.kept import kept_profile
from swath.runtime.profiling.links import both_ends, link_profiles, message_samples
from swath.runtime.profiling.pace import Pace
from swath.runtime.verify import Difference, compare
from swath.trace.trace import Trace

JOIN_TIMEOUT = 30.0

NAME = "coordinator"

Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True, slots=True)
class Block:
    """Requests back to back: seconds of each."""

    seconds: tuple[float, ...]

    @property
    def mean(self) -> float:
        return sum(self.seconds) / len(self.seconds)


class LabCoordinator:
    """What the lab can have done; public methods are called by name over the pipe."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._coordinator: Coordinator | None = None
        self._session: ClusterSession | None = None
        self._deployment: Deployment | None = None
        self._plain: PlainRuntime | None = None
        self._inputs: Arrays = {}
        self._kept: Any = None
        self._paced: Pace | None = None

    def close(self) -> None:
        if self._coordinator is not None:
            self._coordinator.close()

    def listen(self, endpoint: str, cluster_name: str) -> None:
        """Open the cluster for the workers to come."""
        self._coordinator = Coordinator(
            lambda land: ZenohFabric(
                NAME, "coordinator", land, Endpoints(listen=(endpoint,)), cluster_name
            )
        )

    def await_workers(self, cluster: Cluster, threads: int) -> None:
        """Until all of them are there."""
        assert self._coordinator is not None
        names = tuple(device.name for device in cluster.workers)
        self._coordinator.wait_for(names, JOIN_TIMEOUT)
        self._session = ClusterSession(self._coordinator, cluster, threads)

    def profile(self, device: str, effort: Effort) -> DeviceProfile:
        """The profile of a device: kept from earlier, or measured now, unhindered."""
        assert self._coordinator is not None
        others = [name for name in self._coordinator.workers() if name != device]
        return kept_profile(self._coordinator, [device, *others], effort, self._report, "lab")

    def link(
        self, sender: str, receiver: str, pace: float
    ) -> tuple[LinkProfile, tuple[MessageSample, ...]]:
        """The link between two devices as it is without any shaping; what its messages take of
        either CPU on a machine of this pace."""
        assert self._coordinator is not None
        asker = Asker(self._coordinator)
        exchanged = asker.exchange(sender, receiver, FULL.rounds)
        spent = message_samples(both_ends(exchanged), pace / asker.pace(receiver))
        return link_profiles(sender, receiver, exchanged)[0], spent

    def deploy(self, graph: Graph, plan: Plan, inputs: Arrays, threads: int) -> None:
        """Install a plan, and plain ONNX Runtime beside it; both run once."""
        assert self._session is not None
        self._deployment = self._session.deploy(graph, plan, self._report)
        self._inputs = inputs
        self._deployment.run(inputs)
        self._plain = PlainRuntime(graph, threads)

    def drop(self) -> None:
        """Forget what was deployed."""
        if self._deployment is not None:
            assert self._coordinator is not None
            self._coordinator.drop(self._deployment.programs)
        self._deployment = self._plain = None

    def keep(self, make: Callable[..., Any], *arguments: Any) -> None:
        """Make something of the cluster's session, told how to report, and keep it for `ask`."""
        assert self._session is not None
        self._kept = make(self._session, *arguments, report=self._report)

    def ask(self, name: str, *arguments: Any) -> Any:
        """What a method of what is kept returns, which is told how to report."""
        return getattr(self._kept, name)(*arguments, report=self._report)

    def pace(self, span: float) -> float:
        """Seconds of `Pace`, now, looked at for so many seconds."""
        if self._paced is None:
            self._paced = Pace()
        return self._paced.seconds(span)

    def requests(self, span: float, timeout: float) -> Block:
        """Requests that take at least ``span`` seconds together."""
        assert self._deployment is not None
        return _block(partial(self._deployment.run, self._inputs, timeout), span)

    def plain_runs(self, span: float) -> Block:
        """The same of plain ONNX Runtime on the unsplit model."""
        assert self._plain is not None
        return _block(partial(self._plain.run, self._inputs), span)

    def record(self, count: int, timeout: float) -> Trace:
        """What happens when during some requests."""
        assert self._deployment is not None
        return self._deployment.record(self._inputs, count, timeout)

    def results(self, timeout: float) -> tuple[Arrays, tuple[Difference, ...]]:
        """The outputs, and how they differ from the unsplit model's."""
        assert self._deployment is not None and self._plain is not None
        outputs = self._deployment.run(self._inputs, timeout)
        reference = self._plain.run(self._inputs)
        return outputs, tuple(compare(name, outputs[name], reference[name]) for name in reference)

    def _report(self, *what: Any) -> None:
        self._connection.send(("progress", what))

    def serve(self) -> None:
        """Do what is asked until the other end closes."""
        while True:
            try:
                name, arguments = self._connection.recv()
            except (EOFError, OSError):
                return
            try:
                answer = ("done", getattr(self, name)(*arguments))
            except SwathError as error:
                answer = ("failed", error)
            self._connection.send(answer)


def _block(run: Callable[[], object], span: float) -> Block:
    """Of one run at least, as ``span`` is positive."""
    seconds: list[float] = []
    begin = now = time.perf_counter()
    while now - begin < span:
        run()
        before, now = now, time.perf_counter()
        seconds.append(now - before)
    return Block(tuple(seconds))


def main() -> None:
    """The pipe is the descriptor that the first argument names."""
    with Connection(int(sys.argv[1])) as connection:
        served = LabCoordinator(connection)
        try:
            served.serve()
        except (KeyboardInterrupt, ConnectionError):
            pass  # Told to end, or there is nobody any more to report to.
        finally:
            served.close()
