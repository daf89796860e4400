"""The devices of a cluster file, emulated on this machine: real workers, real sockets, real faults.

One worker per device in a network namespace of its own, joined by shaped links, rationed by CPU
quotas. Rates and quotas are put in force once a plan is installed: nobody waits for weights.
"""

from __future__ import annotations

import contextlib
import secrets
import statistics
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any, Self

import numpy as np

from swath.cluster import Cluster, Link
from swath.cluster.profile import DeviceProfile
from swath.cost import Cooling, ProfiledCosts, costs_for
from swath.graph.graph import Graph
from swath.plan.compile import compile_plan
from swath.plan.plan import Plan
from swath.planners import Problem, make_planner
from swath.planners.choosing import DEFAULT_PLANNER
from swath.runtime.clusters import random_inputs
from swath.runtime.install import Progress
from swath.runtime.knowing import Step
from swath.runtime.lab.calibration import Setting, kept_cooling
from swath.runtime.lab.conditions import Conditions, least_stolen
from swath.runtime.lab.coordinator import Block
from swath.runtime.lab.lab import Lab
from swath.runtime.lab.network import FRAME, PAYLOAD, burst
from swath.runtime.lab.quotas import quota_and_period
from swath.runtime.lab.remote import Remote, end
from swath.runtime.plain import Milliseconds
from swath.runtime.profiling.effort import QUICK, Effort
from swath.runtime.profiling.links import BETWEEN
from swath.runtime.profiling.pace import Pace
from swath.runtime.running import RunReport
from swath.simulate import Request, Simulation, make_script, simulate
from swath.trace.trace import Trace

WORKER_PORT = 7447
COORDINATOR_PORT = 7557

PERIODS = 20
"""Quota periods that back-to-back requests must span to give a figure, at least."""

SPAN = 1.0
"""Seconds that they must span, at least."""

WARM_SECONDS = 0.6
"""Of requests before a figure: what a quota lends after idling is spent by then."""

TIMEOUT = 60.0
"""Seconds for one request."""

LOOK_EVERY = 1.0
"""Seconds between two looks at the machine's pace during what takes long."""

LOOK_LONG = 0.2
"""Seconds of a look right before and after a figure. On a machine that shares its cores with
strangers looks of 0.02 s scatter by a tenth, those of a profile too, but it takes hundreds."""


@dataclass(frozen=True, slots=True)
class Figure:
    """The mean of ``requests`` back to back: seconds, and seconds of CPU by device, the
    coordinator's at the source included. ``pace``: of the machine, right before and thereafter, as
    in `DeviceProfile`; ``stolen``: the share of it that its host took meanwhile."""

    seconds: float
    requests: int
    cpu: Mapping[str, float]
    pace: float
    stolen: float


@dataclass(frozen=True, slots=True)
class Measured:
    """Figures of a plan in the lab, in seconds: ``split`` and ``single`` were taken in turn.
    ``requests``: behind each figure of ``split``, on average; ``cpu``, ``pace`` and ``stolen``: as
    in `Figure`, on average."""

    split: tuple[float, ...]
    single: tuple[float, ...]
    requests: int
    cpu: Mapping[str, float]
    pace: float
    stolen: float


@dataclass(frozen=True, slots=True)
class LabChecks:
    """What was found before anything was measured. ``cores``: by device, what a busy loop got of
    its share; ``delays``: whether latencies are those of the cluster file (else there is the
    fabric's own alone, of ``latency`` seconds: 0 until `LabCluster.costs` are known)."""

    cores: Mapping[str, float]
    delays: bool
    latency: float


