"""Clusters that are up: workers on this machine, or wherever they listen. Plan, install, run."""

from __future__ import annotations

import itertools
import os
import secrets
import socket
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np

from swath.cluster import Cluster, local_cluster
from swath.cluster.profile import DeviceProfile
from swath.cost import Costs, costs_for
from swath.errors import FabricError, PlanError
from swath.fabric.places import own_host
from swath.fabric.zenoh import Endpoints, ZenohFabric
from swath.graph.graph import Graph
from swath.plan.compile import compile_plan
from swath.plan.plan import Plan
from swath.plan.validate import validate_devices, validate_memory, validate_plan
from swath.planners import Objective, Problem, first_objective
from swath.planners.choosing import DEFAULT_PLANNER, Choice, choose
from swath.planners.objective import predicted_seconds
from swath.runtime.coordinator import Coordinator, Deployment, Inputs, Outputs
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
from swath.runtime.plain import Milliseconds, PlainRuntime
from swath.runtime.streaming import StreamReport, check_stream_memory, stream_report
from swath.runtime.verify import compare, tolerance
from swath.simulate import Request, make_script, simulate
from swath.trace.trace import Trace

MULTICAST = "tcp/224.0.0.224:7446"
"""Where workers are looked for that have no known address; shows which of our addresses is seen."""


@dataclass(frozen=True)
class RunReport:
    """What came of running a model: its outputs, and how long they took.

    ``latency``: from the input array to the output array in the coordinator's memory. ``single``:
    plain ONNX Runtime alone, interleaved with the former; None where it was not asked for, as are
    ``speedup`` and what compares the outputs. ``max_rel_diff``: to the output's largest magnitude.
    ``predicted``: milliseconds that the simulator expected of the plan, on average; None where
    nobody asked it. ``stream``: of several requests in flight, where that was asked for.
    ``present``: what the devices were at when that was expected of it.
    """

    outputs: Mapping[str, np.ndarray] = field(repr=False)
    plan: Plan = field(repr=False)
    latency: Milliseconds
    single: Milliseconds | None
    max_abs_diff: float | None
    max_rel_diff: float | None
    bit_exact: bool | None
    bytes_moved: int
    predicted: float | None = None
    stream: StreamReport | None = None
    present: tuple[Present, ...] = ()

    @property
    def speedup(self) -> float | None:
        return None if self.single is None else self.single.median / self.latency.median

    @property
    def within_tolerance(self) -> bool | None:
        return None if self.max_rel_diff is None else self.max_rel_diff <= tolerance(self.plan)


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
        arrays = random_inputs(graph) if inputs is None else inputs
        plan = plan or self.plan(graph, planner)
        here = self._here(plan)
        deployment = self.deploy(graph, plan, progress)
        if stream is not None:
            check_stream_memory(plan, deployment.programs, stream)
        costs = self.costs()  # Measured, if they are, while nothing else is.
        plain = PlainRuntime(graph, self._threads) if compare_with_single else None
        outputs = deployment.run(arrays, timeout)  # Once to warm up: first touches, lazy sessions.
        reference = plain.run(arrays) if plain is not None else {}
        split: list[float] = []
        single: list[float] = []
        for _ in range(max(1, repeat)):
            if plain is not None:
                single.append(plain.timed(arrays)[1])
            outputs, seconds = deployment.timed(arrays, timeout)
            split.append(seconds)
        made = [outputs]
        streamed = None
        if stream is not None:  # Its memory is touched for the first time before it is measured.
            made += deployment.stream(itertools.repeat(arrays, stream), stream, timeout)
            streamed = stream_report(deployment, here, costs, arrays, stream, repeat, timeout)
        differences = [
            compare(name, outputs[name], reference[name]) for outputs in made for name in reference
        ]
        return RunReport(
            outputs=outputs,
            plan=plan,
            latency=Milliseconds.of(split),
            single=Milliseconds.of(single) if single else None,
            max_abs_diff=max((d.absolute for d in differences), default=None),
            max_rel_diff=max((d.relative for d in differences), default=None),
            bit_exact=all(d.bit_exact for d in differences) if differences else None,
            bytes_moved=deployment.programs.bytes_moved,
            predicted=predicted_seconds(here, deployment.programs, costs) * 1e3,
            stream=streamed,
            present=self.present,
        )

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
