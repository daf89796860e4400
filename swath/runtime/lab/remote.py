"""The other end of `swath.runtime.lab.coordinator`: its process, started and told what to do."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from typing import Any, Self

from swath.errors import FabricError

STOP_TIMEOUT = 5.0

_COORDINATOR = "from swath.runtime.lab.coordinator import main; main()"


class Remote:
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

    def call(
        self, name: str, *arguments: Any, progress: Callable[..., object] | None = None
    ) -> Any:
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
        end(self.process)


def end(process: subprocess.Popen[bytes]) -> None:
    """Wait for a process that was told to end; kill one that does not."""
    try:
        process.wait(STOP_TIMEOUT)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, 9)
        process.wait()