class LabCluster:
    """Emulated devices that are up.

    >>> with LabCluster(swath.load_cluster("cluster.yaml")) as lab:         # doctest: +SKIP
    ...     plan = lab.plan(graph)
    ...     lab.deploy(graph, plan, swath.random_inputs(graph))
    ...     with lab.in_force():
    ...         lab.check()
    ...         measured = lab.measure()
    ...     report = lab.report(plan, measured)

    or, all in one, ``report = lab.run(graph, inputs, plan=plan)``.

    ``effort``: how thoroughly this machine is profiled at first use. ``checks``: what the first
    `run` saw; None before it. Raises ClusterError where this machine cannot be a lab, or cannot
    imitate this cluster.
    """

    def __init__(
        self,
        cluster: Cluster,
        *,
        threads: int = 1,
        effort: Effort = QUICK,
        step: Step = lambda text: None,
    ) -> None:
        self.cluster = cluster
        self._effort = effort
        self.threads = threads
        self._step = step
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self.checks: LabChecks | None = None
        self._latency = 0.0
        self._profiled_at: float | None = None
        self._stack = contextlib.ExitStack()
        try:
            self.lab = self._stack.enter_context(Lab(cluster))
            self._remote = self._stack.enter_context(
                Remote(self.lab.command_prefix(cluster.source))
            )
            self._stack.callback(self._stop_workers)
            self._start()
        except BaseException:
            self.close()
            raise

    def _start(self) -> None:
        self._step("starting the workers")
        name = f"lab-{secrets.token_hex(4)}"
        meeting = f"tcp/{self.lab.address(self.cluster.source)}:{COORDINATOR_PORT}"
        self._remote.call("listen", meeting, name)
        for device in self.cluster.workers:
            own = f"tcp/{self.lab.address(device.name)}:{WORKER_PORT}"
            command = [*self.lab.command_prefix(device.name), sys.executable]
            command += ["-m", "swath.runtime.serve", "--attached", "--name", device.name]
            command += ["--listen", own, "--connect", meeting, "--cluster-name", name]
            command += ["--threads", str(self.threads)]
            if device.memory is not None:
                command += ["--memory", str(device.memory)]
            self._processes[device.name] = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                process_group=0,
            )
        self._remote.call("await_workers", self.cluster, self.threads)

    def _stop_workers(self) -> None:
        for process in self._processes.values():
            if process.stdin is not None:
                process.stdin.close()
        for process in self._processes.values():
            end(process)

    def close(self) -> None:
        """Stop everything and remove every trace. Safe to call twice."""
        self._stack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # What is known of the devices

    @cached_property
    def costs(self) -> ProfiledCosts:
        """What is known of the devices and links, as a planner is told. Measured when it is first
        asked for, not `in_force`; what takes long of it is kept on this machine. What was deployed
        before is dropped: other networks take its place while they are measured."""
        names = [device.name for device in self.cluster.devices]
        self._step("measuring a device")
        profile = self._remote.call(
            "profile",
            self.cluster.workers[-1].name,
            self._effort,
            progress=lambda what, done, total: self._step(f"measuring {what}: {done} of {total}"),
        )
        self._profiled_at = profile.pace
        cluster, profile = self._linked(profile)
        profiles = dict.fromkeys(names, profile)
        self._step("finding the kernel's tick")
        quotas = {name: self.lab.quota(name) for name in names}

        def priced(cooling: Cooling, rationed: bool) -> ProfiledCosts:
            coolings = dict.fromkeys(names, cooling)
            return costs_for(
                cluster, profiles, quotas=quotas if rationed else None, coolings=coolings
            )

        self._step("measuring what pauses cost")
        shares = [quota.share for quota in quotas.values()]
        cooling = kept_cooling(profile.machine, shares, self.lab.packets, priced, self._take)
        return priced(cooling, True)

    def _linked(self, profile: DeviceProfile) -> tuple[Cluster, DeviceProfile]:
        """The cluster with the links that there really are, and its devices' profile with what
        messages over them take: the fewer packets a lab's links hand on as one, the more."""
        workers = [device.name for device in self.cluster.workers]
        if len(workers) > 1:
            self._step("measuring a link")
            link, spent = self._remote.call("link", *workers[:2], profile.pace)
            self._latency = link.latency
            within = (each for each in profile.messages if each.side not in BETWEEN)
            profile = replace(profile, messages=(*spent, *within))
        return self._as_emulated(), profile

    def _as_emulated(self) -> Cluster:
        """The cluster with the links that there really are: rates count headers too, and the least
        latency is the fabric's own."""
        own, delays = self._latency, self.lab.can_delay

        def emulated(link: Link) -> Link:
            return Link(
                bandwidth=link.bandwidth * PAYLOAD / FRAME,
                latency=own + (link.latency if delays else 0.0),
                burst=burst(link.bandwidth) * PAYLOAD / FRAME,
            )

        return replace(
            self.cluster,
            default_link=emulated(self.cluster.default_link),
            links={ends: emulated(link) for ends, link in self.cluster.links.items()},
        )

    def _take(self, graph: Graph, plan: Plan, settings: Sequence[Setting]) -> list[float]:
        """Seconds that one inference takes at the pace of the profile, measured once in each
        setting."""
        states = {"rationed": self._rationed, "in force": self.in_force}
        self.deploy(graph, plan, random_inputs(graph))
        found = []
        for setting in settings:
            what, more = ("plain_runs", ()) if setting == "engine" else ("requests", (TIMEOUT,))
            paces = [self._pace()]
            with states.get(setting, self._assigned)(), self._at(self.cluster.source):
                self._remote.call(what, WARM_SECONDS, *more)
                block: Block = self._remote.call(what, SPAN, *more)
            paces.append(self._pace())
            found.append(block.mean / self._slowdown(statistics.fmean(paces)))
        return found

    def plan(self, graph: Graph, planner: str = DEFAULT_PLANNER, **options: Any) -> Plan:
        """A plan for the devices as they are here."""
        return make_planner(planner, **options).plan(Problem(graph, self.costs))

    def predict(
        self, plan: Plan, requests: int = 10, *, pace: float | None = None, record: bool = False
    ) -> Simulation:
        """What should come of so many requests back to back. ``pace``: the machine's, as in
        `Figure`; None: as when it was profiled."""
        costs = self.costs
        script = make_script(plan, compile_plan(plan), costs)
        if pace is not None:
            script = script.slower(self.slowdown(pace))
        return simulate([Request(script)] * requests, costs, record=record)

    def conditions(self, paces: Sequence[float], stolen: float) -> Conditions:
        """What the machine was like when its pace was one of these, on average, and such a share of
        it was stolen."""
        return Conditions(self.slowdown(statistics.fmean(paces)), stolen)

    def slowdown(self, pace: float) -> float:
        """How many times as slow a machine of this pace is as it was when it was profiled."""
        _ = self.costs
        return self._slowdown(pace)

    def _slowdown(self, pace: float) -> float:
        assert self._profiled_at is not None, "a profile of a lab says its pace"
        return pace / self._profiled_at

    def _pace(self) -> float:
        """The machine's, now, as in `Figure`."""
        found: float = self._remote.call("pace", LOOK_LONG)
        return found

    @contextlib.contextmanager
    def paced(self) -> Iterator[list[float]]:
        """Takes down the machine's pace inside, again and again, and once at the end: gives the
        list of what is found. Takes a fiftieth of one core."""
        found: list[float] = []
        pace, over = Pace(), threading.Event()

        def look() -> None:
            while not over.wait(LOOK_EVERY):
                found.append(pace.seconds())

        watching = threading.Thread(target=look, name="pace", daemon=True)
        watching.start()
        try:
            yield found
        finally:
            over.set()
            watching.join()
            found.append(pace.seconds())

    # Running

    def deploy(
        self,
        graph: Graph,
        plan: Plan,
        inputs: Mapping[str, np.ndarray],
        progress: Progress | None = None,
    ) -> None:
        """Install a plan at full speed; what was installed before is forgotten."""
        self._remote.call("drop")
        self._remote.call("deploy", graph, plan, inputs, self.threads, progress=progress)

    def keep(
        self, make: Callable[..., Any], *arguments: Any, progress: Callable[..., object]
    ) -> None:
        """Have ``make(session, *arguments, report=...)`` called in the coordinator's process, at
        full speed, and what it returns kept there; what was installed before is forgotten. All is
        pickled; ``progress`` is told what is reported."""
        self._remote.call("drop")
        self._remote.call("keep", make, *arguments, progress=progress)

    def ask(self, name: str, *arguments: Any, progress: Callable[..., object]) -> Any:
        """What a method of what is kept returns, called in the same manner."""
        return self._remote.call("ask", name, *arguments, progress=progress)

    def at_source(self) -> AbstractContextManager[None]:
        """The coordinator uses the source's share inside; to be used `in_force`."""
        return self._at(self.cluster.source)

    @contextlib.contextmanager
    def in_force(self) -> Iterator[None]:
        """Rates and quotas hold inside; the coordinator is not rationed but while it measures."""
        self.lab.shape()
        try:
            with self._rationed():
                yield
        finally:
            self.lab.unshape()

    @contextlib.contextmanager
    def _rationed(self) -> Iterator[None]:
        """Quotas hold inside."""
        try:
            self.lab.ration()
            with self._assigned():
                yield
        finally:
            self.lab.unration()

    @contextlib.contextmanager
    def _assigned(self) -> Iterator[None]:
        """The workers in their devices' groups."""
        try:
            for name, process in self._processes.items():
                self.lab.assign(name, process.pid)
            yield
        finally:
            for process in self._processes.values():
                self.lab.release(process.pid)

    @contextlib.contextmanager
    def _at(self, device: str) -> Iterator[None]:
        """The coordinator's process inside a device's share."""
        self.lab.assign(device, self._remote.process.pid)
        try:
            yield
        finally:
            self.lab.release(self._remote.process.pid)

    def _used(self) -> dict[str, float]:
        return {device.name: self.lab.used_cpu(device.name) for device in self.cluster.devices}

    def check(self) -> LabChecks:
        """See that every quota and every rate bites; raises ClusterError where one does not. To be
        called `in_force`."""
        cores = self.lab.check_quotas(self._step)
        self.lab.check_rates(self._step)
        return LabChecks(cores, self.lab.can_delay, self._latency)

    def measure(self, repeat: int = 3, timeout: float = TIMEOUT) -> Measured:
        """Figures of what is deployed, split and single in turn; to be called `in_force`."""
        split: list[Figure] = []
        single: list[float] = []
        for turn in range(repeat):
            self._step(f"measuring: {turn} of {repeat}")
            split.append(self.figure(timeout))
            single.append(self._single_figure())
        return Measured(
            split=tuple(figure.seconds for figure in split),
            single=tuple(single),
            requests=sum(figure.requests for figure in split) // repeat,
            cpu={name: sum(figure.cpu[name] for figure in split) / repeat for name in split[0].cpu},
            pace=sum(figure.pace for figure in split) / repeat,
            stolen=sum(figure.stolen for figure in split) / repeat,
        )

    def figure(self, timeout: float = TIMEOUT) -> Figure:
        """One figure of what is deployed, taken again where the machine's host took too much of it
        meanwhile; to be called `in_force`."""
        figure, stolen = least_stolen(partial(self._figure, timeout))
        return replace(figure, stolen=stolen)

    def _figure(self, timeout: float) -> Figure:
        paces = [self._pace()]  # At full speed, as it was when this was profiled.
        with self._at(self.cluster.source):
            self._remote.call("requests", WARM_SECONDS, timeout)
            before = self._used()
            block: Block = self._remote.call("requests", self._span, timeout)
            count = len(block.seconds)
            cpu = {name: (used - before[name]) / count for name, used in self._used().items()}
        paces.append(self._pace())
        return Figure(block.mean, count, cpu, sum(paces) / len(paces), 0.0)

    def _single_figure(self) -> float:
        return least_stolen(self._single)[0]

    def _single(self) -> float:
        fastest = max(self.cluster.workers, key=lambda d: (d.cores or 1.0, d.gflops or 0.0)).name
        with self._at(fastest):
            self._remote.call("plain_runs", WARM_SECONDS)
            block: Block = self._remote.call("plain_runs", self._span)
        return block.mean

    @property
    def _span(self) -> float:
        """Seconds that the requests behind a figure take, at least."""
        periods = [quota_and_period(share)[1] * 1e-6 for share in self.lab.shares.values()]
        return max(SPAN, PERIODS * max(periods))

    def record(self, requests: int = 3, timeout: float = TIMEOUT) -> Trace:
        """What happens when during requests back to back, the first of them warmed up for; to be
        called `in_force`."""
        with self._at(self.cluster.source):
            self._remote.call("requests", WARM_SECONDS, timeout)
            trace: Trace = self._remote.call("record", requests, timeout)
        return trace

    def report(self, plan: Plan, measured: Measured, timeout: float = TIMEOUT) -> RunReport:
        """Figures, outputs and prediction of what is deployed; not `in_force`."""
        outputs, differences = self._remote.call("results", timeout)
        predicted = self.predict(plan, max(10, measured.requests), pace=measured.pace).latencies
        return RunReport(
            outputs=outputs,
            plan=plan,
            latency=Milliseconds.of(measured.split),
            single=Milliseconds.of(measured.single),
            predicted=1e3 * sum(predicted) / len(predicted),
            max_abs_diff=max((d.absolute for d in differences), default=None),
            max_rel_diff=max((d.relative for d in differences), default=None),
            bit_exact=all(d.bit_exact for d in differences),
            bytes_moved=compile_plan(plan).bytes_moved,
        )

    def run(
        self,
        graph: Graph,
        inputs: Mapping[str, np.ndarray],
        *,
        plan: Plan,
        repeat: int = 3,
        timeout: float = TIMEOUT,
        progress: Progress | None = None,
    ) -> RunReport:
        """A plan from end to end: deployed, measured `in_force` and compared with the unsplit
        model. The first time, every quota and every rate is seen to bite."""
        _ = self.costs  # Finding out what is known deploys other networks: not once this one is.
        self.deploy(graph, plan, inputs, progress)
        with self.in_force():
            if self.checks is None:
                self.checks = self.check()
            measured = self.measure(repeat, timeout)
        return self.report(plan, measured, timeout)
