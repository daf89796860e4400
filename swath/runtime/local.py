"""Workers on this machine: real processes, over the real fabric, for as long as they are wanted."""

from __future__ import annotations

import secrets
import socket
import subprocess
import sys
from collections.abc import Sequence
from types import TracebackType

from swath.errors import FabricError
from swath.fabric.zenoh import Endpoints, ZenohFabric
from swath.runtime.coordinator import Coordinator

START_TIMEOUT = 30.0
STOP_TIMEOUT = 5.0


class LocalWorkers:
    """Worker processes of these names and a coordinator that is joined to them.

    The workers stop with `close`, with the ``with`` block, and with the process that made them,
    however it ends.
    """

    def __init__(
        self, names: Sequence[str], threads: int = 1, memory: int | None = None
    ) -> None:
        if not names:
            raise FabricError("a cluster needs at least one worker, not 0")
        self.names = tuple(names)
        self._cluster = f"local-{secrets.token_hex(4)}"
        endpoint = f"tcp/127.0.0.1:{free_port()}"
        self.coordinator = Coordinator(
            lambda land: ZenohFabric(
                "coordinator", "coordinator", land, Endpoints(listen=(endpoint,)), self._cluster
            )
        )
        self.processes: dict[str, subprocess.Popen[str]] = {}
        self._errors: dict[str, list[str]] = {}
        try:
            for name in self.names:
                self._start(name, endpoint, threads, memory)
            self.coordinator.wait_for(self.names, START_TIMEOUT)
        except BaseException:
            self.close()
            raise

    def _start(self, name: str, endpoint: str, threads: int, memory: int | None) -> None:
        command = [sys.executable, "-m", "swath.runtime.serve", "--attached"]
        command += ["--name", name, "--connect", endpoint, "--cluster-name", self._cluster]
        command += ["--threads", str(threads)]
        if memory is not None:
            command += ["--memory", str(memory)]
        self.processes[name] = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
        )

    def close(self) -> None:
        """Stop the workers and leave; safe to call twice."""
        for process in self.processes.values():
            if process.stdin is not None and not process.stdin.closed:
                process.stdin.close()
        for process in self.processes.values():
            try:
                process.wait(STOP_TIMEOUT)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.coordinator.close()

    def __enter__(self) -> LocalWorkers:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


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
