"""The devices of a cluster file, emulated on this machine: real workers, real sockets, real faults.

One worker per device in a network namespace of its own, joined by shaped links, rationed by CPU
quotas. Rates and quotas are put in force once a plan is installed: nobody waits for weights.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, Self

import numpy as np

from swath.cluster import Cluster
from swath.errors import FabricError
from swath.graph.graph import Graph
from swath.plan.compile import compile_plan
from swath.plan.plan import Plan
from swath.runtime.clusters import RunReport, random_inputs
from swath.runtime.install import Progress
from swath.runtime.lab.coordinator import Block
from swath.runtime.lab.lab import Lab
from swath.runtime.plain import Milliseconds

WORKER_PORT = 7447
COORDINATOR_PORT = 7557

PERIODS = 20
"""Quota periods that back-to-back requests must span to give a figure."""

WARM_SECONDS = 0.6
"""Of requests before a figure: what a quota lends after idling is spent by then."""

STOP_TIMEOUT = 5.0

_COORDINATOR = "from swath.runtime.lab.coordinator import main; main()"


@dataclass(frozen=True, slots=True)
class Measured:
    """Figures of a plan in the lab: each a mean over back-to-back requests, in seconds.

    ``split`` and ``single`` were taken in turn. ``requests``: behind each figure of ``split``.
    ``cpu``: by device, seconds of CPU per request, the coordinator's at the source included.
    """

    split: tuple[float, ...]
    single: tuple[float, ...]
    requests: int
    cpu: Mapping[str, float]


class LabCluster:
    """Emulated devices that are up.

    >>> with LabCluster(swath.load_cluster("cluster.yaml")) as lab:         # doctest: +SKIP
    ...     report = lab.run(swath.load("zoo:vgg16"))

    Raises ClusterError where this machine cannot be a lab, or not this one.
    """

    def __init__(self, cluster: Cluster, *, threads: int = 1) -> None:
        self.cluster = cluster
        self.threads = threads
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._stack = contextlib.ExitStack()
        try:
            self.lab = self._stack.enter_context(Lab(cluster))
            self._remote = self._stack.enter_context(
                _Remote(self.lab.command_prefix(cluster.source))
            )
            self._stack.callback(self._stop_workers)
            self._start()
        except BaseException:
            self.close()
            raise

    def _start(self) -> None:
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
            _end(process)

    def close(self) -> None:
        """Stop everything and remove every trace. Safe to call twice."""
        self._stack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

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

    @contextlib.contextmanager
    def in_force(self) -> Any:
        """Rates and quotas hold inside; nobody but the workers is rationed yet."""
        self.lab.shape()
        try:
            self.lab.ration()
            for name, process in self._processes.items():
                self.lab.assign(name, process.pid)
            yield
        finally:
            for process in (*self._processes.values(), self._remote.process):
                with contextlib.suppress(ProcessLookupError):
                    self.lab.release(process.pid)
            self.lab.unration()
            self.lab.unshape()

    def measure(self, repeat: int = 3, timeout: float = 60.0) -> Measured:
        """Figures of what is deployed, split and single in turn; to be called `in_force`."""
        span = PERIODS * max(self.lab.quota(d.name).period for d in self.cluster.devices)
        fastest = max(self.cluster.workers, key=lambda d: (d.cores or 1.0, d.gflops or 0.0)).name
        split: list[Block] = []
        single: list[Block] = []
        cpu = dict.fromkeys((d.name for d in self.cluster.devices), 0.0)
        for _ in range(repeat):
            with self._at(self.cluster.source):
                self._remote.call("requests", 1, WARM_SECONDS, timeout)
                before = {name: self.lab.used_cpu(name) for name in cpu}
                split.append(self._remote.call("requests", 1, span, timeout))
                for name in cpu:
                    cpu[name] += self.lab.used_cpu(name) - before[name]
            with self._at(fastest):
                self._remote.call("plain_runs", 1, WARM_SECONDS)
                single.append(self._remote.call("plain_runs", 1, span))
        count = sum(len(block.seconds) for block in split)
        return Measured(
            split=tuple(block.mean for block in split),
            single=tuple(block.mean for block in single),
            requests=max(1, count // repeat),
            cpu={name: seconds / count for name, seconds in cpu.items()},
        )

    @contextlib.contextmanager
    def _at(self, device: str) -> Any:
        """The coordinator's process inside a device's share."""
        self.lab.assign(device, self._remote.process.pid)
        try:
            yield
        finally:
            self.lab.release(self._remote.process.pid)

    def run(
        self,
        graph: Graph,
        plan: Plan,
        inputs: Mapping[str, np.ndarray] | None = None,
        *,
        repeat: int = 3,
        timeout: float = 60.0,
        progress: Progress | None = None,
    ) -> RunReport:
        """Deploy and measure a plan; ``repeat`` figures, each over many requests."""
        self.deploy(graph, plan, random_inputs(graph) if inputs is None else inputs, progress)
        with self.in_force():
            self.lab.check_quotas()
            self.lab.check_rates()
            measured = self.measure(repeat, timeout)
        outputs, differences = self._remote.call("results", timeout)
        return RunReport(
            outputs=outputs,
            plan=plan,
            latency=Milliseconds.of(measured.split),
            single=Milliseconds.of(measured.single),
            max_abs_diff=max((d.absolute for d in differences), default=None),
            max_rel_diff=max((d.relative for d in differences), default=None),
            bit_exact=all(d.bit_exact for d in differences),
            bytes_moved=compile_plan(plan).bytes_moved,
        )


class _Remote:
    """The lab's coordinator process, and the pipe to it."""

    def __init__(self, prefix: Sequence[str]) -> None:
        ours, theirs = socket.socketpair()
        # Not by -m: what it sends back must not be of its __main__.
        command = [*prefix, sys.executable, "-c", _COORDINATOR]
        with theirs:
            self.process = subprocess.Popen(
                [*command, str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                process_group=0,
            )
        self._connection = Connection(ours.detach())

    def call(self, name: str, *arguments: Any, progress: Callable[..., None] | None = None) -> Any:
        """What `LabCoordinator`'s method of this name returns; raises what it raised."""
        try:
            self._connection.send((name, arguments))
            while True:
                kind, what = self._connection.recv()
                if kind == "failed":
                    raise what
                if kind == "done":
                    return what
                if progress is not None:
                    progress(*what)
        except (EOFError, OSError):
            raise FabricError(
                "the lab's coordinator has ended; was it killed, or out of memory?"
            ) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()
        _end(self.process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Wait for a process that was told to end; kill one that does not."""
    try:
        process.wait(STOP_TIMEOUT)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, 9)
        process.wait()
