"""Workers on this machine: real processes, over the real fabric, for as long as they are wanted."""

from __future__ import annotations

import contextlib
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from functools import partial

from swath.errors import FabricError
from swath.fabric.fabric import Fabric, Land
from swath.fabric.zenoh import Endpoints, ZenohFabric
from swath.runtime.coordinator import Coordinator
from swath.runtime.cores import assign_cores, settle

START_TIMEOUT = 30.0
STOP_TIMEOUT = 5.0

JOIN_ATTEMPTS = 3

POLL = 0.2
"""Seconds after which it is seen that a process that is awaited has ended."""


class LocalWorkers:
    """Worker processes of these names and a coordinator that is joined to them.

    The workers stop with `close`, with the ``with`` block, and with the process that made them,
    however it ends.
    """

    def __init__(self, names: Sequence[str], threads: int = 1, memory: int | None = None) -> None:
        if not names:
            raise FabricError("a cluster needs at least one worker, not 0")
        self.names = tuple(names)
        self._cluster = f"local-{secrets.token_hex(4)}"
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.coordinator, endpoint = self._join()
        try:
            for name, cores in zip(self.names, assign_cores(len(names), threads), strict=True):
                self._start(name, endpoint, threads, memory)
                with contextlib.suppress(ProcessLookupError):  # Ended: that is seen below.
                    settle(self.processes[name].pid, cores)
            self._await_workers()
        except BaseException:
            self.close()
            raise

    def _join(self) -> tuple[Coordinator, str]:
        """A coordinator, and where it listens."""
        for attempt in range(JOIN_ATTEMPTS):
            endpoint = f"tcp/127.0.0.1:{free_port()}"
            join = partial(_join, self._cluster, endpoint)
            try:
                return Coordinator(join), endpoint
            except FabricError:  # Somebody else was quicker to take the port.
                if attempt == JOIN_ATTEMPTS - 1:
                    raise
        raise AssertionError

    def _await_workers(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT
        while not self.coordinator.wait_until(self._is_over, POLL):
            if time.monotonic() > deadline:
                raise FabricError(
                    f"the workers have not come within {START_TIMEOUT:.0f} s; is this machine busy?"
                )
        for name, process in self.processes.items():
            status = process.poll()
            if status is not None:
                raise FabricError(
                    f"worker {name!r} ended with status {status} while it started; what it said "
                    f"stands above, or try '{sys.executable} -m swath.runtime.serve'"
                )

    def _is_over(self) -> bool:
        """Whether all workers have come, or one has ended."""
        if set(self.names) <= set(self.coordinator.workers()):
            return True
        return any(process.poll() is not None for process in self.processes.values())

    def _start(self, name: str, endpoint: str, threads: int, memory: int | None) -> None:
        command = [sys.executable, "-m", "swath.runtime.serve", "--attached"]
        command += ["--name", name, "--connect", endpoint, "--cluster-name", self._cluster]
        command += ["--threads", str(threads)]
        if memory is not None:
            command += ["--memory", str(memory)]
        # A process group of its own: Ctrl-C is for the one who waits for a result. The pipe tells
        # a worker that this process has ended.
        try:
            self.processes[name] = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, process_group=0
            )
        except OSError as error:
            raise FabricError(
                f"worker {name!r} cannot be started: {sys.executable}: {error.strerror}"
            ) from None

    def close(self) -> None:
        """Stop the workers and leave; safe to call twice."""
        for process in self.processes.values():
            if process.stdin is not None:
                process.stdin.close()
        deadline = time.monotonic() + STOP_TIMEOUT
        for process in self.processes.values():
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.coordinator.close()

    def __enter__(self) -> LocalWorkers:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _join(cluster: str, endpoint: str, land: Land) -> Fabric:
    endpoints = Endpoints(listen=(endpoint,))
    return ZenohFabric("coordinator", "coordinator", land, endpoints, cluster)


def free_port() -> int:
    """A TCP port of this machine that is free now, and the one after it too."""
    while True:
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port = int(first.getsockname()[1])
            try:
                second.bind(("127.0.0.1", port + 1))
            except OSError:
                continue
            return port
