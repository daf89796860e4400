"""Clusters that are up: workers on this machine, or wherever they listen. Plan, install, run."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any, Self

import numpy as np

from swath.cluster import Cluster, local_cluster
from swath.cluster.profile import DeviceProfile
from swath.cluster.uplink import with_channel_rate
from swath.cost import Costs, costs_for
from swath.errors import FabricError, PlanError, WorkerError
from swath.fabric.places import own_host
from swath.fabric.zenoh import Endpoints, ZenohFabric
from swath.graph.graph import Graph
from swath.plan.compile import compile_plan
from swath.plan.plan import Plan
from swath.plan.validate import validate_devices, validate_memory, validate_plan
from swath.planners import Objective, Problem, first_objective
from swath.planners.choosing import DEFAULT_PLANNER, Choice, choose
from swath.planners.rate_table import RateTable
from swath.runtime.channel_aware import ChannelReport, Chooser, Rate
from swath.runtime.coordinator import Coordinator
from swath.runtime.deployment import Deployment
from swath.runtime.inputs import Inputs, Outputs
from swath.runtime.install import Progress
from swath.runtime.knowing import (
    Present,
    Step,
    as_it_is,
    brief_profile,
    known_profiles,
    measured_links,
    present_links,
    present_state,
)
from swath.runtime.local import LocalWorkers
from swath.runtime.plain import PlainRuntime
from swath.runtime.running import RunReport, Stream, Way, run_ways
from swath.runtime.streaming import check_stream_memory
from swath.runtime.uplink_rate import UplinkRate
from swath.simulate import Request, make_script, simulate
from swath.trace.trace import Trace

MULTICAST = "tcp/224.0.0.224:7446"
"""Where workers are looked for that have no known address; shows which of our addresses is seen."""


class ClusterSession:
    """A coordinator joined to workers that are up."""

    def __init__(self, coordinator: Coordinator, cluster: Cluster, threads: int = 1) -> None:
        self.coordinator = coordinator
        self.cluster = cluster
        self._threads = threads
        self.present: tuple[Present, ...] = ()
        self._profiles: Mapping[str, DeviceProfile] | None = None
        self._costs: Costs | None = None
        self._deployed: dict[str, Deployment] = {}

    def close(self) -> None:
        """Leave the cluster. Safe to call twice."""
        self.coordinator.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def costs(self, step: Step = lambda text: None) -> Costs:
        """What is known of the devices and links, as `look` found them when this was first asked
        for or when it looked last; for `choose`, `plan` and what `run` expects."""
        if self._costs is None:
            self.look(step)
        assert self._costs is not None
        return self._costs

    def look(self, step: Step = lambda text: None) -> tuple[Present, ...]:
        """What the devices are at now: how busy others keep their CPUs, and how much memory is
        free. Plans are made for that from now on.

        The first time, profiles are found and links measured, in some seconds where nothing is
        known, then kept. ``step`` is told what is being done. Raises ClusterError for a profile
        that is another device's or does not hold any more, WorkerError and FabricError.
        """
        if self._profiles is None:
            self._profiles = self._find_out(step)
        self.present = self._look(step)
        loads = {state.device: state.load for state in self.present}
        self._costs = costs_for(as_it_is(self.cluster, self.present), self._profiles, loads)
        return self.present

    def _find_out(self, step: Step) -> Mapping[str, DeviceProfile]:
        """Profiles by device; the links become those of now."""
        profiles = known_profiles(self.coordinator, self.cluster, step)
        self.cluster = present_links(self.coordinator, self.cluster, step)
        return profiles

    def _look(self, step: Step) -> tuple[Present, ...]:
        names = [device.name for device in self.cluster.workers]
        return present_state(self.coordinator, names, step)

    def choose(
        self,
        graph: Graph,
        planner: str | None = None,
        *,
        objective: Objective | None = None,
        deadline: float | None = None,
        **options: Any,
    ) -> Choice:
        """A plan for this cluster as `look` found it, and what is expected of it; the arguments are
        those of `swath.api.choose`."""
        asked = objective or first_objective(planner or DEFAULT_PLANNER)
        return choose(Problem(graph, self.costs(), asked, deadline), planner, **options)

    def plan(self, graph: Graph, planner: str | None = None, **options: Any) -> Plan:
        """The plan of `choose`."""
        return self.choose(graph, planner, **options).plan

    def foresee(self, plan: Plan) -> Trace:
        """What should happen when on every device while a model runs once."""
        costs = self.costs()
        script = make_script(self._here(plan), compile_plan(plan), costs)
        trace = simulate([Request(script)], costs, record=True).trace
        assert trace is not None
        return trace

    def _here(self, plan: Plan) -> Plan:
        """The plan with its inputs and outputs where this coordinator is."""
        source = self.cluster.source
        return plan if plan.source == source else replace(plan, source=source)

    def deploy(
        self, graph: Graph, plan: Plan | None = None, progress: Progress | None = None
    ) -> Deployment:
        """Install a plan on the workers, its weights included; a second time costs nothing."""
        plan = plan or self.plan(graph)
        validate_plan(plan, graph)
        validate_devices(plan, [device.name for device in self.cluster.workers])
        programs = compile_plan(plan)
        validate_memory(plan, programs)
        deployment = self._deployed.get(programs.version)
        if deployment is None or not deployment.is_installed:
            deployment = self.coordinator.install(programs, graph, progress)
            self._deployed[programs.version] = deployment
        return deployment

    def run(
        self,
        graph: Graph,
        inputs: Mapping[str, np.ndarray] | None = None,
        *,
        planner: str | None = None,
        plan: Plan | None = None,
        repeat: int = 1,
        timeout: float = 60.0,
        compare_with_single: bool = True,
        progress: Progress | None = None,
        stream: int | None = None,
    ) -> RunReport:
        """Run a model ``repeat`` times on the cluster, in turn with plain ONNX Runtime.

        ``inputs``: an array per input of the model; seeded random values unless given. ``stream``:
        afterwards, run it at least so often again with so many requests in flight at once. Raises
        SwathError's kin, each with one line that names the thing and the mend.
        """
        plan = plan or self.plan(graph, planner)
        deployment = self.deploy(graph, plan, progress)
        if stream is not None:
            check_stream_memory(plan, deployment.programs, stream)
        # Costs are measured, if they are, while nothing else is.
        way = Way(plan, self._here(plan), deployment, self.costs())
        return run_ways(
            [way],
            lambda requests: way,
            random_inputs(graph) if inputs is None else inputs,
            PlainRuntime(graph, self._threads) if compare_with_single else None,
            repeat=repeat,
            timeout=timeout,
            stream=None if stream is None else Stream.at_a_stretch(stream, repeat),
            present=self.present,
        )

    def run_by_rate(
        self,
        graph: Graph,
        table: RateTable,
        inputs: Mapping[str, np.ndarray] | None = None,
        *,
        rate: Rate | None = None,
        repeat: int = 1,
        timeout: float = 60.0,
        compare_with_single: bool = True,
        progress: Progress | None = None,
        stream: int | None = None,
    ) -> tuple[RunReport, ChannelReport]:
        """`run`, each request by the plan of the table for what the source's uplink carries then;
        of a stream, each batch that shows its stride. All plans are installed at the beginning,
        and the outputs of each are compared.

        ``rate``: says what the uplink carries, unless it is to be measured between requests.
        """
        costs = self.costs()
        chooser = Chooser(table, rate or UplinkRate(self.coordinator, costs.cluster))
        deployments = self.deploy_by_rate(graph, table, progress)
        if stream is not None:
            for band, deployment in zip(table.bands, deployments, strict=True):
                check_stream_memory(band.plan, deployment.programs, stream)

        @cache
        def way(band: int, rate: float) -> Way:
            plan = table.bands[band].plan
            there = replace(costs, cluster=with_channel_rate(costs.cluster, rate))
            return Way(plan, self._here(plan), deployments[band], there)

        def pick(requests: int) -> Way:
            taken = chooser.choose(requests)
            return way(taken.band, taken.rate)

        report = run_ways(
            [way(number, band.rate) for number, band in enumerate(table.bands)],
            pick,
            random_inputs(graph) if inputs is None else inputs,
            PlainRuntime(graph, self._threads) if compare_with_single else None,
            repeat=repeat,
            timeout=timeout,
            stream=None if stream is None else Stream.in_batches(stream, repeat),
            present=self.present,
        )
        return report, chooser.report

    def deploy_by_rate(
        self, graph: Graph, table: RateTable, progress: Progress | None = None
    ) -> list[Deployment]:
        """Install all plans of a table beside each other, in the order of its bands."""
        made = []
        for band in table.bands:
            try:
                made.append(self.deploy(graph, band.plan, progress))
            except WorkerError as error:
                which = f"plan {len(made) + 1} of {len(table.bands)} that must be ready at once"
                raise WorkerError(f"{which}: {error}") from None
        return made

    def stream(
        self,
        graph: Graph,
        inputs: Iterable[Inputs],
        in_flight: int,
        *,
        plan: Plan | None = None,
        timeout: float = 60.0,
    ) -> Iterator[Outputs]:
        """Run a model on many inputs, at most ``in_flight`` of them at once: their outputs, in
        their order. The next inputs are taken when there is room for them; see
        `swath.runtime.coordinator.Deployment.stream`. Raises as `run` does."""
        plan = plan or self.plan(graph)
        deployment = self.deploy(graph, plan)
        check_stream_memory(plan, deployment.programs, in_flight)
        return deployment.stream(inputs, in_flight, timeout)

    def record(
        self,
        graph: Graph,
        inputs: Mapping[str, np.ndarray] | None = None,
        *,
        plan: Plan | None = None,
        requests: int = 3,
        timeout: float = 60.0,
    ) -> Trace:
        """What happens when on every device while a model runs ``requests`` times, one after the
        other and once before to warm up; `run` reports times that no recording touches.

        Raises as `run` does.
        """
        arrays = random_inputs(graph) if inputs is None else inputs
        deployment = self.deploy(graph, plan)
        deployment.run(arrays, timeout)
        return deployment.record(arrays, requests, timeout)


class LocalCluster(ClusterSession):
    """Worker processes on this machine, started here and stopped with it.

    ``workers``: how many, or their names (those of a plan's devices, say).

    >>> with LocalCluster(2) as cluster:                                    # doctest: +SKIP
    ...     report = cluster.run(swath.load("zoo:vgg16"))
    """

    def __init__(
        self, workers: int | Sequence[str] = 2, *, threads: int = 1, memory: int | None = None
    ) -> None:
        if isinstance(workers, int):
            workers = [f"worker-{index}" for index in range(workers)]
        self._workers = LocalWorkers(workers, threads, memory)
        super().__init__(self._workers.coordinator, local_cluster(self._workers.names), threads)

    @property
    def pids(self) -> Mapping[str, int]:
        """Process of each worker."""
        return {name: process.pid for name, process in self._workers.processes.items()}

    def close(self) -> None:
        self._workers.close()

    def _find_out(self, step: Step) -> Mapping[str, DeviceProfile]:
        # Workers are equal and so are their links; measuring each would only add noise.
        names = self._workers.names
        profile = brief_profile(self.coordinator, names, step)
        links = measured_links(self.coordinator, names[:2], step)
        self.cluster = replace(
            self.cluster, default_link=next(iter(links.values()), self.cluster.default_link)
        )
        return dict.fromkeys(names, profile)

    def _look(self, step: Step) -> tuple[Present, ...]:
        # They share this machine: what one sees all of them see.
        first, *others = self._workers.names
        (state,) = present_state(self.coordinator, [first], step)
        return state, *(replace(state, device=name) for name in others)


class _FoundCluster(ClusterSession):
    """Workers that no file describes: what joins them is measured."""

    def _find_out(self, step: Step) -> Mapping[str, DeviceProfile]:
        names = [device.name for device in self.cluster.workers]
        links = measured_links(self.coordinator, names, step)
        self.cluster = replace(self.cluster, links=links)
        return known_profiles(self.coordinator, self.cluster, step)


def connect(
    cluster: Cluster | None = None,
    *,
    endpoints: tuple[str, ...] = (),
    listen: str | None = None,
    discover: bool = False,
    cluster_name: str = "default",
    timeout: float = 10.0,
    threads: int = 1,
) -> ClusterSession:
    """Join workers that are up elsewhere.

    ``cluster`` names them (its devices' addresses are connected to); without it, whoever is found
    at ``endpoints`` (or by ``discover``) within ``timeout`` seconds is taken, in order of name.
    ``listen``: where this side takes data; by default the address of this machine that the first
    worker sees, on a free port.
    """
    addresses = () if cluster is None else tuple(d.address for d in cluster.workers if d.address)
    targets = (*endpoints, *addresses)
    if not targets and not discover:
        raise FabricError("nowhere to connect to; give addresses in the cluster file, or --connect")
    own = listen or f"tcp/{own_host(targets or (MULTICAST,))}:0"
    name = f"coordinator-{socket.gethostname().split('.')[0]}-{os.getpid()}-{secrets.token_hex(2)}"
    coordinator = Coordinator(
        lambda land: ZenohFabric(
            name, "coordinator", land, Endpoints((own,), targets, discover), cluster_name
        )
    )
    try:
        if cluster is not None:
            coordinator.wait_for(tuple(device.name for device in cluster.workers), timeout)
            return ClusterSession(coordinator, cluster, threads)
        found = coordinator.gather(timeout)
        if not found:
            tried = ", ".join(targets) or "multicast on the local network"
            raise FabricError(
                f"no worker found within {timeout:g} s; tried {tried}; "
                "start one with 'swath worker'"
            )
        return _FoundCluster(coordinator, local_cluster(found), threads)
    except BaseException:
        coordinator.close()
        raise


def random_inputs(graph: Graph, seed: int = 0) -> dict[str, np.ndarray]:
    """Seeded values for every input: normal for floats, small whole numbers else."""
    rng = np.random.default_rng(seed)
    arrays = {}
    for name in graph.inputs:
        tensor = graph.tensors[name]
        if tensor.shape is None or not tensor.dtype:
            raise PlanError(f"input {name!r} cannot be made up; give it with --input")
        if tensor.dtype == "bool":
            arrays[name] = rng.integers(0, 2, tensor.shape).astype(bool)
        elif tensor.dtype.startswith(("int", "uint")):
            arrays[name] = rng.integers(0, 8, tensor.shape).astype(tensor.dtype)
        else:
            arrays[name] = rng.standard_normal(tensor.shape).astype(tensor.dtype)
    return arrays
